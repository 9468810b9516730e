"""Whether the state of a training in a checkpoint is one that a run can go on from.

The engine takes it at its word: a missing schedule starts anew, averaged weights are taken for trained ones, and
what does not fit fails in the middle of torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.hooks import EMAHook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor
from torch.optim import Optimizer

from mmfas.utils.checkpoint import CheckpointError
from mmfas.utils.state_dicts import compare_state_dicts

__all__ = ['require_fitting_state', 'require_sound_state']

#: State of an optimizer that has the shape of its parameter.
_OF_PARAMETERS = ('exp_avg', 'exp_avg_sq', 'max_exp_avg_sq', 'momentum_buffer')
#: State of an optimizer whose root is taken.
_SQUARES = ('exp_avg_sq', 'max_exp_avg_sq')
_MOST_NAMED = 3


def require_sound_state(runner: Runner, checkpoint: Mapping[str, Any]) -> None:
    """Raise if parts of the state are of another kind than the engine saves, or averaged weights do not fit.

    Parts that are missing are not looked at.

    Args:
        runner: A run that resumes; its model is built.
        checkpoint: What it loads.

    Raises:
        CheckpointError: If the run cannot go on from it; the message names up to three parts.
    """
    faults = [*_of_meta(checkpoint.get('meta', {})), *_of_bests(checkpoint.get('message_hub', {}))]
    _raise(runner, [*faults, *_of_averages(runner, checkpoint)])


def require_fitting_state(runner: Runner, checkpoint: Mapping[str, Any]) -> None:
    """Raise if the state of optimizer and schedules is not one of this run's.

    Args:
        runner: A run that resumes; optimizer and schedules are built.
        checkpoint: What it loads; it has an optimizer.

    Raises:
        CheckpointError: If the run cannot go on from it; the message names up to three parts.
    """
    _raise(runner, [*_of_wrapper(runner, checkpoint['optimizer']), *_of_schedules(runner, checkpoint)])


def _raise(runner: Runner, faults: list[str]) -> None:
    if faults:
        more = f', and {len(faults) - _MOST_NAMED} more' if len(faults) > _MOST_NAMED else ''
        raise CheckpointError(
            f"cannot resume from '{runner._load_from}': {'; '.join(faults[:_MOST_NAMED])}{more}. Resume from "
            'another epoch_*.pth, or start a new run from its weights with `--cfg-options load_from=FILE`'
        )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _of_meta(meta: Any) -> Iterator[str]:
    """Yield what is wrong with the counters and the seed."""
    if not isinstance(meta, Mapping):
        yield f'`meta` must be a dictionary, but is a {type(meta).__name__}'
        return
    for key in ('epoch', 'iter'):
        if not _is_count(meta.get(key)):
            yield f'meta.{key} must be an integer, 0 or more, but is {meta.get(key)!r:.60}'
    seed = meta.get('seed')
    if seed is not None and not (_is_count(seed) and seed < 2**32):
        yield f'meta.seed must be an integer from 0 to 4294967295, but is {seed!r:.60}'


def _of_bests(hub: Any) -> Iterator[str]:
    """Yield what is wrong with the best scores so far, with which the next ones are compared, and their files."""
    info = hub.get('runtime_info') if isinstance(hub, Mapping) else None
    for key, value in info.items() if isinstance(info, Mapping) else ():
        name = str(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and value == value
        if name.startswith('best_score') and not is_number:
            yield f'message_hub.runtime_info.{name} must be a number, but is {value!r:.60}'
        elif name.startswith(('best_ckpt', 'last_ckpt')) and not isinstance(value, str | None):
            yield f'message_hub.runtime_info.{name} must be a path, but is {value!r:.60}'
        elif name == 'keep_ckpt_ids' and not (isinstance(value, list | tuple) and all(map(_is_count, value))):
            yield f'message_hub.runtime_info.{name} must be integers, 0 or more, but is {value!r:.60}'


def _of_averages(runner: Runner, checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with averaged weights: in the file they stand in the place of the trained ones."""
    averages = any(isinstance(hook, EMAHook) for hook in runner.hooks)
    if 'ema_state_dict' not in checkpoint:
        return
    if not averages:
        yield (
            'its weights are averages of EMAHook, which this config does not have, so that training would go on '
            'from other weights than it had reached; add the hook again'
        )
        return
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    for key in ('ema_state_dict', 'state_dict'):  # the hook exchanges them name by name
        given = checkpoint.get(key)
        if not (isinstance(given, Mapping) and all(isinstance(value, Tensor) for value in given.values())):
            yield f'{key} must be names with tensors'
            continue
        weights = {name.removeprefix('module.'): value for name, value in given.items()}
        misfit = compare_state_dicts(weights, model.state_dict(), ignored=('steps',))
        if misfit:
            yield f'{key} does not fit the model of this config; {misfit}'


