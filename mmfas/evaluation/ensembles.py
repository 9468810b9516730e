"""One score from those of several systems for the same samples.

Legend: S systems, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from mmfas.evaluation.failures import Failure
from mmfas.evaluation.functional.checks import FloatArray
from mmfas.evaluation.score_table import ScoreTable
from mmfas.utils.errors import InputError

__all__ = ['RULES', 'ensemble', 'unlike_columns']

#: Scores nearer to 0 or 1 than this count as this far from them where log-odds are taken.
_EDGE = 1e-12


def _mean(scores: FloatArray, weights: FloatArray) -> FloatArray:
    return weights @ scores


def _log_odds(scores: FloatArray, weights: FloatArray) -> FloatArray:
    if scores.min() < 0 or scores.max() > 1:
        raise InputError(
            f'log-odds need scores in [0, 1], but they go from {scores.min():g} to {scores.max():g}; take mean'
        )
    inside = scores.clip(_EDGE, 1 - _EDGE)
    return 1 / (1 + np.exp(-(weights @ np.log(inside / (1 - inside)))))


#: Name -> how scores (S, N) with weights (S,) that add up to 1 become one (N,).
RULES: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    'mean': _mean,
    'log-odds': _log_odds,
    'median': lambda scores, weights: np.median(scores, axis=0),
    'min': lambda scores, weights: scores.min(axis=0),
    'max': lambda scores, weights: scores.max(axis=0),
}
_WEIGHTED = ('mean', 'log-odds')


def ensemble(
    tables: Sequence[ScoreTable],
    *,
    rule: str = 'mean',
    weights: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
) -> ScoreTable:
    """Join the scores of several systems sample by sample.

    Args:
        tables: Scores of the same samples by at least two systems, in any order.
        rule: `'mean'`, `'log-odds'` (the score whose log-odds are the mean of theirs), `'median'`, `'min'` (live
            only if all say so) or `'max'`.
        weights: Weight of each system, above 0, for `'mean'` and `'log-odds'`; equal ones if None. They are
            divided by their sum.
        names: What the tables are called, for messages.

    Returns:
        A table in the order of the first one, with its subjects and videos. A sample that one of the systems
        failed to acquire has no score, and the reason names the system. Further columns of any table are kept,
        except those of which two tables say different things (see `unlike_columns`).

    Raises:
        ValueError: If there are fewer than two tables, they have other samples, say other labels of one, or no
            sample is left.
    """
    if len(tables) < 2:
        raise InputError(f'an ensemble needs the scores of at least two systems, got {len(tables)}')
    if rule not in RULES:
        raise InputError(f"a rule is one of {', '.join(RULES)}, got '{rule}'")
    names = names or [f'table {number}' for number in range(1, len(tables) + 1)]
    tables, failures = _acquired_by_all(tables, names)
    first = tables[0]
    ordered = [first]
    for table, name in zip(tables[1:], names[1:], strict=True):
        ordered.append(_in_order_of(first, table, (names[0], name)))
    scores = np.stack([table.score for table in ordered])
    unlike = unlike_columns(ordered)
    extra = {
        name: column
        for table in ordered[::-1]  # the first one that has a column gives it
        for name, column in table.extra.items()
        if name not in unlike
    }
    failures = [
        replace(lost, extra={name: text for name, text in lost.extra.items() if name not in unlike})
        for lost in failures
    ]
    joined = RULES[rule](scores, _normalised(weights, len(tables), rule))
    return replace(first, score=joined, extra=extra, failures=tuple(failures))


def unlike_columns(tables: Sequence[ScoreTable]) -> tuple[str, ...]:
    """Return the further columns of which two tables say different things of one sample.

    Args:
        tables: Scores; samples that they do not share are not compared.

    Returns:
        Names, sorted.
    """
    said: dict[str, dict[tuple[str, str], str]] = {}
    unlike = set()
    for table in tables:
        keys = table.keys()
        for name, column in table.extra.items():
            before = said.setdefault(name, {})
            if any(before.setdefault(key, text) != text for key, text in zip(keys, column.tolist())):
                unlike.add(name)
    return tuple(sorted(unlike))


def _acquired_by_all(tables: Sequence[ScoreTable], names: Sequence[str]) -> tuple[list[ScoreTable], list[Failure]]:
    """Take out the samples that some system failed to acquire, and return them beside."""
    lost: dict[tuple[str, str], Failure] = {}
    for table, name in zip(tables, names, strict=True):
        for failure in table.failures:
            named = replace(failure, reason=f'{name}: {failure.reason}')
            lost.setdefault((failure.domain, failure.sample_id), named)
    if not lost:
        return list(tables), []
    known = [{*table.keys(), *((f.domain, f.sample_id) for f in table.failures)} for table in tables]
    for key in lost:
        absent = [name for name, keys in zip(names, known, strict=True) if key not in keys]
        if absent:
            raise InputError(
                f"'{key[1]}' has no score ({lost[key].reason}), and {absent[0]} does not hold it at all; an "
                'ensemble needs the same samples, those without a score too'
            )
    kept = [np.array([key not in lost for key in keys]) for keys in map(ScoreTable.keys, tables)]
    if not all(mask.any() for mask in kept):
        raise InputError('no sample is scored by all systems, so there is nothing to join')
    _check_labels(tables, lost)
    return [table.take(mask) for table, mask in zip(tables, kept, strict=True)], list(lost.values())


def _check_labels(tables: Sequence[ScoreTable], lost: Mapping[tuple[str, str], Failure]) -> None:
    """Refuse samples without a score of which a table says another instrument."""
    for table in tables:
        scored = zip(table.keys(), table.pai.tolist())
        failed = (((f.domain, f.sample_id), f.pai) for f in table.failures)
        for key, pai in chain(scored, failed):
            if key in lost and lost[key].pai != pai:
                raise InputError(f"sample '{key[1]}': pai is {lost[key].pai} in one file, but {pai} in another")


def _normalised(weights: Sequence[float] | None, num: int, rule: str) -> FloatArray:
    """Return weights that add up to 1."""
    if weights is None:
        return np.full(num, 1 / num)
    if rule not in _WEIGHTED:
        raise InputError(f'weights go with {" and ".join(_WEIGHTED)}, not with {rule}')
    if len(weights) != num or not all(np.isfinite(weight) and weight > 0 for weight in weights):
        raise InputError(f'expected {num} weights above 0, one for each system, got {list(weights)}')
    return np.array(weights, dtype=np.float64) / sum(weights)


def _in_order_of(first: ScoreTable, other: ScoreTable, names: tuple[str, str]) -> ScoreTable:
    """Return a table with its samples in the order of the first one."""
    wanted, given = first.keys(), other.keys()
    if wanted != given:
        place = {key: row for row, key in enumerate(given)}
        for one, keys, whose in ((wanted, place, names), (given, set(wanted), names[::-1])):
            missing = [key for key in one if key not in keys]
            if missing:
                raise InputError(
                    f'{len(missing)} samples of {whose[0]} are not in {whose[1]}, the first is '
                    f"'{missing[0][1]}'; an ensemble needs scores of the same samples"
                )
        if len(place) < len(given) or len(set(wanted)) < len(wanted):
            raise InputError(f'{names[1]} repeats samples in another order than {names[0]}; leave the repeats out')
        other = other.take([place[key] for key in wanted])
    for column in ('label', 'pai'):
        unlike = np.flatnonzero(getattr(first, column) != getattr(other, column))
        if unlike.size:
            row = int(unlike[0])
            raise InputError(
                f"sample '{first.sample_id[row]}': {column} is {getattr(first, column)[row]} in {names[0]}, but "
                f'{getattr(other, column)[row]} in {names[1]}'
            )
    return other
