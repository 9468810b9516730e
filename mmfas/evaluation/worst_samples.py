"""The worst mistakes in scores: accepted attacks with the highest scores, rejected live faces with the lowest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmfas.evaluation.functional import Threshold
from mmfas.evaluation.score_table import ScoreTable

__all__ = ['Mistake', 'WorstSamples', 'worst_samples']


@dataclass(frozen=True)
class Mistake:
    """A sample on the wrong side of the threshold.

    Args:
        sample_id: Its name.
        domain: Its data set; `''` where unknown.
        pai: Attack instrument; `'live'` for a live face.
        subject: The person; `''` where unknown.
        score: What it was given.
    """

    sample_id: str
    domain: str
    pai: str
    subject: str
    score: float


@dataclass(frozen=True)
class WorstSamples:
    """The mistakes that are furthest from the threshold, the worst first.

    Args:
        accepted: Accepted attacks, the highest score first.
        rejected: Rejected live faces, the lowest score first.
        num_accepted: How many attacks were accepted in all.
        num_rejected: How many live faces were rejected in all.
        num_attacks: How many attacks there are.
        num_live: How many live faces there are.
    """

    accepted: tuple[Mistake, ...]
    rejected: tuple[Mistake, ...]
    num_accepted: int
    num_rejected: int
    num_attacks: int
    num_live: int


def worst_samples(table: ScoreTable, threshold: Threshold, *, num: int = 8) -> WorstSamples:
    """Find the worst mistakes.

    Args:
        table: Scores, one per frame.
        threshold: Accept if score >= threshold.
        num: Mistakes of either kind to return, at least 1.

    Returns:
        The mistakes; samples with one score are in the order of the table.
    """
    accepted = table.score >= threshold.value
    wrong_attack, wrong_live = accepted & ~table.is_live, ~accepted & table.is_live

    def listed(mask: np.ndarray, sign: int) -> tuple[Mistake, ...]:
        rows = np.flatnonzero(mask)
        chosen = rows[np.argsort(sign * table.score[rows], kind='stable')][:num]
        return tuple(
            Mistake(
                sample_id=str(table.sample_id[row]),
                domain=str(table.domain[row]),
                pai=str(table.pai[row]),
                subject=str(table.subject[row]),
                score=float(table.score[row]),
            )
            for row in chosen
        )

    return WorstSamples(
        accepted=listed(wrong_attack, -1),
        rejected=listed(wrong_live, 1),
        num_accepted=int(wrong_attack.sum()),
        num_rejected=int(wrong_live.sum()),
        num_attacks=table.num_spoof,
        num_live=table.num_live,
    )
