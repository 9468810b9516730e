"""Names that nothing reads and imports that a child replaces are reported, and nothing else is."""

from __future__ import annotations

import inspect
import subprocess
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from warm_python import warm_python

from mmfas.config.check import check_config, config_notes
from mmfas.config.inheritance import lost_imports, read_config_file, unread_names
from mmfas.config.keys import OLD_NAMES, PLACES, TOP_LEVEL_KEYS
from mmfas.config.reading import ConfigError, read_config

REPO = Path(__file__).parents[2]
BASE = REPO / 'configs/baselines/concat_mini-vit_1xb32-12e_synthfas-cps2w.py'


def child(folder: Path, text: str, base: Path = BASE, name: str = 'mine.py') -> str:
    path = folder / name
    path.write_text(f'_base_ = {str(base)!r}\n{text}\n', encoding='utf-8')
    return str(path)


def named(path: str) -> set[str]:
    return {line.partition(':')[0] for line in check_config(Config.fromfile(path))}


def test_the_known_keys_are_those_of_the_runner() -> None:
    assert set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'} <= TOP_LEVEL_KEYS
    assert not TOP_LEVEL_KEYS & set(PLACES)
    assert set(PLACES) >= OLD_NAMES


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ("data_root = '/d'\nmax_epochs = 3\nbatch_size = 8", {'data_root', 'max_epochs', 'batch_size'}),
        ("val_pipeline = [dict(type='PackFASInputs')]", {'val_pipeline'}),
        ('lr = 0.1\nseed, num_workers = 1, 2', {'lr', 'seed', 'num_workers'}),
        (
            "lr_config = dict(policy='step')\ntotal_epochs = 3\nfp16 = dict()",
            {'lr_config', 'total_epochs', 'fp16'},
        ),
        ('optim_wraper = dict(optimizer=dict(lr=1.0))', {'optim_wraper'}),
        ("vis_backends: list = [dict(type='LocalVisBackend')]", {'vis_backends'}),
    ],
)
def test_variables_of_a_file_that_inherits_are_reported(tmp_path: Path, text: str, expected: set[str]) -> None:
    assert named(child(tmp_path, text)) == expected


@pytest.mark.parametrize(
    'text',
    [
        'max_epochs = 3\ntrain_cfg = dict(max_epochs=max_epochs)',
        'batch_size = 8\nfor n in range(2):\n    batch_size += n\ntrain_dataloader = dict(batch_size=batch_size)',
        '_lr = 0.1',
        'lr = 0.1\noptim_wrapper = dict(optimizer=dict(lr=[lr * n for n in (1, 2)][0]))',
    ],
)
def test_variables_that_the_file_itself_uses_are_not(tmp_path: Path, text: str) -> None:
    assert named(child(tmp_path, text)) == set()


def test_a_file_in_the_middle_of_the_chain_is_read_too(tmp_path: Path) -> None:
    middle = child(tmp_path, 'max_epochs = 3\nnum_workers = 1', name='middle.py')
    leaf = child(tmp_path, 'train_dataloader = dict(num_workers=_base_.num_workers)', Path(middle), 'leaf.py')
    (line,) = check_config(Config.fromfile(leaf))
    assert line == 'max_epochs: nothing reads it (middle.py, line 2); set train_cfg.max_epochs'


def test_variables_of_a_dumped_config_are_no_mistakes(tmp_path: Path) -> None:
    source = child(tmp_path, "optimizer = dict(type='AdamW', lr=0.01)\noptim_wrapper = dict(optimizer=optimizer)")
    Config.fromfile(source).dump(tmp_path / 'dumped.py')
    assert 'data_root' in (tmp_path / 'dumped.py').read_text()
    assert named(str(tmp_path / 'dumped.py')) == set()


def test_other_names_are_only_noted(tmp_path: Path) -> None:
    cfg = Config.fromfile(child(tmp_path, "project_title = 'x'"))
    assert check_config(cfg) == []
    assert config_notes(cfg) == ['project_title: nothing reads it (mine.py, line 2); take it out']


@pytest.mark.slow
def test_no_shipped_config_has_a_name_that_nothing_reads() -> None:
    files = [path for path in (REPO / 'configs').glob('*/*.py') if '_base_' not in path.parts]
    assert len(files) > 30
    for path in files:
        file = read_config_file(path)
        assert file is not None and not list(unread_names(file, Config.fromfile(path).to_dict())), path


@pytest.mark.parametrize(
    ('option', 'place'),
    [
        ('resume_from', '--resume FILE'),
        ('lr', 'optim_wrapper.optimizer.lr'),
        ('seed', 'randomness.seed'),
        ('optimizer.lr', 'optim_wrapper.optimizer'),
        ('max_epochs', 'train_cfg.max_epochs'),
        ('trian_cfg.max_epochs', 'did you mean train_cfg'),
        ('note', 'take it out'),
    ],
)
def test_options_that_nothing_reads_are_refused(tmp_path: Path, option: str, place: str) -> None:
    with pytest.raises(ConfigError, match=f'--cfg-options {option}: nothing reads .*{place}'):
        read_config(child(tmp_path, ''), {option: 1})


PLUG = """
from mmfas.models.necks import ConcatNeck
from mmfas.registry import FUSION_NECKS

@FUSION_NECKS.register_module()
class {name}(ConcatNeck):
    pass
"""


@pytest.mark.slow
def test_imports_that_a_child_replaces_are_named(tmp_path: Path) -> None:
    for name in ('PlugOne', 'PlugTwo'):
        (tmp_path / f'{name.lower()}.py').write_text(PLUG.format(name=name))
    neck = "model = dict(neck=dict(_delete_=True, type='PlugOne'))"
    base = child(tmp_path, f"custom_imports = dict(imports=['plugone'])\n{neck}", name='one.py')
    leaf = child(tmp_path, "custom_imports = dict(imports=['plugtwo'])", Path(base), 'two.py')
    file = read_config_file(leaf)
    assert file is not None and 'plugone was not imported' in str(lost_imports(file))
    kept = read_config_file(
        child(tmp_path, "custom_imports = dict(imports=['plugone', 'x'])", Path(base), 'three.py')
    )
    assert kept is not None and lost_imports(kept) is None
    # A process of its own: a part that was registered once stays.
    code = f'from mmfas.cli.check import main; raise SystemExit(main([{leaf!r}]))'
    done = subprocess.run([warm_python(), '-c', code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'custom_imports of two.py replaced that of one.py, so plugone was not imported' in done.stdout
    assert 'did you mean' not in done.stdout
