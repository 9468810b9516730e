"""The way of `docs/en/datasets.md` from freshly written fake originals of all four sets to the three tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mmfas.benchmark.records import read_records
from mmfas.cli.__main__ import main

from . import original_files as originals
from .data_files import write_cpsw_lists

pytestmark = [pytest.mark.engine, pytest.mark.slow(45), pytest.mark.tutorial]

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_'
NAME = 'concat_tiny_cpsw-cps2w'
SIZE = 32
#: A model of a few thousand weights, on the lists and loaders of the real benchmark.
CONFIG = f"""
_base_ = [
    '{CONFIGS}/models/mini_vit.py',
    '{CONFIGS}/datasets/cpsw_p1_cps2w.py',
    '{CONFIGS}/schedules/adamw_12e.py',
    '{CONFIGS}/default_runtime.py',
]
model = dict(trunk=dict(vit=dict(
    arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16), img_size={SIZE})))
train_cfg = dict(max_epochs=1)
steps = [
    dict(type='LoadMultiModalImages', allow_size_mismatch=True),
    dict(type='ResizeModalities', scale=({SIZE}, {SIZE})),
    dict(type='PackFASInputs'),
]
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(pipeline=steps))
val_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False, dataset=dict(pipeline=steps))
test_dataloader = dict(batch_size=8, num_workers=0, persistent_workers=False, dataset=dict(pipeline=steps))
"""


def write_method(folder: Path) -> Path:
    """Write a config and the metafile that gives its results a name."""
    config = folder / f'{NAME}.py'
    config.write_text(CONFIG)
    entry = {'Name': NAME, 'In Collection': 'Concat', 'Config': str(config)}
    (folder / 'metafile.yml').write_text(yaml.safe_dump({'Models': [entry]}))
    return config


def test_from_archives_to_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, raw = tmp_path / 'cpsw', tmp_path / 'raw'
    data.mkdir()
    write_cpsw_lists(data)
    originals.write_originals(raw)
    for name in ('cefa', 'padisi', 'casia_surf', 'wmca'):
        assert main(['data', 'convert', name, str(raw / name), str(data), '--num-processes', '1']) == 0
    assert capsys.readouterr().out.count('all that the lists need is there') == 4

    main(['data', 'protocols', str(data), '--data-root', str(data)])  # tiny lists have other counts
    told = capsys.readouterr().out
    assert '12 lists (lists as published): 12 with other counts, 0 files missing' in told
    assert len(re.findall(r'\b(\d+)/\1\b', told)) == 12

    config = write_method(tmp_path)
    assert main(['data', 'verify', str(config), '--cfg-options', *_roots(data)]) == 0, capsys.readouterr().out

    run = ['benchmark', 'run', str(config), '--data-root', str(data), '--records', str(tmp_path / 'runs')]
    run += ['--work-dir', str(tmp_path / 'work'), '--jobs', '2', '--protocols']
    for protocol in (1, 2, 3):
        assert main([*run, str(protocol)]) == 0
        assert f'Protocol {protocol}' in capsys.readouterr().out

    records = {record.cell.name: _num_scored(record.report) for record in read_records(tmp_path / 'runs')}
    num_test = {'cps2w': 3, 'cpw2s': 2, 'csw2p': 2, 'psw2c': 4}
    expected = {f'p1_{name}_s0': num for name, num in num_test.items()}
    for missing in ('no-depth', 'no-ir', 'no-depth-ir'):
        expected.update({f'p2_{name}_{missing}_s0': num for name, num in num_test.items()})
    assert records == {**expected, 'p3_cw2ps_s0': 4, 'p3_ps2cw_s0': 7}


def _roots(data: Path) -> list[str]:
    """Return the options that point a config at the data."""
    return [f'{name}_dataloader.dataset.data_root={data}' for name in ('train', 'val', 'test')]


def _num_scored(report: dict) -> int:
    """Return on how many samples a report was made."""
    return report['num_live'] + report['num_spoof']
