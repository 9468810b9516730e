"""Slow twins: every rate written as loops over samples and exact fractions. They are the specification."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import inf

import numpy as np

Scores = Sequence[float]
Labels = Sequence[bool]


def random_case(seed: int, *, num: int = 60, num_levels: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores with many ties, labels with both classes, and instruments of unequal size."""
    rng = np.random.default_rng(seed)
    is_live = rng.random(num) < rng.uniform(0.1, 0.9)
    is_live[:2] = True, False
    scores = np.clip(rng.integers(num_levels, size=num) + is_live * rng.integers(0, 6), 0, num_levels) / num_levels
    pai = np.where(is_live, 'live', rng.choice(['print', 'replay', 'mask3d'], size=num, p=[0.6, 0.35, 0.05]))
    return scores, is_live, pai


def far(scores: Scores, is_live: Labels, threshold: float) -> Fraction:
    """Share of attacks at or above the threshold."""
    accepted = total = 0
    for score, live in zip(scores, is_live):
        if not live:
            total += 1
            accepted += score >= threshold
    return Fraction(int(accepted), total)


def frr(scores: Scores, is_live: Labels, threshold: float) -> Fraction:
    """Share of live samples below the threshold."""
    rejected = total = 0
    for score, live in zip(scores, is_live):
        if live:
            total += 1
            rejected += score < threshold
    return Fraction(int(rejected), total)


def apcer(scores: Scores, is_live: Labels, pai: Sequence[str], threshold: float) -> dict[str, Fraction]:
    """Share of attacks at or above the threshold, per instrument."""
    found: dict[str, list[bool]] = {}
    for score, live, name in zip(scores, is_live, pai):
        if not live:
            found.setdefault(str(name), []).append(bool(score >= threshold))
    return {name: Fraction(sum(hits), len(hits)) for name, hits in found.items()}


def candidates(scores: Scores) -> list[float]:
    """Thresholds that can matter, strictest first."""
    return [inf, *sorted(set(scores), reverse=True)]


def eer_rates(scores: Scores, is_live: Labels) -> tuple[Fraction, Fraction]:
    """FAR and FRR where they differ least; of two such points the one with the smaller sum."""
    points = [(far(scores, is_live, t), frr(scores, is_live, t)) for t in candidates(scores)]
    return min(points, key=lambda point: (abs(point[0] - point[1]), point[0] + point[1]))


def min_hter_rates(scores: Scores, is_live: Labels) -> tuple[Fraction, Fraction]:
    """FAR and FRR where their sum is smallest; of equal ones where they differ least."""
    points = [(far(scores, is_live, t), frr(scores, is_live, t)) for t in candidates(scores)]
    return min(points, key=lambda point: (point[0] + point[1], abs(point[0] - point[1])))


def tpr_at_fpr(scores: Scores, is_live: Labels, target: Fraction) -> Fraction:
    """Largest TPR among the candidates with FPR at most the target."""
    return max(1 - frr(scores, is_live, t) for t in candidates(scores) if far(scores, is_live, t) <= target)


def bpcer_at_apcer(scores: Scores, is_live: Labels, pai: Sequence[str], target: Fraction) -> Fraction:
    """Smallest BPCER among the candidates where every instrument obeys the target."""
    allowed = [t for t in candidates(scores) if max(apcer(scores, is_live, pai, t).values()) <= target]
    return min(frr(scores, is_live, t) for t in allowed)


def apcer_at_bpcer(scores: Scores, is_live: Labels, pai: Sequence[str], target: Fraction) -> dict[str, Fraction]:
    """APCER at the strictest candidate where BPCER obeys the target."""
    strictest = next(t for t in candidates(scores) if frr(scores, is_live, t) <= target)
    return apcer(scores, is_live, pai, strictest)


def auc(scores: Scores, is_live: Labels) -> Fraction:
    """Share of (live, attack) pairs in the right order, ties counted half."""
    wins = Fraction(0)
    pairs = 0
    for score_live, live in zip(scores, is_live):
        for score_spoof, other in zip(scores, is_live):
            if live and not other:
                pairs += 1
                wins += Fraction(int(score_live > score_spoof)) + Fraction(int(score_live == score_spoof), 2)
    return wins / pairs
