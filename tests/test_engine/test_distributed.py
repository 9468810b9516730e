"""Two CPU processes train and score as one process with the doubled batch does."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from engine_process import HERE, run_command, run_ranks, train, write_config
from warm_python import warm_python

from mmfas.utils.checkpoint import load_checkpoint

pytestmark = pytest.mark.engine
ROOT = HERE.parents[1]
# Samples without infrared image: spread so that the counts of two processes differ, or all of the second process.
_SPREAD, _SECOND = (1, 5, 6, 7, 9, 11, 13, 20), tuple(range(1, 40, 2))
_COMMON = """
model = dict(drop=0.0)
train_dataloader = dict(
    batch_size={batch},
    dataset=dict(noise=0.0, length=40, absent_ir={absent}),
    sampler=dict(shuffle={shuffle}),
)
train_cfg = dict(max_epochs={epochs})
optim_wrapper = dict(_delete_=True, optimizer={optimizer}, {extra})
param_scheduler = None
"""
_SGD = "dict(type='SGD', lr=0.1, momentum=0.9)"


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(HERE), os.environ.get('PYTHONPATH', '')])
    python = dict(PYTHON=warm_python(), PYTHON_EXEC=warm_python())  # of the script, and of what torchrun starts
    return {**os.environ, **python, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'}


def _script(name: str, *arguments: object) -> str:
    command = ['bash', str(ROOT / 'tools' / name), *map(str, arguments)]
    result = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=170)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return result.stdout


def _largest_difference(first: Path, second: Path) -> float:
    one, two = load_checkpoint(first), load_checkpoint(second)
    assert one['meta']['iter'] == two['meta']['iter']
    return max((value - two['state_dict'][name]).abs().max().item() for name, value in one['state_dict'].items())


def test_twenty_sgd_steps_equal_one_process(tmp_path: Path) -> None:
    sgd = dict(epochs=4, optimizer=_SGD, absent=_SPREAD, shuffle=True, extra='')
    double = write_config(
        tmp_path,
        'double',
        _COMMON.format(batch=4, **sgd),
    )
    _script('dist_train.sh', double, 2, '--no-validate', '--work-dir', tmp_path / 'double')
    changes = _COMMON.format(batch=8, **sgd)
    single, _ = train(tmp_path, 'single', '--no-validate', changes=changes)
    assert load_checkpoint(single / 'epoch_4.pth')['meta']['iter'] == 20
    start = torch.cat(
        [value.flatten() for value in load_checkpoint(single / 'epoch_3.pth')['state_dict'].values()]
    )
    end = torch.cat([value.flatten() for value in load_checkpoint(single / 'epoch_4.pth')['state_dict'].values()])
    assert (start - end).abs().max() > 1e-2
    assert _largest_difference(tmp_path / 'double' / 'epoch_4.pth', single / 'epoch_4.pth') < 1e-6


def _losses(work_dir: Path) -> list[float]:
    (file,) = work_dir.glob('*/vis_data/scalars.json')
    return [row['loss'] for row in map(json.loads, file.read_text().splitlines()) if 'loss' in row]


def test_balanced_batches_are_those_of_one_process(tmp_path: Path) -> None:
    """42 samples are dealt in an epoch: five whole batches and one of two samples."""
    options = dict(epochs=2, optimizer=_SGD, absent=_SPREAD, shuffle=True, extra='')
    runs = []
    for name, batch in (('double', 4), ('single', 8)):
        changes = _COMMON.format(batch=batch, **options).replace(
            'sampler=dict(shuffle=True)', "sampler=dict(_delete_=True, type='DomainClassBalancedSampler')"
        )
        changes += 'default_hooks = dict(logger=dict(interval=1))\nlog_processor = dict(window_size=1)\n'
        config, log = write_config(tmp_path, name, changes), tmp_path / f'{name}.log'
        run = run_ranks if name == 'double' else run_command
        arguments = [config, '--no-validate', '--work-dir', tmp_path / name]
        assert run('mmfas.cli.train', arguments, log) in (0, [0, 0]), log.read_text()[-2000:]
        runs.append(_losses(tmp_path / name))
    double, single = runs
    assert len(single) == 12 and len(set(single)) > 6
    assert double == pytest.approx(single, abs=1e-6)
    assert _largest_difference(tmp_path / 'double' / 'epoch_2.pth', tmp_path / 'single' / 'epoch_2.pth') < 1e-6


def test_averaged_gradients_equal_with_adamw(tmp_path: Path) -> None:
    """AdamW's normalisation makes a large step of the rounding of a tiny gradient, so gradients are compared.

    The second process has no infrared image at all.
    """
    adamw = "dict(type='AdamW', lr=1e-30)"
    records = []
    for name, batch in (('double', 4), ('single', 8)):
        record = tmp_path / f'{name}.pt'
        extra = f"type='RecordingOptimWrapper', record='{record}'"
        options = dict(epochs=1, optimizer=adamw, absent=_SECOND, shuffle=False, extra=extra)
        changes = _COMMON.format(batch=batch, **options)
        config, log = write_config(tmp_path, name, changes), tmp_path / f'{name}.log'
        arguments = [config, '--no-validate', '--work-dir', tmp_path / name]
        run = run_ranks if name == 'double' else run_command
        assert run('mmfas.cli.train', arguments, log) in (0, [0, 0]), log.read_text()[-2000:]
        records.append(torch.load(record, weights_only=True))
    double, single = records
    assert len(double) == len(single) == 5
    for first, second in zip(double, single, strict=True):
        assert len(first) == len(second) == 8
        for one, two in zip(first, second, strict=True):
            assert two.abs().max() > 1e-4
            assert (one - two).abs().max() < 1e-6


def test_two_processes_score_as_one(tmp_path: Path) -> None:
    work_dir, _ = train(tmp_path, 'run', '--cfg-options', 'train_cfg.max_epochs=1')
    config, log = write_config(tmp_path, 'test'), tmp_path / 'test.log'
    arguments = [config, work_dir / 'epoch_1.pth', '--no-plots', '--bootstrap', 0, '--out']
    assert run_ranks('mmfas.cli.test', [*arguments, tmp_path / 'two'], log) == [0, 0], log.read_text()
    assert run_command('mmfas.cli.test', [*arguments, tmp_path / 'one'], log) == 0, log.read_text()
    for name in ('dev.csv', 'test.csv', 'test-other.csv'):
        assert (tmp_path / 'one' / name).read_text() == (tmp_path / 'two' / name).read_text()
    assert len((tmp_path / 'two' / 'test.csv').read_text().splitlines()) == 15
