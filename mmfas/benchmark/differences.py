"""Which differences between methods are real: paired by seed, corrected for the number of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mmfas.benchmark.plan import SPLITS, Protocol
from mmfas.benchmark.tables import RecordSelection, values

#: Level of the test, for all pairs of methods together.
LEVEL = 0.05
#: How the sentences of `sentence` begin: what they say without pairs, without and with real differences.
BEGINNINGS = ('No two methods have two seeds', 'No difference between the means', 'Differences of the means')


@dataclass(frozen=True)
class Difference:
    """Two methods beside each other.

    Args:
        lower: The one with the lower error, as tables write it.
        higher: The other one.
        gap: Mean over the seeds of what the error of the other one is more, above 0.
        p: p value of the paired test, Holm's correction applied; in [0, 1].
    """

    lower: str
    higher: str
    gap: float
    p: float

    @property
    def is_real(self) -> bool:
        """Whether the test tells the two apart."""
        return self.p <= LEVEL


def differences(chosen: RecordSelection, protocol: Protocol, measure: str) -> list[Difference]:
    """Compare every two methods by a paired t test over the seeds that both have.

    One seed gives one number, its mean over the splits; seeds share the order of the batches and the draws of the
    site's videos, so they are paired. p values are multiplied as Holm (1979) does it for all pairs together.

    Args:
        chosen: Records.
        protocol: 1, 2, '2s' or 3.
        measure: An error, see `mmfas.benchmark.tables.values`.

    Returns:
        Every pair with at least two seeds in common, smallest p first.
    """
    numbers = {name: _by_seed(chosen, method, protocol, measure) for method, name in chosen.row_names.items()}
    raw = [found for pair in combinations(numbers, 2) if (found := _paired(*pair, numbers)) is not None]
    raw.sort(key=lambda found: found.p)
    holm = np.maximum.accumulate([found.p * (len(raw) - rank) for rank, found in enumerate(raw)])
    return [Difference(f.lower, f.higher, f.gap, min(1.0, float(p))) for f, p in zip(raw, holm, strict=True)]


def _by_seed(chosen: RecordSelection, method: str, protocol: Protocol, measure: str) -> dict[int, float]:
    """Return the mean over the splits of every seed that has all of them."""
    seeds = chosen.group(method, protocol, SPLITS[protocol])
    found = values(chosen, method, protocol, SPLITS[protocol], measure)
    return dict(zip(seeds, found, strict=True)) if len(found) == len(seeds) else {}


def _paired(first: str, second: str, numbers: dict[str, dict[int, float]]) -> Difference | None:
    """Compare two methods; None with fewer than two seeds in common."""
    from scipy.stats import ttest_1samp

    seeds = numbers[first].keys() & numbers[second].keys()
    if len(seeds) < 2:
        return None
    gaps = np.array([numbers[second][seed] - numbers[first][seed] for seed in sorted(seeds)])
    if np.ptp(gaps) == 0:  # no spread, of which a t test knows nothing
        p = 1.0 if gaps[0] == 0 else 0.0
    else:
        p = float(ttest_1samp(gaps, 0.0).pvalue)
    gap = float(gaps.mean())
    names = (first, second) if gap >= 0 else (second, first)
    return Difference(*names, abs(gap), p)


def sentence(found: Sequence[Difference]) -> str:
    """State in one sentence which differences are real.

    Args:
        found: What `differences` returns.
    """
    if not found:
        return f'{BEGINNINGS[0]} in common, so no difference can be told from chance.'
    pairs = f'{len(found)} pair{"s" if len(found) > 1 else ""}'
    test = f'paired t test over seeds, Holm correction for {pairs}, {100 * LEVEL:g} %'
    better: dict[str, list[str]] = {}
    for pair in found:
        if pair.is_real:
            better.setdefault(pair.lower, []).append(f'`{pair.higher}` (by {100 * pair.gap:.1f})')
    if not better:
        return f'{BEGINNINGS[1]} is larger than chance explains ({test}).'
    listed = '; '.join(f'`{name}` below {", ".join(sorted(others))}' for name, others in sorted(better.items()))
    return f'{BEGINNINGS[2]} that chance does not explain ({test}): {listed}; all others may be chance.'
