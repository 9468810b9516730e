"""From the scores of frames to one score per video or subject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmfas.evaluation.functional.checks import FloatArray
from mmfas.utils.errors import InputError

_REDUCTIONS: dict[str, Callable[[FloatArray], Any]] = {'mean': np.mean, 'median': np.median, 'max': np.max}
AGGREGATES = tuple(_REDUCTIONS)


def aggregate_scores(
    scores: ArrayLike, groups: ArrayLike, *, frame_reduction: str = 'mean'
) -> tuple[FloatArray, NDArray[np.intp]]:
    """Reduce the scores of each group to one.

    The result does not depend on the order of the samples: scores are sorted before they are summed.

    Args:
        scores: Liveness, shape (N,).
        groups: Group of each sample, any sortable type, shape (N,).
        frame_reduction: `'mean'`, `'median'` or `'max'` (the most live-looking frame).

    Returns:
        One score per group (G,) and the position of its first sample (G,), groups in order of first appearance.

    Raises:
        ValueError: If `frame_reduction` is unknown or the shapes differ.

    Example:
        >>> values, first = aggregate_scores([0.25, 1.0, 0.75], ['v2', 'v1', 'v2'])
        >>> values.tolist(), first.tolist()
        ([0.5, 1.0], [0, 1])
    """
    if frame_reduction not in AGGREGATES:
        raise InputError(f"frame_reduction must be one of {', '.join(AGGREGATES)}, got '{frame_reduction}'")
    values, names = np.asarray(scores, dtype=np.float64), np.asarray(groups)
    if values.ndim != 1 or names.shape != values.shape:
        raise InputError(f'expected scores and groups of one shape (N,), got {values.shape} and {names.shape}')
    _, first, index = np.unique(names, return_index=True, return_inverse=True)
    order = np.lexsort((values, index.reshape(-1)))
    ends = np.cumsum(np.bincount(index.reshape(-1)))
    reduce = _REDUCTIONS[frame_reduction]
    reduced = np.array([reduce(part) for part in np.split(values[order], ends[:-1])])
    appearance = np.argsort(first)
    return reduced[appearance], first[appearance]
