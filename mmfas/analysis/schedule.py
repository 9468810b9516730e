"""The learning rate of every iteration of a config, before it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler import ReduceOnPlateauParamScheduler
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS, DefaultScope
from mmengine.runner import Runner
from numpy.typing import NDArray

from mmfas.registry import SCOPE, register_all_modules
from mmfas.utils.compat import unscope_functions
from mmfas.utils.errors import InputError, MissingFileError

__all__ = ['Schedule', 'schedule_of']


@dataclass(frozen=True)
class Schedule:
    """What the schedulers of a config do.

    Args:
        rate: Learning rate of every iteration (T,).
        momentum: Momentum, or the first beta of Adam, of every iteration (T,); None where the optimizer has none.
        epoch_length: Iterations in an epoch; None for a training that is counted in iterations.
        notes: What the curve does not show, one sentence each.
    """

    rate: NDArray[np.float64]
    momentum: NDArray[np.float64] | None
    epoch_length: int | None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.rate.size)

    @property
    def time(self) -> NDArray[np.float64]:
        """When every iteration starts (T,), in epochs or, without them, in iterations."""
        return np.arange(len(self)) / (self.epoch_length or 1)


def schedule_of(cfg: Config, *, iters_per_epoch: int | None = None) -> Schedule:
    """Run the schedulers of a config with nothing to train.

    Args:
        cfg: Config with `train_cfg` and `optim_wrapper`, whose `param_scheduler` may be missing.
        iters_per_epoch: Iterations in an epoch; None counts the batches of the training data in one process.

    Returns:
        The learning rate of every iteration.

    Raises:
        ValueError: If the config has no training, its rate depends on validation, or the training data, whose
            batches are to be counted, cannot be read.
    """
    register_all_modules()
    loop, wrapper = cfg.get('train_cfg') or {}, cfg.get('optim_wrapper') or {}
    if not loop or 'optimizer' not in wrapper:
        raise InputError('the config trains nothing: a schedule needs train_cfg and optim_wrapper.optimizer')
    by_epoch = loop.get('by_epoch', str(loop.get('type', 'EpochBasedTrainLoop')).endswith('EpochBasedTrainLoop'))
    length = _epoch_length(cfg) if iters_per_epoch is None else iters_per_epoch
    if length < 1:
        raise InputError(f'an epoch must have at least one iteration, got {length}')
    steps = int(loop['max_epochs']) * length if by_epoch else int(loop['max_iters'])
    with DefaultScope.overwrite_default_scope(SCOPE):
        parameter = torch.nn.Parameter(torch.zeros(1))
        built = OPTIMIZERS.build(dict(wrapper['optimizer']), default_args=dict(params=[parameter]))
        optimizer = OptimWrapper(built)
        # mmengine counts a training in iterations as one epoch
        ends = {True: int(loop['max_epochs']) if by_epoch else 1, False: steps}
        schedulers = [
            _built(scheduler, optimizer, length, ends) for scheduler in _as_list(cfg.get('param_scheduler'))
        ]
    rates, momenta = _run(optimizer, schedulers, steps, length if by_epoch else None)
    has_momentum = momenta[:1] != [None]
    return Schedule(
        np.array(rates),
        np.array(momenta, dtype=np.float64) if has_momentum else None,
        length if by_epoch else None,
        (*_notes(cfg, wrapper), *([] if by_epoch else _idle(schedulers))),
    )


def _as_list(schedulers: Any) -> list[Any]:
    """Return one scheduler, several or none as a list."""
    if not schedulers:
        return []
    return [schedulers] if isinstance(schedulers, Mapping) else list(schedulers)


def _built(
    cfg: Mapping[str, Any], optimizer: OptimWrapper, epoch_length: int, ends: Mapping[bool, int]
) -> _ParamScheduler:
    """Build a scheduler as the runner does, with the end of the training where it has none of its own."""
    content = {'end': ends[bool(cfg.get('by_epoch', True))], **cfg}
    default = dict(optimizer=optimizer, epoch_length=epoch_length)
    if 'ReduceOnPlateau' in str(cfg.get('type')):
        raise InputError(f'{cfg["type"]} follows the results of validation: its rate is not known before a run')
    built = PARAM_SCHEDULERS.build(content, default_args=default)
    assert not isinstance(built, ReduceOnPlateauParamScheduler)
    return built


def _run(
    optimizer: OptimWrapper, schedulers: list[_ParamScheduler], steps: int, epoch_length: int | None
) -> tuple[list[float], list[float | None]]:
    """Return rate and momentum of every iteration; schedulers step as mmengine's hook has them step."""
    rates, momenta = [], []
    group = optimizer.param_groups[0]
    for step in range(1, steps + 1):
        rates.append(float(group['lr']))
        momenta.append(group['betas'][0] if 'betas' in group else group.get('momentum'))
        optimizer.step()
        ends_epoch = epoch_length is not None and step % epoch_length == 0
        for scheduler in schedulers:
            if not scheduler.by_epoch or ends_epoch:
                scheduler.step()
    return rates, momenta


def _epoch_length(cfg: Config) -> int:
    """Count the batches of an epoch."""
    loader = cfg.get('train_dataloader')
    if not loader:
        raise InputError(
            'the config has no train_dataloader whose batches could be counted; give --iters-per-epoch'
        )
    changes = dict(num_workers=0, persistent_workers=False)
    try:
        return len(Runner.build_dataloader(Config({**unscope_functions(loader), **changes})._cfg_dict, seed=0))
    except FileNotFoundError as error:
        raise MissingFileError(f'{error}; or give --iters-per-epoch, for which no data are needed') from error


def _idle(schedulers: list[_ParamScheduler]) -> Iterator[str]:
    """Name schedulers that step at the end of an epoch, in a training that is counted in iterations."""
    for scheduler in schedulers:
        if scheduler.by_epoch:
            yield (
                f'{type(scheduler).__name__} steps by epoch, but a training in iterations is one epoch to '
                'mmengine, so it has no effect; give by_epoch=False.'
            )


def _notes(cfg: Config, wrapper: Mapping[str, Any]) -> Iterator[str]:
    """Say what the curve does not show."""
    paramwise = wrapper.get('paramwise_cfg') or {}
    factors = {key: value for key, value in paramwise.items() if key.endswith('lr_mult')}
    for name, options in (paramwise.get('custom_keys') or {}).items():
        if 'lr_mult' in options:
            factors[f'custom_keys {name}'] = options['lr_mult']
    if factors:
        listed = ', '.join(f'{name}: {value:g} times the rate' for name, value in factors.items())
        yield f'Some parameters have a rate of their own: {listed}.'
    scale = cfg.get('auto_scale_lr') or {}
    if scale.get('enable'):
        yield (
            'auto_scale_lr is on: the rates are multiplied by the batch size of all processes over '
            f'{scale.get("base_batch_size")}.'
        )
