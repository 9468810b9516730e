"""Which arguments a class or function takes, read from its signature without calling it."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Declaration:
    """Where a part declares an argument.

    Args:
        parameter: Default and annotation.
        function: The function or `__init__` that has the parameter.
    """

    parameter: inspect.Parameter
    function: Callable[..., Any]


@dataclass(frozen=True)
class Arguments:
    """Arguments that a part accepts by name.

    Args:
        names: Every accepted name that is known.
        required: Those without a default.
        is_open: Whether other names may be accepted too, because `**kwargs` goes where it cannot be followed.
        declared: Name -> its declaration; not for names that are only picked out of `**kwargs`.
    """

    names: frozenset[str]
    required: frozenset[str]
    is_open: bool = False
    declared: Mapping[str, Declaration] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class _Forwarding:
    """How one `__init__` hands its `**kwargs` to the next class: what it fills in, and what it picks out."""

    num_positional: int
    supplied: frozenset[str]
    picked: frozenset[str]


def _picked_keys(tree: ast.AST, name: str) -> set[str]:
    """Return the keys that code takes from or puts into the dictionary `name`."""
    keys = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            holder, key = node.value, node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            holder, key = node.func.value, node.args[0]
        else:
            continue
        is_it = isinstance(holder, ast.Name) and holder.id == name
        if is_it and isinstance(key, ast.Constant) and isinstance(key.value, str):
            keys.add(key.value)
    return keys


def _forwarding(init: Callable[..., None], name: str) -> _Forwarding | None:
    """Describe the call `super().__init__(..., **name)` in `init`; None if there is no such call."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(init)))
    except (OSError, TypeError, SyntaxError):
        return None
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        unpacked = [k.value.id for k in node.keywords if k.arg is None and isinstance(k.value, ast.Name)]
        if node.func.attr != '__init__' or name not in unpacked:
            continue
        plain = [arg for arg in node.args if not isinstance(arg, ast.Starred)]
        through_class = not isinstance(node.func.value, ast.Call)  # Parent.__init__(self, ...)
        return _Forwarding(
            num_positional=len(plain) - through_class,
            supplied=frozenset(k.arg for k in node.keywords if k.arg is not None),
            picked=frozenset(_picked_keys(tree, name)),
        )
    return None


def _of_class(cls: type) -> Arguments:
    """Collect the arguments of a class, following `**kwargs` through its method resolution order."""
    names: set[str] = set()
    required: set[str] = set()
    supplied: set[str] = set()
    declared: dict[str, Declaration] = {}
    num_positional = 0
    is_open = False
    for owner in cls.__mro__:
        init = vars(owner).get('__init__')
        if init is None:
            continue
        if owner is object:
            break
        try:
            parameters = list(inspect.signature(init).parameters.values())[1:]
        except (TypeError, ValueError):
            is_open = True
            break
        plain = [p for p in parameters if p.kind in _NAMED]
        supplied |= {p.name for p in plain[:num_positional]}
        required |= {p.name for p in plain if p.default is p.empty and p.name not in supplied | names}
        declared |= {p.name: Declaration(p, init) for p in plain if p.name not in supplied | names}
        names |= {p.name for p in plain} - supplied
        rest = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        if rest is None or owner.__module__ == 'torch.nn.modules.module':  # nn.Module refuses what it takes
            break
        forwarding = _forwarding(init, rest)
        if forwarding is None:
            is_open = True
            break
        names |= forwarding.picked
        supplied |= forwarding.supplied | forwarding.picked
        num_positional = forwarding.num_positional
    return Arguments(frozenset(names), frozenset(required), is_open, declared)


def _of_function(function: Callable[..., Any]) -> Arguments:
    """Collect the arguments of a function."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return Arguments(frozenset(), frozenset(), is_open=True)
    plain = [p for p in parameters if p.kind in _NAMED]
    return Arguments(
        frozenset(p.name for p in plain),
        frozenset(p.name for p in plain if p.default is p.empty),
        is_open=any(p.kind is p.VAR_KEYWORD for p in parameters),
        declared={p.name: Declaration(p, function) for p in plain},
    )


@cache
def arguments_of(part: Callable[..., Any]) -> Arguments:
    """Read which arguments a part takes.

    `**kwargs` that an `__init__` forwards to its parent are followed into the parent's signature.

    Args:
        part: Class or function.

    Returns:
        Accepted and required names, without `self`.

    >>> class Base:
    ...     def __init__(self, dim, bias=True): ...
    >>> sorted(arguments_of(Base).names), sorted(arguments_of(Base).required)
    (['bias', 'dim'], ['dim'])
    """
    return _of_class(part) if isinstance(part, type) else _of_function(part)


def near_match(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name most like `name`, or None if none is like it.

    Args:
        name: What was written.
        known: What could have been meant.
        cutoff: Least similarity in [0, 1].

    >>> near_match('dims', ['dim', 'depth'])
    'dim'
    """
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def binding_problems(
    part: Callable[..., Any], given: Collection[str], *, path: str, injected: Collection[str] = ()
) -> list[str]:
    """Compare a config's keys with the signature of the part they are for.

    Args:
        part: Class or function that the config names.
        given: Keys of the config, without `type`.
        path: Place of the config, such as `'model.neck'`.
        injected: Arguments that the builder adds.

    Returns:
        One line for every unexpected or missing argument.
    """
    arguments = arguments_of(part)
    label = getattr(part, '__name__', repr(part))
    problems = []
    meant: set[str | None] = set()
    for key in given:
        if key in arguments.names or key in injected or arguments.is_open:
            continue
        near = near_match(key, arguments.names)
        meant.add(near)
        takes = ', '.join(sorted(arguments.names - set(injected))) or 'nothing'
        problems.append(
            f'{path}.{key}: unexpected, ' + (f'did you mean {near}?' if near else f'{label} takes {takes}')
        )
    for key in sorted(arguments.required - set(given) - set(injected) - meant):
        problems.append(f'{path}.{key}: missing, {label} needs it')
    return problems
