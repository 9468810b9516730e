"""The schedule of a config: closed forms, a real run, and the command."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from random_photos import photo_config
from torch import nn

from mmfas.analysis.schedule import schedule_of
from mmfas.cli.vis.schedule import main
from mmfas.registry import HOOKS
from mmfas.utils.errors import InputError

pytestmark = pytest.mark.engine

WARM_UP = dict(type='LinearLR', start_factor=0.1, by_epoch=True, end=1, convert_to_iter_based=True)
COSINE = dict(type='CosineAnnealingLR', by_epoch=True, begin=1, eta_min_ratio=0.01, convert_to_iter_based=True)


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> Iterator[None]:
    """Run on one thread with a quiet log."""
    yield


def config(*schedulers: dict[str, Any], epochs: int = 4, **changes: Any) -> Any:
    cfg = photo_config('ConcatNeck', 'LinearFASHead')
    cfg.train_cfg.max_epochs = epochs
    cfg.param_scheduler = list(schedulers)
    cfg.merge_from_dict(changes)
    return cfg


@HOOKS.register_module(force=True)
class RateDiary(Hook):
    """Writes down the rate of every step."""

    rates: list[float] = []

    def before_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])


def test_warm_up_and_cosine_are_their_closed_forms() -> None:
    schedule = schedule_of(config(WARM_UP, COSINE), iters_per_epoch=10)
    assert (len(schedule), schedule.epoch_length) == (40, 10)
    for step in range(10):
        assert schedule.rate[step] == pytest.approx(0.1 * (0.1 + 0.9 * step / 9))
    # the first step of the cosine still has the whole rate, the last one has all but one of its 30 steps behind it
    for step in range(10, 40):
        angle = math.pi * (step - 10) / 30
        assert schedule.rate[step] == pytest.approx(0.001 + 0.099 * (1 + math.cos(angle)) / 2)
    assert schedule.time.tolist()[-1] == 3.9


@pytest.mark.slow
def test_it_is_what_a_run_does(tmp_path: Path) -> None:
    steps = dict(type='MultiStepLR', milestones=[2], gamma=0.5, by_epoch=True)
    cfg = config(WARM_UP, steps, epochs=3, work_dir=str(tmp_path), custom_hooks=[dict(type='RateDiary')])
    cfg.default_hooks = dict(logger=dict(type='LoggerHook'), checkpoint=None)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    schedule = schedule_of(cfg)
    RateDiary.rates.clear()
    Runner.from_cfg(cfg).train()
    assert len(RateDiary.rates) == 15
    np.testing.assert_allclose(schedule.rate, RateDiary.rates)


class Line(BaseModel):
    """The smallest model that trains."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'loss') -> dict[str, torch.Tensor]:
        return dict(loss=self.line(torch.stack(list(inputs))).mean())


