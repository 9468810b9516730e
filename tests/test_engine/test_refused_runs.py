"""Runs that would mean nothing are refused before the first step, with one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_process import train
from mmengine.config import Config

from mmfas.apis.training import train as run_training
from mmfas.utils.checkpoint import CheckpointError, load_checkpoint, write_checkpoint

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


def _info(checkpoint: dict[str, Any]) -> dict[str, Any]:
    return checkpoint['message_hub']['runtime_info']  # type: ignore[no-any-return]


#: What is wrong with the state in a checkpoint -> how it becomes so, and what the message names.
_STATES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    'meta is a list': (lambda c: c.update(meta=[1]), '`meta` must be a dictionary'),
    'epoch is text': (lambda c: c['meta'].update(epoch='3'), r'meta.epoch must be an integer'),
    'iteration below 0': (lambda c: c['meta'].update(iter=-4), r'meta.iter must be an integer'),
    'seed too large': (lambda c: c['meta'].update(seed=2**40), r'meta.seed must be an integer'),
    'hub without scalars': (lambda c: c['message_hub'].pop('log_scalars'), 'message_hub is not one of mmfas'),
    'hub is a number': (lambda c: c.update(message_hub=5), 'message_hub is not one of mmfas'),
    'best score is text': (
        lambda c: c['message_hub']['runtime_info'].update(best_score='x'),
        "number, but is 'x'",
    ),
    'best score is NaN': (
        lambda c: c['message_hub']['runtime_info'].update(best_score=float('nan')),
        'but is nan',
    ),
    'best file is 5': (lambda c: _info(c).update(best_ckpt=5), 'must be a path, but is 5'),
    'kept is text': (lambda c: _info(c).update(keep_ckpt_ids='x'), 'must be integers, 0'),
    'no schedules': (lambda c: c.pop('param_schedulers'), 'must hold the state of 1 schedules'),
    'schedule with a method': (lambda c: c['param_schedulers'][0].update(step=5), 'not the state of a Cosine'),
    'step is text': (lambda c: c['param_schedulers'][0].update(last_step='x'), "last_step is 'x'"),
    'optimizer is empty': (lambda c: c.update(optimizer={}), 'must hold the state and param_groups'),
    'one parameter less': (lambda c: c['optimizer']['param_groups'][0]['params'].pop(), 'optimizer is of'),
    'rate below 0': (lambda c: c['optimizer']['param_groups'][0].update(lr=-1.0), 'lr must be a finite number'),
    'another shape': (lambda c: c['optimizer']['state'][0].update(exp_avg=torch.ones(3)), r'is \(3,\) instead of'),
    'NaN': (lambda c: c['optimizer']['state'][0]['exp_avg'].fill_(float('nan')), 'exp_avg holds NaN'),
    'negative squares': (lambda c: c['optimizer']['state'][0]['exp_avg_sq'].fill_(-1), 'negative squares'),
    'averages': (lambda c: c.update(ema_state_dict=c['state_dict']), 'averages of EMAHook, which this config'),
}


@pytest.fixture(scope='module')
def run_of_one_epoch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('state')
    return train(folder, 'run', '--cfg-options', 'train_cfg.max_epochs=1')[0]


@pytest.mark.parametrize('what', _STATES)
def test_a_state_that_no_run_can_go_on_from(what: str, run_of_one_epoch: Path, tmp_path: Path) -> None:
    content = load_checkpoint(run_of_one_epoch / 'epoch_1.pth')
    change, message = _STATES[what]
    change(content)
    write_checkpoint(content, tmp_path / 'changed.pth')
    cfg = Config.fromfile(run_of_one_epoch.with_suffix('.py'))
    cfg.update(work_dir=str(tmp_path / 'again'), resume=True, load_from=str(tmp_path / 'changed.pth'))
    cfg.experiment_name = tmp_path.name  # otherwise the second, which runs of one second would have in common
    cfg.train_cfg.max_epochs = 2
    with pytest.raises(CheckpointError, match=message):
        run_training(cfg)
    assert not list((tmp_path / 'again').rglob('*.pth'))
