"""The bootstrap the plain way: the weight of every sample in every replicate, summed for each distinct score."""

from __future__ import annotations

import numpy as np


def per_level(weights: np.ndarray, level: np.ndarray, num_levels: int) -> np.ndarray:
    """Sum the weights (R, n) of the samples of each distinct score, shape (R, K)."""
    summed = np.zeros((weights.shape[0], num_levels), dtype=np.int64)
    for sample, place in enumerate(level):
        summed[:, place] += weights[:, sample]
    return summed


def areas(live: np.ndarray, spoof: np.ndarray, live_weights: np.ndarray, spoof_weights: np.ndarray) -> np.ndarray:
    """Return the Mann-Whitney AUC of every replicate from the weights of samples, (R, n) and (R, m)."""
    levels = np.unique(np.concatenate([live, spoof]))
    above = per_level(live_weights, np.searchsorted(levels, live), levels.size)
    below = per_level(spoof_weights, np.searchsorted(levels, spoof), levels.size)
    wins = np.sum(above * (2 * np.cumsum(below, axis=1) - below), axis=1)
    return wins / (2.0 * above.sum(axis=1) * below.sum(axis=1))


def draw(num: int, num_replicates: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each of `num` clusters is drawn, (R, num), 64 replicates at a time."""
    rows = []
    for start in range(0, num_replicates, 64):
        draws = rng.integers(num, size=(min(64, num_replicates - start), num))
        rows += [np.bincount(row, minlength=num) for row in draws]
    return np.array(rows)