def _of_wrapper(runner: Runner, given: Any) -> Iterator[str]:
    """Yield what is wrong with the state of one optimizer, or of several by name."""
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapperDict):
        yield from _of_optimizer('optimizer', given, wrapper.optimizer)
    elif not isinstance(given, Mapping) or set(given) != set(wrapper.optim_wrappers):
        yield f'optimizer must hold the state of {", ".join(wrapper.optim_wrappers)}'
    else:
        for name, one in wrapper.optim_wrappers.items():
            yield from _of_optimizer(f'optimizer.{name}', given[name], one.optimizer)


def _of_optimizer(place: str, given: Any, optimizer: Optimizer) -> Iterator[str]:
    """Yield what is wrong with the state of an optimizer."""
    held: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    groups: Any = held.get('param_groups')
    state: Any = held.get('state')
    is_sound = isinstance(state, Mapping) and isinstance(groups, list)
    if not is_sound or not all(isinstance(g, Mapping) and isinstance(g.get('params'), list) for g in groups):
        yield f'{place} must hold the state and param_groups of an optimizer'
        return
    found, wanted = ([len(group['params']) for group in owner] for owner in (groups, optimizer.param_groups))
    if found != wanted:
        yield (
            f'{place} is of {sum(found)} parameters in {len(found)} groups, but the model of this config has '
            f'{sum(wanted)} in {len(wanted)}'
        )
        return
    for number, group in enumerate(groups):
        rate = group.get('lr')
        rate = rate.item() if isinstance(rate, Tensor) and rate.numel() == 1 else rate
        is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
        if not (is_number and math.isfinite(rate) and rate >= 0):
            yield f'{place}.param_groups[{number}].lr must be a finite number, 0 or more, but is {rate!r:.60}'
    numbers = [number for group in groups for number in group['params']]
    parameters = [parameter for group in optimizer.param_groups for parameter in group['params']]
    for number, parameter in zip(numbers, parameters):
        yield from _of_parameter(f'{place}.state[{number!r}]', state.get(number, {}), parameter)


def _of_parameter(place: str, state: Any, parameter: Tensor) -> Iterator[str]:
    """Yield what is wrong with the state of one parameter."""
    if not isinstance(state, Mapping):
        yield f'{place} must be a dictionary, but is a {type(state).__name__}'
        return
    for key, value in state.items():
        if key in _OF_PARAMETERS and value is not None and getattr(value, 'shape', None) != parameter.shape:
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            yield f'{place}.{key} is {found} instead of {tuple(parameter.shape)}'
        elif isinstance(value, Tensor) and value.is_floating_point() and not bool(torch.isfinite(value).all()):
            yield f'{place}.{key} holds NaN or infinite values'
        elif key in _SQUARES and isinstance(value, Tensor) and bool((value < 0).any()):
            yield f'{place}.{key} holds negative squares'


def _of_schedules(runner: Runner, checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the state of the schedules."""
    own, given = runner.param_schedulers, checkpoint.get('param_schedulers')
    if not own:
        return
    named = own if isinstance(own, Mapping) else {'': own}
    states = given if isinstance(own, Mapping) else {'': given}
    for name, schedulers in named.items():
        place = f'param_schedulers.{name}'.rstrip('.')
        listed = states.get(name) if isinstance(states, Mapping) else None
        if not (isinstance(listed, list) and len(listed) == len(schedulers)):
            yield f'{place} must hold the state of {len(schedulers)} schedules, which would start anew'
            continue
        for number, (scheduler, state) in enumerate(zip(schedulers, listed)):
            # Versions of the engine may differ in what they keep, but none keeps a method.
            is_state = isinstance(state, Mapping) and 'last_step' in state
            if not is_state or any(callable(getattr(type(scheduler), str(key), None)) for key in state):
                yield f'{place}[{number}] is not the state of a {type(scheduler).__name__}'
            elif wrong := _unlike(state, scheduler.state_dict()):
                yield f'{place}[{number}].{wrong[0]} is {state[wrong[0]]!r:.60}, unlike that of a new run'


def _unlike(state: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Name the values of another kind; what a new run does not know yet may be anything."""
    both = [key for key, value in known.items() if value is not None and key in state]
    return [key for key in both if _kind(state[key]) != _kind(known[key])]


def _kind(value: Any) -> int:
    """Number the kind of a value, up to what saving may change: lists and tuples, integers and floats."""
    kinds = (bool, int | float, str, Mapping, list | tuple)
    return next((number for number, kind in enumerate(kinds) if isinstance(value, kind)), -1)
