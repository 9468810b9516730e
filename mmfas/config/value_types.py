"""Which values an argument takes, read from its annotation if that is a simple one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from mmengine.optim import _ParamScheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from mmfas.config.signatures import Declaration, arguments_of
from mmfas.config.wording import shown

#: What a config file can write down; objects of other types are never judged.
_PLAIN = (str, int, float, list, tuple, Mapping, NoneType)
_LISTS = (list, tuple, Sequence)
_WORDS = {bool: 'True or False', int: 'an integer', float: 'a number', str: 'a string', NoneType: 'None'}
_PLURALS = {bool: 'booleans', int: 'integers', float: 'numbers', str: 'strings'}


def _members(hint: Any) -> tuple[Any, ...]:
    """Return the alternatives of a union; anything else is its only one."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _is_kind(hint: Any, *bases: type) -> bool:
    """Tell whether a hint, its parameters left out, is one of these classes or derives from one."""
    bare = get_origin(hint) or hint
    return isinstance(bare, type) and issubclass(bare, bases)


def _fits_list(value: Any, hint: Any) -> bool:
    """Tell whether a value fits a hint such as `list`, `Sequence[str]` or `tuple[float, ...]`."""
    inner = get_args(hint)
    if isinstance(value, str):  # a string is a sequence of strings, but not meant as a list of them
        return not _is_kind(hint, list, tuple) and (not inner or fits(value, inner[0]))
    if not isinstance(value, list | tuple):
        return False
    # Many write Tuple[int] for any number of them, so one parameter says nothing about the length.
    if _is_kind(hint, tuple) and len(inner) > 1 and inner[1] is not Ellipsis:
        return len(value) == len(inner) and all(map(fits, value, inner))
    return not inner or all(fits(item, inner[0]) for item in value)


def fits(value: Any, hint: Any) -> bool:
    """Tell whether a value of a config can be what an annotation says.

    Args:
        value: Value from a config; a list is accepted as a tuple, an integer as a float.
        hint: Resolved annotation.

    Returns:
        False only if the annotation is made of `int`, `float`, `bool`, `str`, `None`, lists, tuples, dictionaries
        and networks, and the value is none of what it says.

    >>> fits(3, float), fits('3', float), fits([1, 2], tuple[int, ...]), fits('rgb', tuple[str, ...])
    (True, False, True, False)
    """
    if not isinstance(value, _PLAIN):
        return True
    members = _members(hint)
    if len(members) > 1:
        return any(fits(value, member) for member in members)
    if hint in (bool, NoneType, str):
        return isinstance(value, hint)
    if hint in (int, float):
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    if (get_origin(hint) or hint) in _LISTS:
        return _fits_list(value, hint)
    if _is_kind(hint, Mapping):
        inner = get_args(hint)
        return isinstance(value, Mapping) and (not inner or all(fits(v, inner[1]) for v in value.values()))
    if _is_kind(hint, nn.Module, Tensor):  # a part may be given as the dictionary it is built from
        return isinstance(value, Mapping)
    return True


def _describe(hint: Any) -> Iterator[str]:
    """Say in words what fits a hint, one phrase for each alternative."""
    for member in _members(hint):
        inner = get_args(member)
        if member in _WORDS:
            yield _WORDS[member]
        elif _is_kind(member, *_LISTS):
            length = f'{len(inner)} ' if len(inner) > 1 and inner[1] is not Ellipsis else ''
            things = next((_PLURALS[m] for m in _members(inner[0]) if m in _PLURALS), 'values') if inner else ''
            yield f'a list of {length}{things}' if inner else 'a list'
        elif _is_kind(member, nn.Module):
            yield 'a dict'
        elif _is_kind(member, Mapping):
            yield 'a dict' + (f' of {_PLURALS[inner[1]]}' if inner and inner[1] in _PLURALS else '')


def _hint_of(declaration: Declaration, part: Callable[..., Any]) -> Any:
    """Resolve the annotation of an argument; `Any` where there is none or it names what cannot be found."""
    parameter = declaration.parameter
    if parameter.annotation is parameter.empty:
        is_number = isinstance(parameter.default, int | float) and not isinstance(parameter.default, bool)
        has_rates = isinstance(part, type) and issubclass(part, Optimizer | _ParamScheduler)
        return float if is_number and has_rates else Any
    holder = SimpleNamespace(__annotations__={'value': parameter.annotation})
    try:
        found = get_type_hints(holder, globalns=getattr(inspect.unwrap(declaration.function), '__globals__', {}))
    except Exception:  # an annotation may hold any expression, and names that only type checkers import
        return Any
    return found['value']


def value_problems(part: Callable[..., Any], given: Mapping[str, Any], *, path: str) -> dict[str, str]:
    """Compare the values of a config with the annotations of the part they are for.

    Annotations of mmfas and torch are taken at their word. Those of other packages are often too narrow (a list
    where one number is declared), so for these only a string in a place that takes none is reported.

    Args:
        part: Class or function that the config names.
        given: Arguments by name.
        path: Place of the config, such as `'model.neck'`; empty for the whole config.

    Returns:
        Name -> one line, for every argument whose value cannot be right.
    """
    problems = {}
    declared = arguments_of(part).declared
    for key in given.keys() & declared.keys():
        value, declaration = given[key], declared[key]
        default = declaration.parameter.default
        is_text = isinstance(value, str)
        is_exact = declaration.function.__module__.partition('.')[0] in ('mmfas', 'torch')
        # A default that its own annotation forbids (`x: int = None`) shows what is meant.
        if not (is_exact or is_text) or value is default or (is_text and isinstance(default, str)):
            continue
        hint = _hint_of(declaration, part)
        if not fits(value, hint):
            words = ' or '.join(dict.fromkeys(_describe(hint)))
            place = f'{path}.{key}' if path else key
            problems[key] = f'{place}: must be {words}, got {shown(value)}'
    return {key: problems[key] for key in given if key in problems}
