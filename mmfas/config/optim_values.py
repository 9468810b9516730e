"""What the plain dictionaries of an optimizer wrapper must hold: clipping, factors of parameters, loss scale."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any

from torch.amp import GradScaler

from mmfas.config.signatures import arguments_of
from mmfas.registry import OPTIMIZERS, resolve
from mmfas.utils.numbers import is_number
from mmfas.utils.optim_options import (
    DECAY_FACTORS,
    LAYER_DECAY_KEYS,
    PARAMWISE_KEYS,
    RATE_FACTORS,
    clipping_problems,
    unknown_keys,
)

#: What belongs below a pattern of `custom_keys`, beside arguments of the optimizer.
_FACTORS = ('lr_mult', 'decay_mult')
#: Argument of torch's GradScaler -> least and greatest value, both left out.
_SCALER_RANGES = dict(
    init_scale=(0, math.inf), growth_factor=(1, math.inf), backoff_factor=(0, 1), growth_interval=(0, math.inf)
)


def optim_wrapper_problems(wrapper: Any, scope: str, path: str = 'optim_wrapper') -> Iterator[str]:
    """Find settings of an optimizer wrapper that nothing reads, or that would make training ascend the loss.

    Args:
        wrapper: Config of a wrapper, or of several by name.
        scope: Where types without a prefix are looked up.
        path: Its place in the config.

    Yields:
        One line for every problem.
    """
    if not isinstance(wrapper, Mapping):
        return  # reported where kinds are checked
    if 'optimizer' not in wrapper and 'type' not in wrapper:  # several wrappers of a constructor
        for key, inner in wrapper.items():
            if key != 'paramwise_cfg':
                yield from optim_wrapper_problems(inner, scope, f'{path}.{key}')
        return
    found: dict[str, Iterator[tuple[str, str]]] = {}
    if isinstance(wrapper.get('clip_grad'), Mapping):
        found['clip_grad'] = clipping_problems(wrapper['clip_grad'])
    if isinstance(wrapper.get('loss_scale'), Mapping):
        found['loss_scale'] = _scaler_problems(wrapper['loss_scale'])
    constructor = str(wrapper.get('constructor', 'DefaultOptimWrapperConstructor')).rpartition('.')[2]
    if constructor == 'DefaultOptimWrapperConstructor' and wrapper.get('paramwise_cfg'):
        found['paramwise_cfg'] = _paramwise_problems(wrapper['paramwise_cfg'], wrapper.get('optimizer'), scope)
    if constructor == 'LearningRateDecayOptimWrapperConstructor':
        found['paramwise_cfg'] = _layer_decay_problems(wrapper.get('paramwise_cfg') or {}, wrapper, scope)
    for key, problems in found.items():
        for where, problem in problems:
            yield f'{path}.{key}{"." if where else ""}{where}: {problem}'


def _paramwise_problems(paramwise: Any, optimizer: Any, scope: str) -> Iterator[tuple[str, str]]:
    """Find what is wrong with the factors of rates and decays."""
    if not isinstance(paramwise, Mapping):
        return
    given = optimizer if isinstance(optimizer, Mapping) else {}
    yield from unknown_keys(paramwise, PARAMWISE_KEYS, 'paramwise_cfg')
    for key in (*DECAY_FACTORS, *RATE_FACTORS):
        if key in paramwise:
            yield from _factor_problems(key, paramwise[key], given, is_decay=key in DECAY_FACTORS)
    if not isinstance(paramwise.get('bypass_duplicate'), bool | None):
        yield 'bypass_duplicate', f'must be True or False, got {paramwise["bypass_duplicate"]!r:.80}'
    patterns = paramwise.get('custom_keys') or {}
    if patterns and 'lr' not in given:
        yield 'custom_keys', 'needs optimizer.lr, which is not set; set it'
    if isinstance(patterns, Mapping):
        known = (*_FACTORS, *_arguments(given, scope))
        for pattern, options in patterns.items():
            yield from _pattern_problems(f'custom_keys.{pattern}', options, given, known)
    else:
        yield 'custom_keys', f'must be a dict from part of a name to dict(lr_mult=...), got {patterns!r:.80}'


def _layer_decay_problems(paramwise: Any, wrapper: Mapping[str, Any], scope: str) -> Iterator[tuple[str, str]]:
    """Find what is wrong with rates that fall from layer to layer."""
    if not isinstance(paramwise, Mapping):
        return  # reported where kinds are checked
    given = wrapper.get('optimizer')
    given = given if isinstance(given, Mapping) else {}
    yield from unknown_keys(paramwise, LAYER_DECAY_KEYS, 'paramwise_cfg of this constructor')
    rate = paramwise.get('layer_decay_rate')
    if rate is None:
        yield 'layer_decay_rate', 'missing, without it every layer has the same rate'
    elif not (is_number(rate) and 0 < rate <= 1):
        yield 'layer_decay_rate', f'must be a number above 0 and at most 1, got {rate!r:.80}'
    for key in LAYER_DECAY_KEYS:
        if key in DECAY_FACTORS and key in paramwise:
            yield from _factor_problems(key, paramwise[key], given, is_decay=True)
    patterns = paramwise.get('custom_keys') or {}
    for pattern, options in patterns.items() if isinstance(patterns, Mapping) else ():
        yield from _pattern_problems(f'custom_keys.{pattern}', options, given, ('decay_mult', 'lr_mult'))
        if isinstance(options, Mapping) and 'lr_mult' in options:
            yield f'custom_keys.{pattern}.lr_mult', 'has no effect, this constructor reads decay_mult only'


def _pattern_problems(
    where: str, options: Any, optimizer: Mapping[str, Any], known: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Find what is wrong with the settings of one pattern of names."""
    if not isinstance(options, Mapping):
        yield where, f'must be a dict such as dict(lr_mult=0.1), got {options!r:.80}'
        return
    for key, problem in unknown_keys(options, known, 'a pattern'):
        yield f'{where}.{key}', problem
    for key in _FACTORS:
        if key in options:
            yield from _factor_problems(f'{where}.{key}', options[key], optimizer, is_decay=key == 'decay_mult')
    for key in ('lr', 'weight_decay'):
        if key in options and not is_number(options[key]):  # numbers: `value_ranges`
            yield f'{where}.{key}', f'must be a number, got {options[key]!r:.80}'


