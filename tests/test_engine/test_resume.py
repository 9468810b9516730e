"""A run that was killed and resumed ends with the weights of an unbroken one."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
from engine_process import train

from mmfas.apis.training import find_latest
from mmfas.utils.checkpoint import load_checkpoint, load_weights

pytestmark = pytest.mark.engine
_HOOKS = """
    dict(type='EMAHook', momentum=0.1),
    dict(type='EarlyStoppingHook', monitor='dev/hter', rule='less', patience=9),
"""
_WORKERS = 'train_dataloader = dict(num_workers=2, persistent_workers=True)'
_KILL = "dict(type='KillHook', at_iter=7)"


def _equal(first: Path, second: Path) -> None:
    one, two = load_checkpoint(first), load_checkpoint(second)
    assert one['meta']['iter'] == two['meta']['iter'] == 12
    for part in ('state_dict', 'ema_state_dict'):
        assert list(one[part]) == list(two[part])
        for name, value in one[part].items():
            assert torch.equal(value, two[part][name]), (part, name)
    assert one['param_schedulers'] == two['param_schedulers']
    assert (
        one['message_hub']['runtime_info']['early_stopping']
        == two['message_hub']['runtime_info']['early_stopping']
    )
    assert one['message_hub']['runtime_info']['best_score'] == two['message_hub']['runtime_info']['best_score']


def test_killed_and_resumed_equals_unbroken(tmp_path: Path) -> None:
    whole, _ = train(tmp_path, 'whole', changes=f'custom_hooks = [{_HOOKS}]')
    kill = f'custom_hooks = [{_HOOKS}, {_KILL}]\n{_WORKERS}'.replace(',\n,', ',')
    broken, _ = train(tmp_path, 'broken', changes=kill, expect=-signal.SIGKILL)
    assert find_latest(broken) == broken / 'epoch_1.pth'
    _, text = train(tmp_path, 'broken', '--resume', changes=f'custom_hooks = [{_HOOKS}]\n{_WORKERS}')
    assert 'resumed epoch: 1, iter: 4' in text
    _equal(whole / 'epoch_3.pth', broken / 'epoch_3.pth')


def test_seed_is_taken_from_the_checkpoint(tmp_path: Path) -> None:
    """Without a fixed seed the resumed run takes sampler order, noise and dropout from the checkpoint's seed."""
    free = 'randomness = dict(seed=None)\n'
    broken, _ = train(tmp_path, 'run', changes=f'{free}custom_hooks = [{_KILL}]', expect=-signal.SIGKILL)
    seed = load_checkpoint(broken / 'epoch_1.pth')['meta']['seed']
    train(tmp_path, 'run', '--resume', 'auto', changes=free)
    whole, _ = train(tmp_path, 'whole', '--seed', seed)
    one, two = load_weights(broken / 'epoch_3.pth'), load_weights(whole / 'epoch_3.pth')
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_early_stop_is_remembered(tmp_path: Path) -> None:
    changes = """
custom_hooks = [dict(type='EarlyStoppingHook', monitor='dev/hter', rule='less', patience=1)]
optim_wrapper = dict(optimizer=dict(lr=1e-30))
"""
    work_dir, text = train(tmp_path, 'run', changes=changes)
    assert 'dev/hter has not improved in 1 validations' in text
    assert find_latest(work_dir) == work_dir / 'epoch_2.pth'
    train(tmp_path, 'run', '--resume', changes=changes)
    assert find_latest(work_dir) == work_dir / 'epoch_2.pth'


def test_resume_without_checkpoint_starts_anew(tmp_path: Path) -> None:
    work_dir, text = train(tmp_path, 'run', '--resume', '--cfg-options', 'train_cfg.max_epochs=1')
    assert 'starts from the beginning' in text
    assert (work_dir / 'epoch_1.pth').is_file()


def test_a_kill_before_the_pointer_was_written_leaves_none_missing(tmp_path: Path) -> None:
    options = ('--cfg-options', 'train_cfg.max_epochs=1')
    work_dir, _ = train(tmp_path, 'run', *options)
    pointer = work_dir / 'last_checkpoint'
    content = pointer.read_text()
    pointer.unlink()
    train(tmp_path, 'run', '--resume', *options)
    assert pointer.read_text() == content


def test_weights_only_file_cannot_be_resumed(tmp_path: Path) -> None:
    work_dir, _ = train(tmp_path, 'run', '--cfg-options', 'train_cfg.max_epochs=1')
    best = next(work_dir.glob('best_*.pth'))
    _, text = train(tmp_path, 'again', '--resume', str(best), expect=1)
    assert 'cannot resume: the checkpoint lacks optimizer' in text
    assert 'Traceback' not in text
