"""From values of cells to a verdict: paired differences, their interval, and the rule of `claims.yml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import mean, stdev

from mmfas.utils.errors import InputError
from projects.claims.plan import Cell, Claim, Claims, Condition, Training

HOLDS, FAILS, UNDECIDED = 'holds', 'does not hold', 'undecided'
#: Split and seed: what the two arms of a pair have in common.
Pair = tuple[str, int]
#: Measures that stand beside the one that decides, by that one.
BESIDE = {'auc': 'hter'}
_OTHER_SIDE = {'higher': 'lower', 'lower': 'higher'}


@dataclass(frozen=True)
class Effect:
    """First arm minus second arm.

    Args:
        differences: One for every split and seed.
        low: Lower end of the interval of their mean.
        high: Upper end.
        claimed: `'higher'` or `'lower'`.
    """

    differences: Mapping[Pair, float]
    low: float
    high: float
    claimed: str

    @property
    def value(self) -> float:
        """Mean of the differences."""
        return mean(self.differences.values())

    @property
    def verdict(self) -> str:
        """What the rule says: the interval lies on the claimed side of 0, on the other one, or on both."""
        if self.low > 0:
            return HOLDS if self.claimed == 'higher' else FAILS
        if self.high < 0:
            return HOLDS if self.claimed == 'lower' else FAILS
        return UNDECIDED

    @property
    def num_splits_as_claimed(self) -> int:
        """Number of splits whose mean lies on the claimed side."""
        sign = 1 if self.claimed == 'higher' else -1
        splits = {split for split, _ in self.differences}
        return sum(mean(v for (s, _), v in self.differences.items() if s == split) * sign > 0 for split in splits)


def make_effect(differences: Mapping[Pair, float], claimed: str, *, confidence: float) -> Effect:
    """Compute the interval of the mean of paired differences: Student's t over all pairs.

    Args:
        differences: Two at least.
        claimed: `'higher'` or `'lower'`.
        confidence: Level of the interval, in (0, 1).

    Raises:
        ValueError: If there is one difference or none.
    """
    if len(differences) < 2:
        raise InputError(f'an interval needs two pairs of seed and split at least, got {len(differences)}')
    from scipy.stats import t

    values = list(differences.values())
    quantile = float(t.ppf(0.5 + confidence / 2, len(values) - 1))
    half = quantile * stdev(values) / len(values) ** 0.5
    return Effect(differences, mean(values) - half, mean(values) + half, claimed)


def complete_seeds(claim: Claim, claims: Claims, values: Mapping[str, Mapping[str, float]]) -> list[int]:
    """Return the seeds that have every cell of a claim.

    Args:
        claim: The claim.
        claims: The table, for its splits.
        values: Values of the cells, by name of the cell; seeds that were not planned count too.
    """
    seeds = {int(name.partition('_seed')[2].partition('_on_')[0]) for name in values}
    return sorted(
        seed
        for seed in seeds
        if all(
            cell_of(claim, arm, condition, (split, seed)).name in values
            for arm, condition, split in product((0, 1), claim.all_conditions, claims.splits)
        )
    )


def cell_of(claim: Claim, arm: int, condition: Condition, pair: Pair) -> Cell:
    """Return a cell of a claim.

    Args:
        claim: The claim.
        arm: 0 for the first arm, 1 for the second.
        condition: One of its conditions.
        pair: Split and seed.
    """
    return Cell(Training(claim.arms[arm], condition[0], *pair), condition[1])


def effects_of(
    claim: Claim, claims: Claims, values: Mapping[str, Mapping[str, float]], seeds: Sequence[int]
) -> dict[str, Effect]:
    """Compute the effect that decides, and the one beside it.

    Args:
        claim: The claim.
        claims: The table, for splits and confidence.
        values: Values of the cells, by name of the cell.
        seeds: Seeds that have every cell.

    Returns:
        Effect by measure, that of the claim first.
    """
    measures = {claim.measure: claim.claimed}
    if claim.measure in BESIDE:  # less error is what more area is
        measures[BESIDE[claim.measure]] = _OTHER_SIDE[claim.claimed]
    effects = {}
    for measure, claimed in measures.items():
        differences = {
            pair: _value(claim, 0, pair, values, measure) - _value(claim, 1, pair, values, measure)
            for pair in product(claims.splits, seeds)
        }
        effects[measure] = make_effect(differences, claimed, confidence=claims.confidence)
    return effects


def _value(claim: Claim, arm: int, pair: Pair, values: Mapping[str, Mapping[str, float]], measure: str) -> float:
    """Return the value of one arm: mean over the conditions, minus that against which they are held."""

    def of(condition: Condition) -> float:
        return values[cell_of(claim, arm, condition, pair).name][measure]

    found = mean(map(of, claim.conditions))
    return found - of(claim.against) if claim.against else found
