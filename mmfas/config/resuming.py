"""Settings that a resumed run cannot follow, because the state of the checkpoint takes their place."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from mmfas.config.hooks import hooks_of
from mmfas.config.lookup import type_name

#: Stands for a setting that is absent.
_ABSENT = 'nothing'


def read_dumped(text: str) -> dict[str, Any]:
    """Read a config that mmengine has dumped, without running it.

    Args:
        text: `Config.pretty_text`: assignments of plain values, `dict(...)` among them.

    Returns:
        The values by name; values that are not plain are left out.

    Raises:
        SyntaxError: If the text is not Python.

    >>> read_dumped("a = dict(b=[1, (2, -3.0)])")
    {'a': {'b': [1, (2, -3.0)]}}
    """
    values = {}
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                values[statement.targets[0].id] = _plain_value(statement.value)
            except ValueError:
                continue
    return values


def _plain_value(node: ast.expr) -> Any:
    """Return the value of an expression made of constants, lists, tuples and dictionaries."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict' and not node.args:
        return {str(item.arg): _plain_value(item.value) for item in node.keywords}
    if isinstance(node, ast.Dict):
        keys = [None if key is None else ast.literal_eval(key) for key in node.keys]
        return dict(zip(keys, map(_plain_value, node.values)))
    if isinstance(node, ast.List):
        return [_plain_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_plain_value(item) for item in node.elts)
    return ast.literal_eval(node)


def _held_by_state(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the settings that come back with the state: of optimizer, schedules, best value and early stopping."""
    wrapper = cfg.get('optim_wrapper') or {}
    watched: dict[str, Any] = {}
    for _, hook in hooks_of(cfg):
        watched |= {f'{type_name(hook)}.{k}': hook[k] for k in ('save_best', 'monitor', 'rule') if k in hook}
    return {
        'optim_wrapper.optimizer': wrapper.get('optimizer'),
        'optim_wrapper.paramwise_cfg': wrapper.get('paramwise_cfg'),
        'param_scheduler': cfg.get('param_scheduler'),
        'hooks': watched,
    }


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield place, old and new value wherever two trees differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from _differences(f'{path}.{key}', old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        for i, (one, other) in enumerate(zip(old, new)):
            yield from _differences(f'{path}[{i}]', one, other)
    elif old != new:
        yield path, old, new


def overridden_settings(dumped: str, cfg: Mapping[str, Any]) -> list[str]:
    """Compare the settings that a resumed run takes from its checkpoint with those of the config.

    Optimizer and schedules are restored with all of their numbers, and the best value so far is one of the metric
    that was watched; other settings (data, batch size, length, clipping, patience) are taken from the config.

    Args:
        dumped: The config in the checkpoint, as mmengine writes it.
        cfg: The config of the run that resumes, as plain values.

    Returns:
        One line for every setting that differs.
    """
    try:
        before = read_dumped(dumped)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):  # of another program
        return []
    old, new = _held_by_state(before), _held_by_state(cfg)
    found = (d for key in old for d in _differences(key, old[key], new[key]))
    return [f'{path}: {was!r:.60} in the checkpoint, {now!r:.60} in the config' for path, was, now in found]
