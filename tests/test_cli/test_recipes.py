"""The short additions of docs/en/recipes.md: they take the place of nothing that a method brings along."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmfas.apis.training import skip_validation, train
from mmfas.cli.train import add_arguments, merge_arguments
from mmfas.config.check import check_config
from mmfas.config.reading import read_config
from mmfas.registry import DATASETS, MODELS

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs' / 'en' / 'recipes.md').read_text(encoding='utf-8')
METHOD = ROOT / 'configs' / 'mmdg' / 'mmdg_mini-vit_1xb32-12e_synthfas-cps2w.py'


class RecipeModel(BaseModel):
    """One weight, and the number of steps that it was trained for."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.steps = nn.Parameter(torch.ones(())), 0

    def forward(self, inputs: list[Tensor], mode: str = 'tensor') -> dict[str, Tensor]:
        """Return a loss."""
        self.steps += 1
        return dict(loss=(self.weight * torch.stack(inputs)).mean())


class RecipeData(Dataset):
    """Twelve numbers."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return dict(inputs=torch.tensor(float(index)))


@pytest.fixture
def toy(tmp_path: Path, small_and_quiet: None) -> Iterator[Config]:
    """Config of a training of two epochs of six steps."""
    MODELS.register_module(module=RecipeModel)
    DATASETS.register_module(module=RecipeData)
    loader = dict(batch_size=2, dataset=dict(type='RecipeData'), sampler=dict(type='DefaultSampler'))
    yield Config(
        dict(
            default_scope='mmfas',
            work_dir=str(tmp_path),
            model=dict(type='RecipeModel'),
            train_dataloader=loader,
            train_cfg=dict(by_epoch=True, max_epochs=2),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        )
    )
    MODELS.module_dict.pop('RecipeModel')
    DATASETS.module_dict.pop('RecipeData')


@pytest.mark.parametrize(('steps', 'taken', 'saved'), [(2, 2, []), (8, 8, ['epoch_1.pth']), (None, 12, None)])
def test_steps_end_a_run_anywhere(toy: Config, steps: int | None, taken: int, saved: list[str] | None) -> None:
    toy.experiment_name = f'steps_{steps}'  # not that of another run in the same second
    runner = train(toy, steps=steps)
    assert runner.model.steps == taken
    found = sorted(path.name for path in Path(toy.work_dir).glob('*.pth'))
    assert found == (['epoch_1.pth', 'epoch_2.pth'] if saved is None else saved)
    (curves,) = Path(toy.work_dir).glob('*/vis_data/scalars.json')
    assert '"loss"' in curves.read_text(encoding='utf-8'), 'two steps show their loss as well'


def config_with(tmp_path: Path, text: str) -> Config:
    path = tmp_path / 'child.py'
    path.write_text(f'_base_ = {str(METHOD)!r}\n{text}', encoding='utf-8')
    return read_config(str(path))


def shown(section: str) -> str:
    """Python block of a section of the page."""
    return re.search(rf'## {section}.*?```python\n(.*?)```', PAGE, re.DOTALL)[1]


def test_hooks_are_added_to_those_of_the_method(tmp_path: Path) -> None:
    cfg = config_with(tmp_path, shown('Averaged weights'))
    assert check_config(cfg) == []
    assert [hook.type for hook in cfg.custom_hooks] == ['PrototypeRefreshHook']
    assert {'ema', 'early_stopping', 'checkpoint', 'loss_guard'} <= set(cfg.default_hooks)
    cfg.default_hooks.early_stopping.monitor = 'dev/htr'
    (problem,) = check_config(cfg)
    assert problem.startswith('default_hooks.early_stopping.monitor')
    skip_validation(cfg)
    assert 'early_stopping' not in cfg.default_hooks and 'ema' in cfg.default_hooks


RECIPES = sorted(path.stem for path in (ROOT / 'configs' / '_base_' / 'recipes').glob('*.py'))


def test_files_of_recipes_stand_beside_a_method_with_hooks_of_its_own(tmp_path: Path) -> None:
    bases = [str(METHOD), *(f'mmfas::_base_/recipes/{name}.py' for name in (*RECIPES, 'ema'))]
    middle, leaf = tmp_path / 'middle.py', tmp_path / 'leaf.py'
    middle.write_text(f'_base_ = {bases!r}\n', encoding='utf-8')
    leaf.write_text("_base_ = ['middle.py']\ncustom_hooks = [*_base_.custom_hooks[:2], dict(type='EMAHook')]\n")
    cfg = read_config(str(middle))
    assert check_config(cfg) == []
    hooks = ['PrototypeRefreshHook', 'ResumableEarlyStoppingHook', 'EMAHook']
    assert [hook.type for hook in cfg.custom_hooks] == hooks, 'equal entries count once'
    kinds = [backend.type.removesuffix('VisBackend') for backend in cfg.visualizer.vis_backends]
    assert kinds == ['Local', 'MLflow', 'Tensorboard', 'Wandb'] and cfg.compile is True
    assert read_config(str(leaf)).custom_hooks[2] == dict(type='EMAHook'), 'the file that inherits has its say'


def test_other_names_that_two_bases_set_are_still_refused(tmp_path: Path) -> None:
    (tmp_path / 'one.py').write_text("visualizer = dict(type='Other', vis_backends=[])\n")
    (tmp_path / 'two.py').write_text("visualizer = dict(type='Visualizer', vis_backends=[])\n")
    (tmp_path / 'both.py').write_text("_base_ = ['one.py', 'two.py']\n")
    with pytest.raises(ValueError, match='Duplicate keys: .*visualizer'):
        read_config(str(tmp_path / 'both.py'))


def test_back_ends_and_compilation_are_known(tmp_path: Path) -> None:
    cfg = config_with(tmp_path, shown('TensorBoard') + shown('torch.compile'))
    assert check_config(cfg) == []
    cfg.visualizer.vis_backends[2].init_kwarg = {}
    (problem,) = check_config(cfg)
    assert 'visualizer.vis_backends[2].init_kwarg: unexpected, did you mean init_kwargs?' in problem


def wandb_curves(folder: Path) -> str:
    """What a run without a network has kept of its curves, as bytes that hold the names."""
    (file,) = folder.rglob('run-*.wandb')
    for _ in range(100):  # a process of W&B writes it
        content = file.read_bytes().decode('latin1')
        if 'loss' in content:
            break
        time.sleep(0.1)
    return content


def mlflow_curves(folder: Path) -> str:
    """Names of the metrics of the one run in the database of the recipe."""
    import mlflow

    client = mlflow.MlflowClient(f'sqlite:///{folder}/mlflow.db')
    (run,) = client.search_runs([client.get_experiment_by_name('mmfas').experiment_id])
    assert run.info.status == 'FINISHED'
    return ' '.join(run.data.metrics)


def tensorboard_curves(folder: Path) -> str:
    """What the event file holds."""
    (file,) = folder.rglob('events.out.tfevents*')
    return file.read_bytes().decode('latin1')


CURVES = {'wandb': wandb_curves, 'mlflow': mlflow_curves, 'tensorboard': tensorboard_curves}


@pytest.mark.slow
@pytest.mark.parametrize('name', CURVES)
def test_a_run_leaves_its_curves_in_the_back_end(
    name: str, toy: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name, reason=f'{name} is missing: pip install {name}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.setenv('WANDB_SILENT', 'true')
    recipe = Config.fromfile(str(ROOT / 'configs' / '_base_' / 'recipes' / f'{name}.py'))
    toy.visualizer, toy.experiment_name = recipe.visualizer, f'curves_{name}'  # not that of another run
    train(toy)
    assert 'loss' in CURVES[name](tmp_path)


def test_a_back_end_without_its_package_is_named_before_anything_starts(
    toy: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('mmfas.apis.back_ends.find_spec', lambda name: None)
    toy.visualizer = dict(type='Visualizer', vis_backends=[dict(type='WandbVisBackend')])
    with pytest.raises(ImportError, match="WandbVisBackend needs the package 'wandb'.*: pip install wandb"):
        train(toy)
    assert not list(Path(toy.work_dir).iterdir())


def test_recomputing_is_an_option_of_the_model(tmp_path: Path) -> None:
    assert check_config(config_with(tmp_path, 'model = dict(recompute=True)\n')) == []
    names = 'activation_checkpointing = ["trunk.vit.layers.0"]\n'
    (problem,) = check_config(config_with(tmp_path, names))
    assert problem == (
        'activation_checkpointing: has no effect on trunk.vit.layers.0, whose inside the neck enters; set '
        'model.recompute=True'
    )


def test_loaders_without_pinned_memory_and_lasting_workers(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = ['--no-pin-memory', '--no-persistent-workers', '--cfg-options', 'train_dataloader.pin_memory=True']
    cfg = merge_arguments(parser.parse_args([str(METHOD), '--steps', '3', *options]))
    loaders: list[Any] = [cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader]
    assert [(loader.pin_memory, loader.persistent_workers) for loader in loaders] == [(False, False)] * 3
    assert check_config(cfg) == []
    with pytest.raises(SystemExit):
        parser.parse_args([str(METHOD), '--steps', '0'])