class Diary(Hook):
    """Writes down rate and momentum before every step."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def before_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        group = runner.optim_wrapper.param_groups[0]
        self.seen.append((group['lr'], group['betas'][0] if 'betas' in group else group['momentum']))


EPOCHS, ITERATIONS = dict(by_epoch=True, max_epochs=4), dict(by_epoch=False, max_iters=17)
TO_ITERATIONS = dict(by_epoch=True, convert_to_iter_based=True)


@pytest.mark.parametrize(
    ('loop', 'schedulers'),
    [
        (EPOCHS, [dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=5),
                  dict(type='CosineAnnealingLR', by_epoch=True, begin=1),
                  dict(type='CosineAnnealingMomentum', by_epoch=False, eta_min=0.1)]),
        (EPOCHS, [dict(type='MultiStepLR', milestones=[1, 3], gamma=0.5),
                  dict(type='LinearMomentum', start_factor=0.5, end=2, **TO_ITERATIONS)]),
        (EPOCHS, [dict(type='OneCycleLR', eta_max=0.3, total_steps=20, by_epoch=False)]),
        (ITERATIONS, [dict(type='PolyLR', power=0.9, eta_min=0.01, by_epoch=False),
                      dict(type='LinearMomentum', start_factor=0.5, by_epoch=False, end=7)]),
        (ITERATIONS, [dict(type='CosineAnnealingLR', **TO_ITERATIONS)]),
        (ITERATIONS, [dict(type='StepLR', step_size=1, gamma=0.5), dict(type='ExponentialMomentum', gamma=0.9)]),
        (EPOCHS, []),
    ],
)  # fmt: skip
@pytest.mark.parametrize('optimizer', ['SGD', 'Adam'])
def test_every_step_is_that_of_mmengine(
    tmp_path: Path, loop: dict[str, Any], schedulers: list[dict[str, Any]], optimizer: str
) -> None:
    options = dict(momentum=0.8) if optimizer == 'SGD' else {}
    wrapper = dict(accumulative_counts=3, optimizer=dict(type=optimizer, lr=0.1, **options))
    loader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
                  dataset=[dict(inputs=torch.ones(1)) for _ in range(5)])  # fmt: skip
    diary, quiet = Diary(), dict.fromkeys(('timer', 'logger', 'checkpoint', 'sampler_seed', 'runtime_info'))
    runner = Runner(
        Line(), str(tmp_path), train_dataloader=loader, train_cfg=loop, optim_wrapper=wrapper,
        param_scheduler=schedulers, default_hooks=quiet, custom_hooks=[diary], default_scope='mmengine',
        log_level='ERROR', experiment_name=tmp_path.name,
    )  # fmt: skip
    runner.train()
    cfg = Config(dict(train_cfg=loop, optim_wrapper=wrapper, param_scheduler=schedulers))
    schedule = schedule_of(cfg, iters_per_epoch=5)
    assert schedule.momentum is not None
    np.testing.assert_array_equal(np.stack([schedule.rate, schedule.momentum], 1), np.array(diary.seen))


def test_schedulers_that_never_step_are_named() -> None:
    cfg = Config(dict(train_cfg=ITERATIONS, optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
                      param_scheduler=dict(type='StepLR', step_size=1, by_epoch=True)))  # fmt: skip
    (note,) = schedule_of(cfg, iters_per_epoch=5).notes
    assert note.startswith('StepLR steps by epoch') and 'give by_epoch=False' in note


def test_iterations_and_momentum() -> None:
    cfg = config(dict(type='StepLR', step_size=3, gamma=0.1, by_epoch=False),
                 dict(type='LinearMomentum', start_factor=0.5, by_epoch=False, end=5))  # fmt: skip
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=8)
    cfg.optim_wrapper.optimizer.momentum = 0.8
    schedule = schedule_of(cfg, iters_per_epoch=1)
    np.testing.assert_allclose(schedule.rate, [0.1] * 3 + [0.01] * 3 + [0.001] * 2)
    np.testing.assert_allclose(schedule.momentum, [0.4, 0.5, 0.6, 0.7, 0.8, 0.8, 0.8, 0.8])
    assert schedule.epoch_length is None and schedule.time.tolist() == list(range(8))


def test_refusals_and_notes() -> None:
    with pytest.raises(InputError, match='follows the results of validation'):
        schedule_of(config(dict(type='ReduceOnPlateauLR', monitor='dev/hter')), iters_per_epoch=2)
    cfg = config(COSINE, **{'optim_wrapper.paramwise_cfg': dict(custom_keys=dict(trunk=dict(lr_mult=0.1)))})
    assert schedule_of(cfg, iters_per_epoch=2).notes == (
        'Some parameters have a rate of their own: custom_keys trunk: 0.1 times the rate.',
    )
    cfg.train_cfg = None
    with pytest.raises(InputError, match='the config trains nothing'):
        schedule_of(cfg, iters_per_epoch=2)


def test_command_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config(WARM_UP, COSINE).dump(tmp_path / 'config.py')
    out = tmp_path / 'new' / 'schedule.png'
    assert main([str(tmp_path / 'config.py'), '--iters-per-epoch', '5', '--out', str(out)]) == 0
    text = capsys.readouterr().out
    assert '20 iterations, 5 in an epoch; rate 0.01 at first, 0.1 at most (epoch 0.8)' in text
    assert out.stat().st_size > 5000
    with pytest.raises(SystemExit):
        main([str(tmp_path / 'config.py'), '--iters-per-epoch', '0'])
    assert '--iters-per-epoch: must be an integer of at least 1' in capsys.readouterr().err
