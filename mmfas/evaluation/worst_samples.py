"""The worst errors of a test set: accepted attacks with the highest scores, rejected live with the lowest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmfas.evaluation.functional import Threshold
from mmfas.evaluation.score_table import ScoreTable

__all__ = ['WorstSample', 'worst_samples']


@dataclass(frozen=True)
class WorstSample:
    """A sample that is decided wrongly.

    Args:
        domain: Its data set.
        sample_id: Its name.
        pai: Its instrument; `'live'` for a rejected live sample.
        score: Its liveness.
    """

    domain: str
    sample_id: str
    pai: str
    score: float


def worst_samples(table: ScoreTable, threshold: Threshold, *, num: int = 8) -> dict[str, list[WorstSample]]:
    """Find the errors farthest from the threshold.

    Args:
        table: Scores, one per frame.
        threshold: Accept if score >= threshold.
        num: Samples of each kind, at most.

    Returns:
        `accepted attacks`, highest score first, and `rejected live samples`, lowest first; equal scores by name.
    """
    kinds = {
        'accepted attacks': (~table.is_live & (table.score >= float(threshold)), -table.score),
        'rejected live samples': (table.is_live & (table.score < float(threshold)), table.score),
    }
    found = {}
    for name, (mask, order) in kinds.items():
        rows = np.flatnonzero(mask)
        rows = rows[np.lexsort((table.sample_id[rows], order[rows]))][:num]
        found[name] = [
            WorstSample(
                str(table.domain[row]), str(table.sample_id[row]), str(table.pai[row]), float(table.score[row])
            )
            for row in rows
        ]
    return found
