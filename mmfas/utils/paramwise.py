"""Patterns of `custom_keys` that set nothing, because no parameter takes them."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.logging import print_log
from torch import nn

from mmfas.utils.errors import InputError

#: Constructors of optimizer wrappers whose patterns are read as below; another one may read them otherwise.
_CONSTRUCTORS = ('DefaultOptimWrapperConstructor', 'LearningRateDecayOptimWrapperConstructor')
#: Keys that shared schedules give for parameters that only some networks have (tokens, tables of positions).
_OFTEN_ABSENT = {'decay_mult'}


def idle_patterns(paramwise_cfg: Mapping[str, Any] | None, model: nn.Module) -> dict[str, str]:
    """Find patterns that mmengine's default constructor applies to no parameter.

    A pattern is a part of a name, not an expression; of those that a name holds the longest counts. Parameters
    that are not trained are left out.

    Args:
        paramwise_cfg: Factors of the parameters, with or without `custom_keys`.
        model: The model.

    Returns:
        Pattern -> why it sets nothing.
    """
    patterns = (paramwise_cfg or {}).get('custom_keys') or {}
    names = _names_of(model)
    taken = {_pattern_of(name, patterns) for name, p in names.items() if p.requires_grad}
    return {key: _reason(key, patterns, names) for key in patterns if key not in taken}


def _names_of(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters by the names that patterns are compared with."""
    return {name if '.' in name else f'.{name}': p for name, p in model.named_parameters()}


def _pattern_of(name: str, patterns: Iterable[str]) -> str | None:
    """Return the pattern whose factors a parameter takes in mmengine: the longest, of equals the first."""
    return min((key for key in patterns if key in name), key=lambda key: (-len(key), key), default=None)


def _reason(key: str, patterns: Iterable[str], names: Mapping[str, nn.Parameter]) -> str:
    """Say why a pattern sets nothing."""
    found = [name for name in names if key in name]
    if not found:
        parts = {'.'.join(name.split('.')[:depth]) for name in names for depth in range(1, name.count('.') + 2)}
        near = difflib.get_close_matches(key, sorted(parts - {''}), n=1)
        return 'no parameter has it in its name' + (f', did you mean {near[0]}?' if near else '')
    trained = [name for name in found if names[name].requires_grad]
    if not trained:
        return f'the {len(found)} parameters with it in their names are not trained'
    first = _pattern_of(trained[0], patterns)
    return f'every parameter with it in its name takes another pattern first, such as {first!r}'


def pattern_problems(wrapper: Any, model: nn.Module) -> tuple[list[str], list[str]]:
    """Judge the patterns of an optimizer wrapper that set nothing.

    One that no parameter has in its name is a mistake: the rate of the config's author would not be that of the
    run. It may be meant where it only says how much decay there is, as in schedules that several networks share,
    and where its parameters are there but frozen, or have a longer pattern.

    Args:
        wrapper: Config of the wrapper.
        model: The model.

    Returns:
        What is wrong, and what may be meant: one sentence for every pattern.
    """
    if not isinstance(wrapper, Mapping):
        return [], []
    constructor = str(wrapper.get('constructor') or _CONSTRUCTORS[0]).rpartition('.')[2]
    if constructor not in _CONSTRUCTORS:
        return [], []
    paramwise, names = wrapper.get('paramwise_cfg') or {}, _names_of(model)
    problems = _nothing_trained(paramwise.get('custom_keys') or {}, names)
    notes: list[str] = []
    for key, reason in idle_patterns(paramwise, model).items():
        is_absent = not any(key in name for name in names)
        is_mistake = is_absent and not set(paramwise['custom_keys'][key]) <= _OFTEN_ABSENT
        line = f'optim_wrapper.paramwise_cfg.custom_keys.{key}: sets nothing, {reason}'
        (problems if is_mistake else notes).append(line)
    return problems, notes


def _nothing_trained(patterns: Mapping[str, Any], names: Mapping[str, nn.Parameter]) -> list[str]:
    """Say that no parameter would change: all are frozen, or have a rate of 0."""
    trained = [name for name, parameter in names.items() if parameter.requires_grad]
    if names and not trained:
        return ['model: none of its parameters is trained (requires_grad)']
    options = (patterns.get(_pattern_of(name, patterns) or '', {}) for name in trained)
    if trained and all(0 in (one.get('lr_mult'), one.get('lr')) for one in options):
        return ['optim_wrapper.paramwise_cfg.custom_keys: every rate is 0, nothing would be trained']
    return []


def check_patterns(wrapper: Any, model: nn.Module) -> None:
    """Refuse patterns that set nothing by mistake, and warn of those that may be meant; see `pattern_problems`.

    Args:
        wrapper: Config of the optimizer wrapper.
        model: The model.

    Raises:
        ValueError: If no parameter has the pattern in its name; names it.
    """
    problems, notes = pattern_problems(wrapper, model)
    if problems:
        raise InputError('; '.join(problems))
    for note in notes:
        print_log(note, logger='current', level=logging.WARNING)
