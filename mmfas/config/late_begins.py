"""Schedules and hooks that begin after the training has ended, and so would do nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmfas.config.hooks import hooks_of
from mmfas.config.lookup import type_name
from mmfas.config.rules import is_finite
from mmfas.config.schedules import schedules_of
from mmfas.config.wording import shown

#: Arguments of hooks that say from when on they act; those of the second group count epochs or iterations by name.
_BEGIN = re.compile(r'(?:save_)?begin|start|(?:begin|start|switch|action)_(epoch|iter)s?')


@dataclass(frozen=True)
class Length:
    """How long a training is, as far as that is known; infinite where it is not."""

    epochs: float = float('inf')
    iters: float = float('inf')

    @classmethod
    def of(cls, train_cfg: Any, batches: int | None = None) -> Length:
        """Read a loop's config.

        Args:
            train_cfg: Config of the loop.
            batches: Steps of an epoch, if they are known.
        """
        given = train_cfg if isinstance(train_cfg, Mapping) else {}
        epochs: Any = given.get('max_epochs')
        iters: Any = given.get('max_iters')
        if is_finite(iters):
            return cls(iters=iters)
        if not is_finite(epochs):
            return cls()
        return cls(epochs, epochs * batches if batches else float('inf'))

    def unit(self, by_epoch: bool) -> tuple[float, str]:
        """Return the length in epochs or in iterations, and the name of the unit."""
        return (self.epochs, 'epochs') if by_epoch else (self.iters, 'iterations')


def late_hooks(cfg: Mapping[str, Any], length: Length) -> Iterator[str]:
    """Find hooks that would act only after the end: a result would carry their name without their effect.

    Args:
        cfg: A whole config as for Runner.
        length: Length of its training.

    Yields:
        One line for every argument.
    """
    for path, hook in hooks_of(cfg):
        yield from _late_arguments(path, hook, length, hook.get('by_epoch', True) is not False)
        yield from _never_saves(path, hook, length)
        interval: Any = hook.get('interval')
        if type_name(hook).endswith('EMAHook') and is_finite(interval) and interval > length.iters:
            yield (
                f'{path}.interval: {shown(interval)} is above {length.iters:g} iterations: the average, which is '
                'saved as the model, would be the weights of the first step'
            )


def _late_arguments(path: str, value: Any, length: Length, by_epoch: bool) -> Iterator[str]:
    """Yield every argument of a hook, or of what it holds, that names a moment after the end."""
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _late_arguments(f'{path}[{i}]', item, length, by_epoch)
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        found = _BEGIN.fullmatch(str(key))
        last, unit = length.unit(found[1] == 'epoch' if found and found[1] else by_epoch)
        if found and is_finite(inner) and inner > last:
            yield f'{path}.{key}: {shown(inner)} is after the end, {last:g} {unit}; it would do nothing, lower it'
        else:
            yield from _late_arguments(f'{path}.{key}', inner, length, by_epoch)


def _never_saves(path: str, hook: Mapping[str, Any], length: Length) -> Iterator[str]:
    """Yield that no checkpoint would be written, so that the trained weights would be lost."""
    last, unit = length.unit(hook.get('by_epoch', True) is not False)
    interval: Any = hook.get('interval')
    is_beyond = is_finite(interval) and (interval > last or interval < 1)
    if hook.get('save_last') is False and not hook.get('save_best') and is_beyond:
        yield (
            f'{path}.interval: {shown(interval)} in a training of {last:g} {unit} with save_last=False: nothing '
            'is saved'
        )


def late_schedules(cfg: Mapping[str, Any], length: Length) -> Iterator[str]:
    """Find what never acts but may be meant: trial runs shorten the training of a config, or inherit.

    Args:
        cfg: A whole config as for Runner.
        length: Length of its training.

    Yields:
        One line for every schedule that begins too late, for early stopping that is as patient as the run is
        long, and for gradients that are accumulated beyond its end.
    """
    for place, schedule in schedules_of('param_scheduler', cfg.get('param_scheduler')):
        yield from _late_schedule(place, schedule, length)
    wrapper = cfg.get('optim_wrapper')
    count: Any = wrapper.get('accumulative_counts') if isinstance(wrapper, Mapping) else None
    if is_finite(count) and count > length.iters:
        yield f'optim_wrapper.accumulative_counts: {shown(count)} of {length.iters:g} iterations: one step in all'
    validations = _validations(cfg.get('train_cfg'), length)
    for path, hook in hooks_of(cfg) if cfg.get('val_dataloader') is not None else ():
        if is_finite(hook.get('patience')) and hook['patience'] >= validations:
            yield f'{path}.patience: {shown(hook["patience"])} of {validations:g} validations: it stops nothing'


def _late_schedule(path: str, value: Mapping[str, Any], length: Length) -> Iterator[str]:
    """Yield what is late in a schedule."""
    last, unit = length.unit(value.get('by_epoch', True) is not False)
    begin, stones = value.get('begin', 0), value.get('milestones')
    first = begin + value['step_size'] if _are_finite(begin, value.get('step_size')) else None
    if isinstance(stones, list | tuple) and stones and all(map(is_finite, stones)):
        first = min(stones)
    if is_finite(begin) and begin >= last:
        yield f'{path}.begin: {shown(begin)} is not before the end, {last:g} {unit}; it does nothing'
    elif first is not None and first >= last:
        yield f'{path}: first step {shown(first)} is not before the end, {last:g} {unit}; it does nothing'


def _are_finite(*values: Any) -> bool:
    """Tell whether all of them are finite numbers."""
    return all(map(is_finite, values))


def _validations(train_cfg: Any, length: Length) -> float:
    """Return how often a training by epochs validates."""
    given = train_cfg if isinstance(train_cfg, Mapping) else {}
    interval, begin = given.get('val_interval', 1), given.get('val_begin', 1)
    if not _are_finite(interval, begin) or interval < 1 or 'dynamic_intervals' in given:
        return float('inf')
    last = length.iters if is_finite(given.get('max_iters')) else length.epochs
    return -(-(last - max(begin, 1) + 1) // interval) if last < float('inf') else last
