"""Metrics that hooks and schedulers watch, compared with those that the evaluators of a config give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from mmengine.hooks import CheckpointHook

from mmfas.config.hooks import hooks_of
from mmfas.config.lookup import find_part, scope_of, type_name
from mmfas.config.schedules import schedules_of
from mmfas.config.signatures import near_match
from mmfas.registry import METRICS

#: Keys under which parts name a metric of the validation.
_WATCHING = ('save_best', 'monitor')
#: Hooks that guess from a metric's name which values are better, and refuse to start where they cannot.
_GUESSING = ('CheckpointHook', 'SafeCheckpointHook', 'EarlyStoppingHook')
#: Schedulers that take lower values for better ones unless a rule says otherwise.
_TAKING_LESS = ('ReduceOnPlateauLR', 'ReduceOnPlateauMomentum', 'ReduceOnPlateauParamScheduler')


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
    yield from hooks_of(cfg)
    yield from schedules_of('param_scheduler', cfg.get('param_scheduler'))


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
    if names is None or cfg.get('val_evaluator') is None:
        return []
    problems = []
    for path, part in _watchers(cfg):
        for key in _WATCHING:
            for metric in _items(part.get(key)):
                if metric == 'auto' or not isinstance(metric, str):
                    continue
                if not any(fnmatchcase(metric, name) for name in names):
                    near = near_match(metric, names)
                    hint = f'did you mean {near}?' if near else f'it gives {", ".join(names) or "nothing"}'
                    problems.append(f"{path}.{key}: val_evaluator never gives '{metric}', {hint}")
    return problems


def unwatched(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Find what watches metrics in a training without validation, and so does nothing.

    Args:
        cfg: Whole config.

    Yields:
        One line for every hook and scheduler.
    """
    for path, part in _watchers(cfg):
        for key in _WATCHING:
            if part.get(key):
                yield f'{path}.{key}: nothing is validated (val_dataloader is missing), so this does nothing'


def _better_values(evaluator: Any, scope: str, name: str) -> str | None:
    """Say whether `'less'` or `'greater'` values of a metric are better; None if nothing says so."""
    for cfg in _items(evaluator):
        if not isinstance(cfg, Mapping):
            continue
        if 'metrics' in cfg:
            found = _better_values(cfg['metrics'], scope, name)
        else:
            metric, _ = find_part(METRICS, cfg.get('type'), scope_of(cfg, scope))
            describe = getattr(metric, 'better_values_of', None)
            given = _names_given_by(cfg, scope) or []
            gives = any(fnmatchcase(name, known) for known in given)
            found = describe(name) if describe is not None and gives else None
        if found:
            return str(found)
    return None


def _guess(name: str) -> str | None:
    """Guess as hooks of mmengine do, from parts of the name."""
    name = name.lower()
    for rule, keys in (
        ('greater', CheckpointHook._default_greater_keys),
        ('less', CheckpointHook._default_less_keys),
    ):
        if any(key.lower() in name for key in keys):
            return rule
    return None


def rule_problems(cfg: Mapping[str, Any], scope: str) -> list[str]:
    """Find watched metrics of which the worst value would be taken for the best, or none can be.

    Args:
        cfg: Whole config.
        scope: Default scope, in which metrics are looked up.

    Returns:
        One line for every metric with a rule that is wrong, or missing where mmengine needs one.
    """
    given, evaluator = _metric_names(cfg.get('val_evaluator'), scope), cfg.get('val_evaluator')
    problems = []
    for path, part in _watchers(cfg):
        names = [name for key in _WATCHING for name in _items(part.get(key))]
        rules = _items(part.get('rule'))
        for number, name in enumerate(names):
            is_given = not given or any(fnmatchcase(str(name), known) for known in given)
            if name == 'auto' or not isinstance(name, str) or not is_given:  # see `monitor_problems`
                continue
            rule = rules[number if len(rules) == len(names) else 0] if rules else None
            wrong = _wrong_rule(part, name, rule, _better_values(evaluator, scope, name))
            problems += [f'{path}.rule: {wrong}'] if wrong else []
    return problems


def _wrong_rule(part: Mapping[str, Any], name: str, rule: Any, better: str | None) -> str:
    """Say what is wrong with the rule of a part for a metric; empty if nothing is."""
    kind = type_name(part)
    if rule is None and kind in _GUESSING:
        rule = _guess(name)
        if rule is None:
            advice = f"'{better}'" if better else "'less' or 'greater'"
            return f"say which values of '{name}' are better: rule={advice}"
    elif rule is None and kind in _TAKING_LESS:
        rule = 'less'
    if better is None or rule not in ('less', 'greater') or rule == better:
        return ''
    return f"takes '{rule}' values of '{name}' for better, but '{better}' ones are: rule='{better}'"
