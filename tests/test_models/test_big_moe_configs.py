"""The configs of BIG-MoE: what their names say, what an ablation changes, what the released preset changes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from mmengine.config import Config

from mmfas.analysis.complexity import example_inputs, example_samples
from mmfas.models import IsolatedGatingMoENeck, LinearFASHead, MultiModalFAS
from mmfas.models.layers.product_key_experts import UnitRMSNorm
from mmfas.models.necks import PromptOptions, ReleasedBlockOptions
from mmfas.registry import MODELS
from test_models.helpers import configs_of, perturb

FOLDER = Path(__file__).parents[2] / 'configs' / 'big_moe'
LEAVES = configs_of('big_moe/*.py')
NAME = re.compile(
    r'big-moe_(mini-vit|vit-b16)_1xb(\d+)-(\d+)e_(synthfas|cpsw)-([cpsw]{3}2[cpsw])(?:_([a-z0-9-]+))?'
)
#: Variant -> what it changes of the default preset of the neck.
CHANGES: dict[str, dict[str, Any]] = {
    'no-isolation': dict(isolated_gate=False),
    'no-bypass': dict(prompt=dict(bypass=False)),
    'no-code': dict(prompt=dict(code_at_test=False)),
    'balanced': dict(losses=dict(balance=0.01, router_z=0.001)),
    **{f'{number}-experts': dict(experts=dict(num_experts=number)) for number in (16, 256, 10_000)},
}

pytestmark = pytest.mark.engine


def model_of(cfg: Any) -> MultiModalFAS:
    """Build the model of a config; the twelve blocks of ViT-B are made narrow, for time."""
    if cfg.model.trunk.vit.arch == 'base':
        cfg.model.trunk.vit.arch = dict(embed_dims=48, num_layers=12, num_heads=12, feedforward_channels=64)
    return MODELS.build(cfg.model)


def load(trunk: str, variant: str = '') -> Any:
    """Read the config of a trunk that was trained on C, P and S."""
    ending = f'cps2w_{variant}' if variant else 'cps2w'
    found = [path for path in LEAVES if path.stem.startswith(f'big-moe_{trunk}_') and path.stem.endswith(ending)]
    assert len(found) == 1
    return Config.fromfile(found[0])


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_big_moe_configs_keep_what_their_names_say(path: Path) -> None:
    match = NAME.fullmatch(path.stem)
    assert match, f'{path.stem} does not follow the grammar'
    _, batch, epochs, data, split, variant = match.groups()
    cfg = Config.fromfile(path)
    assert cfg.train_dataloader.batch_size == int(batch) and cfg.train_cfg.max_epochs == int(epochs)
    assert data in cfg.train_dataloader.dataset.data_root
    lists = ' '.join(cfg.train_dataloader.dataset.ann_file)
    assert all(f'{domain.upper()}-train' in lists for domain in split[:3])
    dropped, packed = cfg.train_dataloader.dataset.pipeline[-2:]
    assert dropped == dict(type='RandomModalityDropout', prob=0.3) and packed.type == 'PackFASInputs'
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert 'RandomModalityDropout' not in [step.type for step in loader.dataset.pipeline]
    model = model_of(cfg)
    assert type(model.neck) is IsolatedGatingMoENeck and type(model.head) is LinearFASHead
    if variant != 'released':
        assert cfg.model.neck == dict(type='IsolatedGatingMoENeck', **CHANGES.get(variant, {}))


def test_big_moe_variants_are_all_there() -> None:
    assert len(LEAVES) == 14
    assert {NAME.fullmatch(path.stem)[6] for path in LEAVES} == {None, 'released', *CHANGES}


def test_big_moe_is_compared_on_the_data_and_schedule_of_the_baselines() -> None:
    baseline = next((FOLDER.parent / 'baselines').glob('concat_mini-vit_*_synthfas-cps2w.py'))
    plain, ours = Config.fromfile(baseline), load('mini-vit')
    for key in (
        'val_dataloader',
        'test_dataloader',
        'param_scheduler',
        'train_cfg',
        'optim_wrapper',
        'randomness',
    ):
        assert ours[key] == plain[key], key
    pipeline = ours.train_dataloader.dataset.pipeline
    pipeline.pop(-2)
    assert ours.train_dataloader == plain.train_dataloader and ours.model.trunk == plain.model.trunk


@pytest.mark.parametrize('trunk', ['mini-vit', 'vit-b16'])
def test_released_big_moe_differs_as_the_readme_says(trunk: str) -> None:
    default, released = load(trunk), load(trunk, 'released')
    neck = model_of(released).neck
    changed = {
        name for name, value in vars(ReleasedBlockOptions()).items() if getattr(neck.arithmetic, name) != value
    }
    assert changed == set(vars(ReleasedBlockOptions()))
    changed = {name for name, value in vars(PromptOptions()).items() if getattr(neck.prompt, name) != value}
    assert changed == {'residual', 'swap_grid', 'last_bypass', 'code_at_test'}
    assert not neck.mask_absent and 0.9 < float(neck.adapters[0].experts.table.up.detach().std()) < 1.1
    norms = [getattr(neck.adapters[0].experts, name) for name in ('norm', 'norm_gate')]
    assert all(isinstance(norm, UnitRMSNorm) for norm in norms)
    assert not isinstance(model_of(default).neck.adapters[0].experts.norm, UnitRMSNorm)
    readme = (FOLDER / 'README.md').read_text(encoding='utf-8')
    of_experts = ('experts.std', 'experts.unit_norm')
    for argument in (*changed, *vars(ReleasedBlockOptions()), *of_experts, 'mask_absent', 'fill', 'final_norm'):
        assert f'{argument}`' in readme, argument
    assert default.model.head == released.model.head


def test_default_big_moe_starts_as_the_plain_trunk_and_knows_what_is_missing() -> None:
    model = model_of(load('mini-vit'))
    assert model.neck.arithmetic == ReleasedBlockOptions() and model.neck.prompt == PromptOptions()
    assert model.neck.mask_absent and model.neck.adapters[0].leak is None
    assert len(model.neck.adapters[0].experts.table.up) == 1600


def test_variants_trained_as_the_default_train_as_it_does() -> None:
    """The benchmark scores the checkpoints of the default for them, so in training nothing may differ."""
    metafile = yaml.safe_load((FOLDER / 'metafile.yml').read_text(encoding='utf-8'))
    variants = {entry['Name']: entry['Trained As'] for entry in metafile['Models'] if 'Trained As' in entry}
    default = load('mini-vit')
    stem, regime = Path(default.filename).stem, '_pretrained-finetuned'
    assert variants == {f'{stem}_no-code': stem, f'{stem}_no-code{regime}': f'{stem}{regime}'}
    other = load('mini-vit', 'no-code')
    for key in ('train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'randomness'):
        assert other[key] == default[key], key
    models = [perturb(model_of(default)), model_of(other)]
    models[1].load_state_dict(models[0].state_dict())
    inputs = example_inputs(models[0], 4, size=(64, 64))
    inputs['present'] = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 0, 0]]).bool()
    losses, scores, grads = [], [], []
    for model in models:
        torch.manual_seed(0)  # dropout
        losses.append(model.train()(inputs, example_samples(4), mode='loss')['loss_cls'])
        grads.append(torch.autograd.grad(losses[-1], model.neck.generator.by_code)[0])
        scores.append(model.eval()(inputs))
    assert torch.equal(*losses) and torch.equal(*grads) and grads[0].flatten(1).any(1).sum() == 4
    assert torch.equal(scores[0][0], scores[1][0]) and (scores[0][1:] != scores[1][1:]).any(1).all()


def test_vit_b16_trains_the_last_block_and_what_is_new() -> None:
    for variant, fresh in (('', ()), ('released', ('cls', 'pos'))):
        model = model_of(load('vit-b16', variant))
        still = [not any(p.requires_grad for p in layer.parameters()) for layer in model.trunk.vit.layers]
        assert still == [True] * 11 + [False] and not model.trunk.embedding.patch_weight.requires_grad
        assert model.trunk.embedding.pos_embed.shape[0] == 3 and model.trunk.embedding.cls_token.shape[0] == 1
        assert all(p.requires_grad for p in model.neck.parameters()) and model.trunk.fresh == fresh


@torch.no_grad()
def test_vit_b16_presets_score_images() -> None:
    for variant in ('', 'released'):
        model = model_of(load('vit-b16', variant)).eval()
        logits = model({m: torch.randn(1, 3, 224, 224) for m in ('rgb', 'depth', 'ir')})
        assert logits.shape == (1, 2) and torch.isfinite(logits).all()
