"""What schedules of rates must hold: spans, factors and milestones that can be followed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mmfas.config.rules import at_least, is_whole
from mmfas.config.wording import shown
from mmfas.utils.numbers import is_number

#: End of a schedule that has none, in mmengine.
_NO_END = int(1e9)


def _numbers(words: str, holds: Callable[[Any], bool]) -> Callable[[Any], str | None]:
    """Make a rule for numbers; values of other kinds are reported where kinds are checked."""
    return lambda value: words if is_number(value) and not holds(value) else None


def _rising(least: int) -> Callable[[Any], str | None]:
    """Make a rule for lists of integers that rise."""

    def rule(value: Any) -> str | None:
        if not isinstance(value, list | tuple):
            return None
        is_rising = all(map(is_whole, value)) and all(a <= b for a, b in zip((least, *value), value))
        return None if value and is_rising else f'must be integers from {least} on, in rising order'

    return rule


def _positive_counts(value: Any) -> str | None:
    """Say what lengths of periods must be."""
    if not isinstance(value, list | tuple):
        return None
    is_right = value and all(is_whole(n) and n >= 1 for n in value)
    return None if is_right else 'must be integers of at least 1'


def _one_of(*names: str) -> Callable[[Any], str | None]:
    """Make a rule for names."""
    return lambda value: None if value in names else f'must be one of {names}'


_COUNT = at_least(1)
_FRACTION = _numbers('must be in [0, 1]', lambda v: 0 <= v <= 1)
_FACTOR = _numbers('must be a finite number above 0', lambda v: math.isfinite(v) and v > 0)
_VALUE = _numbers('must be a finite number, 0 or more', lambda v: math.isfinite(v) and v >= 0)
#: Argument of a scheduler -> what is wrong with its value, or None.
_RULES: dict[str, Callable[[Any], str | None]] = {
    'begin': at_least(0),
    'end': _COUNT,
    'last_step': at_least(-1),
    'T_max': _COUNT,
    'step_size': _COUNT,
    'total_steps': _COUNT,
    'epoch_length': _COUNT,
    'start_factor': _numbers('must be above 0 and at most 1', lambda v: 0 < v <= 1),
    'end_factor': _FRACTION,
    'factor': _FRACTION,
    'eta_min_ratio': _FRACTION,
    'pct_start': _FRACTION,
    'gamma': _FACTOR,
    'power': _FACTOR,
    'div_factor': _FACTOR,
    'final_div_factor': _FACTOR,
    'eta_max': _FACTOR,
    'eta_min': _VALUE,
    'threshold': _VALUE,
    'eps': _VALUE,
    'min_value': _VALUE,
    'patience': _VALUE,
    'cooldown': _VALUE,
    'milestones': _rising(0),
    'periods': _positive_counts,
    'rule': _one_of('less', 'greater'),
    'threshold_rule': _one_of('rel', 'abs'),
    'anneal_strategy': _one_of('cos', 'linear'),
}


def schedules_of(path: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield place and config of every schedule.

    Args:
        path: Place of the value in the config.
        value: Config of one scheduler, a list of them, or those of several optimizers by name.
    """
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from schedules_of(f'{path}[{i}]', item)
    elif isinstance(value, Mapping) and 'type' in value:
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from schedules_of(f'{path}.{key}', inner)


def schedule_problems(schedulers: Any, path: str = 'param_scheduler') -> Iterator[str]:
    """Find schedules that no run can follow.

    Args:
        schedulers: Config of one scheduler, a list of them, or those of several optimizers by name.
        path: Their place in the config.

    Yields:
        One line for every problem.

    >>> list(schedule_problems(dict(type='LinearLR', begin=5, end=5)))
    ['param_scheduler.end: must be above begin, 5, got 5']
    """
    for place, scheduler in schedules_of(path, schedulers):
        yield from _problems(scheduler, place)


def _problems(scheduler: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield what is wrong with one schedule."""
    for key, rule in _RULES.items():
        value = scheduler.get(key)
        is_bool = isinstance(value, bool)
        wrong = None if value is None else rule(value) or ('must be a number' if is_bool else None)
        if wrong is not None:
            yield f'{path}.{key}: {wrong}, got {shown(value)}'
    yield from _span(scheduler, path)
    if scheduler.get('eta_min') is not None and scheduler.get('eta_min_ratio') is not None:
        yield f'{path}.eta_min_ratio: goes against eta_min; take one of them out'
    weights, periods = scheduler.get('restart_weights'), scheduler.get('periods')
    if isinstance(periods, list | tuple) and isinstance(weights, list | tuple) and len(periods) != len(weights):
        yield f'{path}.restart_weights: must be {len(periods)} numbers, one for each period, got {shown(weights)}'


def _span(scheduler: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield that a schedule ends before it begins."""
    begin, end = scheduler.get('begin', 0), scheduler.get('end', _NO_END)
    if is_number(begin) and is_number(end) and begin >= 0 and 1 <= end <= begin:
        yield f'{path}.end: must be above begin, {shown(begin)}, got {shown(end)}'
