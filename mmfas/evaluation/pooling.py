"""The scores of several folds as those of one system: every fold keeps the threshold of its own dev scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mmfas.evaluation.evaluate import resolve_threshold
from mmfas.evaluation.functional import Threshold
from mmfas.evaluation.functional.checks import FloatArray
from mmfas.evaluation.score_rules import ScoreRules
from mmfas.evaluation.score_table import ScoreTable
from mmfas.utils.errors import InputError

__all__ = ['POOLED_THRESHOLD', 'PooledFolds', 'centre_scores', 'pool_folds']

#: Where the threshold of every fold is after pooling.
POOLED_THRESHOLD = 0.5


@dataclass(frozen=True)
class PooledFolds:
    """Scores of all folds.

    Args:
        table: Test scores of all folds, each moved so that the threshold of its fold is 0.5.
        thresholds: Threshold of every fold before that, by its name.
        folds: Test scores of every fold as they were, at the level of the rules, by its name.
    """

    table: ScoreTable
    thresholds: dict[str, Threshold]
    folds: dict[str, ScoreTable]


def centre_scores(scores: FloatArray, threshold: float) -> FloatArray:
    """Move scores in [0, 1], order kept, so that a threshold becomes 0.5; decisions do not change.

    Below and above the threshold, scores are scaled to [0, 0.5) and [0.5, 1].

    Args:
        scores: Scores (N,) in [0, 1].
        threshold: Accept if score >= threshold.

    Returns:
        Scores (N,) in [0, 1].

    >>> centre_scores(np.array([0.0, 0.1, 0.2, 0.6, 1.0]), 0.2).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    accepted = scores >= threshold
    # a score that is rejected must stay below, also where the division rounds it up
    below = np.minimum(POOLED_THRESHOLD * scores / max(threshold, np.finfo(float).tiny), np.nextafter(0.5, 0))
    room = 1 - threshold
    above = POOLED_THRESHOLD + POOLED_THRESHOLD * (scores - threshold) / room if room > 0 else np.ones_like(scores)
    return np.where(accepted, np.clip(above, POOLED_THRESHOLD, 1), below)


def pool_folds(folds: Mapping[str, tuple[ScoreTable, ScoreTable]], rules: ScoreRules | None = None) -> PooledFolds:
    """Join the test scores of folds, whose models and thresholds differ.

    Args:
        folds: Name of a fold -> its dev scores and its test scores.
        rules: How dev scores fix the threshold, and frames are reduced; the defaults of `ScoreRules` if None.

    Returns:
        The scores.

    Raises:
        ValueError: If there is no fold, two share a test sample, dev and test of one share a sample, dev lacks a
            class, or scores lie outside [0, 1].
    """
    if not folds:
        raise InputError('pooling needs at least one fold, got none')
    rules = rules or ScoreRules()
    thresholds, moved, kept = {}, [], {}
    owner: dict[tuple[str, str], str] = {}
    for name, (dev, test) in folds.items():
        threshold, _ = resolve_threshold(test, dev=dev, rules=rules)
        assert threshold is not None  # dev scores or a fixed one
        identities = test.keys()
        for key in identities:
            other = owner.setdefault(key, name)
            if other != name:
                raise InputError(f"sample '{key[1]}' is a test sample of {other} and of {name}; folds share none")
        table = rules.reduce(test)
        if table.score.min() < 0 or table.score.max() > 1:
            raise InputError(
                f'{name}: scores must lie in [0, 1], got {table.score.min():g} to {table.score.max():g}'
            )
        thresholds[name], kept[name] = threshold, table
        moved.append(replace(table, score=centre_scores(table.score, threshold.value)))
    return PooledFolds(ScoreTable.concat(moved), thresholds, kept)
