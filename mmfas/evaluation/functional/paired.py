"""Two systems on the same samples: differences with paired bootstrap intervals, McNemar's and a permutation test.

Legend: N samples, C clusters of one stratum, R replicates. A stratum is the live samples or the
attacks with one instrument, so that every replicate has all instruments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmfas.evaluation.functional.checks import (
    BoolArray,
    FloatArray,
    IntArray,
    check_pai,
    check_scores,
    check_threshold,
    require_classes,
)
from mmfas.evaluation.functional.resampling import Areas, Clusters, chunk_sizes, row_blocks, weighted_sums
from mmfas.utils.errors import InputError

__all__ = ['McNemar', 'PairedSamples', 'mcnemar']

_LIVE = 'live'
_ROUNDING = 1e-12


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of one kind of error of two systems.

    Args:
        only_first: Samples that only the first system gets wrong.
        only_second: Samples that only the second one gets wrong.
        p_value: Probability of counts as uneven as these, or more, if both systems err equally often.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first_wrong: ArrayLike, second_wrong: ArrayLike) -> McNemar:
    """Test whether two systems err equally often on the same samples.

    Q. McNemar, Psychometrika 12 (1947) 153-157, in its exact form: of the samples that exactly one system gets
    wrong, each is the first one's with probability 1/2. Samples count as independent: frames of one video are not.

    Args:
        first_wrong: Whether the first system errs, shape (N,).
        second_wrong: Whether the second one does, shape (N,).

    Returns:
        Counts and two-sided p value; 1 if no sample tells the systems apart.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> mcnemar([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0])
        McNemar(only_first=5, only_second=0, p_value=0.0625)
    """
    from scipy.special import bdtr  # scipy.stats would take seconds to import

    first, second = np.asarray(first_wrong, dtype=np.bool_), np.asarray(second_wrong, dtype=np.bool_)
    if first.shape != second.shape:
        raise InputError(f'expected errors of the same samples, got shapes {first.shape} and {second.shape}')
    counts = int(np.sum(first & ~second)), int(np.sum(~first & second))
    p_value = min(1.0, 2 * float(bdtr(min(counts), sum(counts), 0.5)))
    return McNemar(*counts, p_value)


@dataclass(frozen=True, eq=False)
class PairedSamples:
    """The scores of two systems for the same samples.

    Args:
        scores: Liveness by each system, shapes (N,), finite.
        thresholds: Threshold of each system: accept if score >= threshold.
        is_live: Labels, shape (N,).
        pai: Instrument of each sample, shape (N,).
        cluster: What errs together, shape (N,), such as the video; a name per sample takes them as independent.

    Raises:
        ValueError: If a shape or value is not as stated, or a class is absent.
    """

    scores: tuple[FloatArray, FloatArray]
    thresholds: tuple[float, float]
    is_live: BoolArray
    pai: NDArray[np.str_]
    cluster: NDArray[np.str_]

    def __post_init__(self) -> None:
        checked = [check_scores(scores, self.is_live) for scores in self.scores]
        labels = checked[0][1]
        require_classes(labels)
        object.__setattr__(self, 'scores', (checked[0][0], checked[1][0]))
        object.__setattr__(self, 'is_live', labels)
        object.__setattr__(self, 'thresholds', tuple(check_threshold(value) for value in self.thresholds))
        object.__setattr__(self, 'pai', np.where(labels, _LIVE, check_pai(self.pai, labels)))
        if np.shape(self.cluster) != labels.shape:
            raise InputError(
                f'expected one cluster name per sample, shape {labels.shape}, got {np.shape(self.cluster)}'
            )

    @cached_property
    def strata(self) -> dict[str, NDArray[np.intp]]:
        """Positions of the samples of each stratum, shape (n,), `'live'` first, then the instruments by name."""
        names = [_LIVE, *sorted(set(self.pai.tolist()) - {_LIVE})]
        return {name: np.flatnonzero(self.pai == name) for name in names}

    def wrong(self, system: int) -> BoolArray:
        """Return whether a system errs on each sample.

        Args:
            system: 0 or 1.

        Returns:
            Mask (N,).
        """
        accepted = self.scores[system] >= self.thresholds[system]
        return accepted != self.is_live

    def observed(self, system: int) -> dict[str, float]:
        """Return the numbers of a system.

        Args:
            system: 0 or 1.

        Returns:
            `hter`, `bpcer`, `apcer_max`, `apcer_pooled`, `acer_max`, `auc` and `apcer_<pai>`.
        """
        ones = {name: np.ones((1, clusters.num), dtype=np.int64) for name, clusters in self._clusters.items()}
        return {name: float(values[0]) for name, values in self._numbers(system, ones).items()}

    def replicates(self, rng: np.random.Generator, num_replicates: int) -> dict[str, FloatArray]:
        """Draw the paired bootstrap: in every replicate both systems get the same clusters.

        Args:
            rng: Source of the draws; stratum after stratum, for some replicates at a time.
            num_replicates: Number R of replicates.

        Returns:
            Second system minus first, by the names of `observed`, shapes (R,).
        """
        parts: list[dict[str, FloatArray]] = []
        for size in chunk_sizes(num_replicates):
            counts = {name: clusters.draw_R(size, rng) for name, clusters in self._clusters.items()}
            first, second = (self._numbers(system, counts) for system in (0, 1))
            parts.append({name: second[name] - first[name] for name in first})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @cached_property
    def _clusters(self) -> dict[str, Clusters]:
        """Clusters of the samples of each stratum."""
        found = {}
        for name, index in self.strata.items():
            names, inverse = np.unique(self.cluster[index], return_inverse=True)
            found[name] = Clusters(inverse.reshape(-1), names.size)
        return found

    @cached_property
    def _areas(self) -> tuple[Areas, Areas]:
        """The order of the scores of each system; attacks are numbered stratum after stratum."""
        live, *attacks = self._clusters.values()
        index, *of_attacks = self.strata.values()
        starts = np.cumsum([0, *(clusters.num for clusters in attacks)])
        cluster = np.concatenate([part.index_N + start for part, start in zip(attacks, starts)])
        first, second = (
            Areas(
                score[index],
                score[np.concatenate(of_attacks)],
                live_cluster=live.index_N,
                spoof_cluster=cluster,
            )
            for score in self.scores
        )
        return first, second

    def _numbers(self, system: int, counts: Mapping[str, IntArray]) -> dict[str, FloatArray]:
        """Return the numbers of a system by how often the clusters of each stratum count, shapes (R,)."""
        wrong, errors, totals = self.wrong(system), {}, {}
        for name, clusters in self._clusters.items():
            errors[name] = weighted_sums(counts[name], clusters.count(wrong[self.strata[name]]))
            totals[name] = weighted_sums(counts[name], clusters.sizes_C)
        live, *attacks = counts.values()
        area = self._areas[system].of(live, np.concatenate(attacks, axis=1))
        return {**_rates(errors, totals), 'auc': area}

    def permutation_p_values(self, rng: np.random.Generator, num_permutations: int) -> dict[str, float]:
        """Test every difference of errors by exchanging the decisions of the two systems, cluster by cluster.

        If the systems are equally good, which of them made which decisions on a cluster is chance. There is none
        for `auc`: scores of two systems are not on one scale, so exchanging them means nothing.

        Args:
            rng: Source of the exchanges.
            num_permutations: Number of exchanges of a random half of the clusters.

        Returns:
            Two-sided p values by the names of `observed`, without `auc`; at least 1 / (num_permutations + 1).
        """
        names, inverse = np.unique(self.cluster, return_inverse=True)
        index = inverse.reshape(-1)
        errors = self.wrong(0), self.wrong(1)
        # only what one system alone gets wrong moves when decisions are exchanged
        moved = {name: rows[errors[0][rows] != errors[1][rows]] for name, rows in self.strata.items()}
        signs = {name: np.where(errors[1][rows], 1, -1) for name, rows in moved.items()}
        none = dict.fromkeys(self.strata, np.zeros(1, dtype=np.int64))
        actual = self._differences(none)
        as_large = dict.fromkeys(actual, 0)
        for block in row_blocks(num_permutations, names.size):
            swap = rng.integers(2, size=(block.stop - block.start, names.size)).astype(np.int8)
            found = self._differences(
                {name: np.take(swap, index[rows], axis=1) @ signs[name] for name, rows in moved.items()}
            )
            for name, values in found.items():
                # Up to rounding: equal counts must stay equal whatever the order of a sum.
                as_large[name] += int(np.sum(np.abs(values) >= abs(actual[name][0]) - _ROUNDING))
        return {name: (count + 1) / (num_permutations + 1) for name, count in as_large.items()}

    def _differences(self, moved: Mapping[str, IntArray]) -> dict[str, FloatArray]:
        """Return second minus first of every rate, after errors have moved to the first system, shapes (R,)."""
        totals = {name: np.array([index.size]) for name, index in self.strata.items()}
        first, second = (
            _rates(
                {name: wrong[index].sum() + sign * moved[name] for name, index in self.strata.items()},
                totals,
            )
            for wrong, sign in ((self.wrong(0), 1), (self.wrong(1), -1))
        )
        return {name: second[name] - first[name] for name in first}


def _rates(errors: Mapping[str, IntArray], totals: Mapping[str, IntArray]) -> dict[str, FloatArray]:
    """Return the error rates made of the counts of each stratum, shapes (R,)."""
    attacks = [name for name in errors if name != _LIVE]
    rejected = errors[_LIVE] / totals[_LIVE]
    per_pai = {f'apcer_{name}': errors[name] / totals[name] for name in attacks}
    pooled = sum(errors[name] for name in attacks) / sum(totals[name] for name in attacks)
    worst = np.max(list(per_pai.values()), axis=0)
    return {
        'hter': (rejected + pooled) / 2,
        'bpcer': rejected,
        'apcer_max': worst,
        'apcer_pooled': pooled,
        'acer_max': (rejected + worst) / 2,
        **per_pai,
    }