def _is_factor(value: Any) -> bool:
    return is_number(value) and math.isfinite(value) and value >= 0


def _factor_problems(
    where: str, value: Any, optimizer: Mapping[str, Any], *, is_decay: bool
) -> Iterator[tuple[str, str]]:
    """Find what is wrong with a factor of a rate or of a decay."""
    if not _is_factor(value):
        yield where, f'must be a finite number, 0 or more, got {value!r:.80}'
    base = 'weight_decay' if is_decay else 'lr'
    if base not in optimizer and not where.endswith('.lr_mult'):  # reported once for all patterns
        yield where, f'is a factor of optimizer.{base}, which is not set; set it, or take the factor out'


def _arguments(optimizer: Mapping[str, Any], scope: str) -> tuple[str, ...]:
    """List the arguments of an optimizer, all of which may differ between parameters."""
    try:
        with OPTIMIZERS.switch_scope_and_registry(scope) as scoped:
            part = resolve(scoped, optimizer.get('type'))
    except (KeyError, ImportError, TypeError):
        part = None
    if not callable(part):
        return ('lr', 'weight_decay')  # reported where the type is checked
    return tuple(name for name in arguments_of(part).names if name != 'params')


def _scaler_problems(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Find what is wrong with the arguments of torch's GradScaler."""
    known = [name for name in inspect.signature(GradScaler.__init__).parameters if name not in ('self', 'device')]
    yield from unknown_keys(options, known, 'a loss scaler')
    for key, (low, high) in _SCALER_RANGES.items():
        value = options.get(key, 1.5 if key == 'growth_factor' else 0.5)
        if not (is_number(value) and low < value < high):
            limit = f' and below {high}' if high != math.inf else ' and finite'
            yield key, f'must be a number above {low}{limit}, got {value!r:.80}'
