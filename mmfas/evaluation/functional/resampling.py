"""Draws of a bootstrap in little memory, and the area under the ROC curve of many draws from one sorting.

Legend: N samples, C clusters of one class, R replicates. Everything is a sum of whole numbers until the last
division, so no result depends on how many replicates are handled at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmfas.evaluation.functional.checks import BoolArray, FloatArray, IntArray

#: Replicates of which one class is drawn before the next one: part of the order of draws, so of every interval.
_CHUNK = 64
# Cells of a matrix (replicates, clusters) that are handled at once: bounds the memory, changes no result.
_CELLS = 2**20


def chunk_sizes(num_replicates: int) -> Iterator[int]:
    """Yield how many replicates are drawn at a time.

    Args:
        num_replicates: All of them.
    """
    for start in range(0, num_replicates, _CHUNK):
        yield min(_CHUNK, num_replicates - start)


def row_blocks(num_rows: int, width: int) -> Iterator[slice]:
    """Yield rows of a matrix that are handled at once.

    Args:
        num_rows: Rows of the matrix.
        width: Its columns.
    """
    step = max(1, min(_CHUNK, _CELLS // max(width, 1)))
    for start in range(0, num_rows, step):
        yield slice(start, min(start + step, num_rows))


def weighted_sums(counts_RC: IntArray, values_C: IntArray) -> IntArray:
    """Return the sum of values, each counted as often as it was drawn.

    Args:
        counts_RC: How often, shape (R, C), of any whole type.
        values_C: Values, shape (C,).

    Returns:
        Sums (R,), int64.
    """
    parts = [counts_RC[rows].astype(np.int64) @ values_C for rows in row_blocks(*counts_RC.shape)]
    return np.concatenate(parts)


@dataclass(frozen=True)
class Clusters:
    """The clusters of one class.

    Args:
        index_N: Cluster of each sample (N,), in 0..num-1.
        num: Number C of clusters.
    """

    index_N: NDArray[np.intp]
    num: int

    @cached_property
    def sizes_C(self) -> IntArray:
        """Samples of each cluster (C,)."""
        return np.bincount(self.index_N, minlength=self.num)

    def count(self, mask_N: BoolArray) -> IntArray:
        """Count samples cluster by cluster.

        Args:
            mask_N: Which samples count (N,).

        Returns:
            Counts (C,).
        """
        return np.bincount(self.index_N[mask_N], minlength=self.num)

    def draw_R(self, num_replicates: int, rng: np.random.Generator) -> IntArray:
        """Draw clusters with replacement.

        Args:
            num_replicates: Number R of replicates.
            rng: Source of the draws.

        Returns:
            How often each cluster is drawn, shape (R, C), in the smallest whole type that holds it; every row
            adds up to C.
        """
        parts = []
        for draws in self._draws(num_replicates, rng):
            draws += np.arange(len(draws))[:, None] * self.num
            counts = np.bincount(draws.ravel(), minlength=draws.size).reshape(draws.shape)
            parts.append(counts.astype(np.min_scalar_type(int(counts.max()))))
        return np.concatenate(parts)

    def rates_R(self, errors_N: BoolArray, num_replicates: int, rng: np.random.Generator) -> FloatArray:
        """Draw the rate of errors.

        Args:
            errors_N: Whether each sample is an error (N,).
            num_replicates: Number R of replicates.
            rng: Source of the draws; the same as in `draw_R`.

        Returns:
            Rates (R,).
        """
        # small types stay in the cache while they are looked up at random
        errors_C, sizes_C = (_small(values) for values in (self.count(errors_N), self.sizes_C))
        is_single = bool(np.all(sizes_C == 1))
        rates = []
        for draws in self._draws(num_replicates, rng):
            wrong = errors_C[draws].sum(axis=1, dtype=np.int64)
            rates.append(wrong / (self.num if is_single else sizes_C[draws].sum(axis=1, dtype=np.int64)))
        return np.concatenate(rates)

    def _draws(self, num_replicates: int, rng: np.random.Generator) -> Iterator[IntArray]:
        """Yield the clusters that are drawn, some replicates at a time (rows, C)."""
        for rows in row_blocks(num_replicates, self.num):
            yield rng.integers(self.num, size=(rows.stop - rows.start, self.num))


def _small(values: IntArray) -> IntArray:
    """Return counts in the smallest type that holds them."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


class Areas:
    """The Mann-Whitney AUC of many replicates of the same samples, which are sorted once.

    Args:
        live: Scores of the live samples, shape (n,).
        spoof: Scores of the attacks, shape (m,).
        live_cluster: Cluster of each live sample, shape (n,).
        spoof_cluster: Cluster of each attack, shape (m,).
    """

    def __init__(
        self,
        live: FloatArray,
        spoof: FloatArray,
        *,
        live_cluster: NDArray[np.intp],
        spoof_cluster: NDArray[np.intp],
    ) -> None:
        order, spoof_order = (np.argsort(values, kind='stable') for values in (live, spoof))
        levels, rising = live[order], spoof[spoof_order]
        self.live, self.spoof = live_cluster[order], spoof_cluster[spoof_order]
        self.below = np.searchsorted(rising, levels, side='left')
        self.up_to = np.searchsorted(rising, levels, side='right')
        self.has_ties = not np.array_equal(self.below, self.up_to)

    def of(self, live_RC: IntArray, spoof_RC: IntArray) -> FloatArray:
        """Return the area of every replicate.

        Args:
            live_RC: How often each live cluster counts, shape (R, C).
            spoof_RC: The same of the attacks.

        Returns:
            Areas (R,).
        """
        widest = max(self.live.size, self.spoof.size)
        return np.concatenate(
            [self._of_rows(live_RC[rows], spoof_RC[rows]) for rows in row_blocks(len(live_RC), widest)]
        )

    def _of_rows(self, live_RC: IntArray, spoof_RC: IntArray) -> FloatArray:
        """Return the areas of a few replicates."""
        weights = np.take(live_RC, self.live, axis=1).astype(np.int64)
        attacks = np.zeros((len(spoof_RC), self.spoof.size + 1), dtype=np.int64)
        np.cumsum(np.take(spoof_RC, self.spoof, axis=1), axis=1, dtype=np.int64, out=attacks[:, 1:])
        # Twice the wins, so that a tie (half a win) stays an integer and nothing is rounded.
        wins = np.einsum('rn,rn->r', weights, np.take(attacks, self.below, axis=1))
        wins += np.einsum('rn,rn->r', weights, np.take(attacks, self.up_to, axis=1)) if self.has_ties else wins
        return wins / (2.0 * weights.sum(axis=1) * attacks[:, -1])
