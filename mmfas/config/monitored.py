"""Metrics that hooks and schedulers watch, compared with those that the evaluators of a config give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from mmfas.config.lookup import find_part, scope_of
from mmfas.config.signatures import near_match
from mmfas.registry import METRICS

#: Keys under which parts name a metric of the validation.
_WATCHING = ('save_best', 'monitor')


def _items(value: Any) -> list[Any]:
    """Return a list as it is, nothing as an empty one and anything else as its only item."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _metric_names(evaluator: Any, scope: str) -> list[str] | None:
    """List what an evaluator gives; None if one of its metrics does not say, or is not a metric."""
    names = []
    for cfg in _items(evaluator):
        if not isinstance(cfg, Mapping):
            return None
        if 'metrics' in cfg:
            given = _metric_names(cfg['metrics'], scope)
        else:
            given = _names_given_by(cfg, scope)
        if given is None:
            return None
        names += given
    return names


def _names_given_by(cfg: Mapping[str, Any], scope: str) -> list[str] | None:
    """List what one metric gives; None if it does not say."""
    metric, _ = find_part(METRICS, cfg.get('type'), scope_of(cfg, scope))  # problems: where the type is checked
    describe = getattr(metric, 'names_given_by', None)
    return None if describe is None else list(describe(cfg))


def _watchers(cfg: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every hook and scheduler with its place."""
    hooks = cfg.get('default_hooks')
    parts = [(f'default_hooks.{name}', hook) for name, hook in hooks.items()] if isinstance(hooks, Mapping) else []
    for key in ('custom_hooks', 'param_scheduler'):
        value = cfg.get(key)
        is_list = isinstance(value, list | tuple)
        parts += [(f'{key}[{i}]' if is_list else key, part) for i, part in enumerate(_items(value))]
    yield from ((path, part) for path, part in parts if isinstance(part, Mapping))


def monitor_problems(cfg: Mapping[str, Any], scope: str) -> list[str]:
    """Find watched metrics that the validation never gives.

    Nothing is reported without a validation, or where a metric does not say what it gives (class method
    `names_given_by(cfg)`).

    Args:
        cfg: Whole config.
        scope: Default scope, in which metrics are looked up.

    Returns:
        One line for every metric that nothing gives.
    """
    names = _metric_names(cfg.get('val_evaluator'), scope)
    if not names:
        return []
    problems = []
    for path, part in _watchers(cfg):
        for key in _WATCHING:
            for metric in _items(part.get(key)):
                if metric == 'auto' or not isinstance(metric, str):
                    continue
                if not any(fnmatchcase(metric, name) for name in names):
                    near = near_match(metric, names)
                    hint = f'did you mean {near}?' if near else f'it gives {", ".join(names)}'
                    problems.append(f"{path}.{key}: val_evaluator never gives '{metric}', {hint}")
    return problems
