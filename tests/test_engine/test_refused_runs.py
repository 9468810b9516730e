"""Runs that would mean nothing are refused before the first step, with one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_process import train

pytestmark = pytest.mark.engine


@pytest.mark.parametrize('schedule', ['param_scheduler = None', 'train_cfg = dict(max_epochs=1)'])
def test_a_loader_without_a_batch(tmp_path: Path, schedule: str) -> None:
    changes = f'train_dataloader = dict(batch_size=64, drop_last=True)\n{schedule}'
    work_dir, text = train(tmp_path, 'empty', changes=changes, expect=1)
    assert 'the train loader gives no batch: 16 samples, batch size 64, drop_last=True; lower' in text
    assert 'Traceback' not in text and not list(work_dir.rglob('*.pth'))


@pytest.mark.slow
def test_resuming_with_values_that_the_checkpoint_overrides(tmp_path: Path) -> None:
    """Another rate or schedule is refused; more epochs and another batch size are followed."""
    train(tmp_path, 'run', changes='train_cfg = dict(max_epochs=1)')
    changes = 'train_cfg = dict(max_epochs=2)\noptim_wrapper = dict(optimizer=dict(lr=0.5))'
    _, text = train(tmp_path, 'run', '--resume', changes=changes, expect=1)
    assert 'optim_wrapper.optimizer.lr: 0.01 in the checkpoint, 0.5 in the config' in text
    assert 'Traceback' not in text and 'Epoch(train)' not in text
    changes = 'train_cfg = dict(max_epochs=2)\ntrain_dataloader = dict(batch_size=8)'
    _, text = train(tmp_path, 'run', '--resume', changes=changes)
    assert 'Epoch(train) [2][2/2]' in text


def test_more_patience_lets_a_stopped_run_go_on(tmp_path: Path) -> None:
    hook = "custom_hooks = [dict(type='EarlyStoppingHook', monitor='dev/auc', rule='greater', patience={})]"
    changes = 'train_cfg = dict(max_epochs=6)\noptim_wrapper = dict(optimizer=dict(lr=1e-9))\n'
    _, text = train(tmp_path, 'run', changes=changes + hook.format(1))
    assert 'training stops' in text and 'Epoch(train) [6]' not in text
    _, text = train(tmp_path, 'run', '--resume', changes=changes + hook.format(9))
    assert 'Epoch(train) [6]' in text
