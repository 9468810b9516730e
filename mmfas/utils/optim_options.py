"""What the dictionaries of an optimizer wrapper may hold beyond its own arguments."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from mmfas.utils.numbers import is_number

#: `type` of a `clip_grad` -> the function it names, and the argument that says how far to clip.
_CLIPPING: dict[str, tuple[Callable[..., Any], str]] = {
    'norm': (clip_grad_norm_, 'max_norm'),
    'value': (clip_grad_value_, 'clip_value'),
}
#: Factors that mmengine's default constructor reads from a `paramwise_cfg`, and its other keys.
DECAY_FACTORS = ('bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult', 'dwconv_decay_mult')
RATE_FACTORS = ('bias_lr_mult', 'dcn_offset_lr_mult')
#: What mmpretrain's constructor of rates that fall from layer to layer reads.
LAYER_DECAY_KEYS = ('layer_decay_rate', *DECAY_FACTORS[:3], 'custom_keys')
PARAMWISE_KEYS = (*DECAY_FACTORS, *RATE_FACTORS, 'custom_keys', 'bypass_duplicate')


def clipping_problems(clip_grad: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Find what is wrong with a `clip_grad`, which mmengine does not check.

    A limit below zero silently reverses every gradient, and a limit of zero removes it.

    Args:
        clip_grad: `type` (`'norm'`, the default, or `'value'`) and arguments of torch's function.

    Yields:
        (key, what is wrong), for every key in question.

    >>> list(clipping_problems(dict(max_norm=-1.0)))
    [('max_norm', 'must be above 0: -1.0 would turn gradients round')]
    """
    kind = clip_grad.get('type', 'norm')
    if not isinstance(kind, str) or kind not in _CLIPPING:
        yield 'type', f"must be 'norm' or 'value', got {kind!r:.80}"
        return
    function, limit = _CLIPPING[kind]
    known = [name for name in inspect.signature(function).parameters if name != 'parameters']
    given = {key: value for key, value in clip_grad.items() if key != 'type'}
    unknown = list(unknown_keys(given, known, f'clip_grad of type {kind!r}'))
    yield from unknown
    if limit not in given and not any(problem.endswith(f'{limit}?') for _, problem in unknown):
        yield limit, f'missing, clip_grad of type {kind!r} needs it'
    problem = _limit_problem(given[limit]) if limit in given else None
    if problem is not None:
        yield limit, problem
    order = given.get('norm_type', 2)
    if order != 'inf' and not (is_number(order) and order > 0):
        yield 'norm_type', f"must be a number above 0 or 'inf', got {order!r:.80}"
    for key in ('error_if_nonfinite', 'foreach'):
        value = given.get(key)
        if not isinstance(value, bool | None):
            yield key, f'must be True or False, got {value!r:.80}'


def _limit_problem(value: Any) -> str | None:
    """Say what is wrong with what gradients are clipped to."""
    if not is_number(value):
        return f'must be a number, got {value!r:.80}'
    if math.isnan(value):
        return 'must be above 0, got nan'
    if value < 0:
        return f'must be above 0: {value} would turn gradients round'
    return 'must be above 0: with 0 nothing is trained' if value == 0 else None


def unknown_keys(given: Collection[Any], known: Collection[str], what: str) -> Iterator[tuple[str, str]]:
    """Find keys that nothing reads.

    Args:
        given: Keys of a dictionary.
        known: Keys that are read.
        what: What the dictionary is, for the message.

    Yields:
        (key, what is wrong), with the nearest known key where one is like it.
    """
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), sorted(known), n=1)
            hint = f'did you mean {near[0]}?' if near else f'{what} takes {", ".join(sorted(known))}'
            yield str(key), f'unexpected, {hint}'
