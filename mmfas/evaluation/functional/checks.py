"""Guards shared by every error rate: shapes, labels, finite scores, both classes present."""

from __future__ import annotations

import re
from math import isnan, nan
from typing import SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmfas.utils.errors import InputError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


def check_scores(scores: ArrayLike, is_live: ArrayLike) -> tuple[FloatArray, BoolArray]:
    """Return scores and labels as arrays that every rate of this package accepts.

    Args:
        scores: Liveness of N samples, shape (N,), finite, higher = live.
        is_live: Labels, shape (N,), bool or 0/1, true for bona fide presentations.

    Returns:
        The scores as float64 (N,) and the labels as bool (N,).

    Raises:
        ValueError: If a shape, a label or a score is not as stated; a NaN is named by its position.
    """
    values = np.asarray(scores, dtype=np.float64)
    labels = np.asarray(is_live)
    if values.ndim != 1 or labels.shape != values.shape:
        raise InputError(f'expected scores and labels of one shape (N,), got {values.shape} and {labels.shape}')
    if labels.dtype != np.bool_:
        wrong = np.flatnonzero((labels != 0) & (labels != 1))
        if wrong.size:
            raise InputError(f'label of sample {wrong[0]} must be 0 (spoof) or 1 (live), got {labels[wrong[0]]}')
        labels = labels.astype(np.bool_)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise InputError(
            f'score of sample {bad[0]} is {values[bad[0]]} ({bad.size} of {values.size} are not finite); '
            'no error rate is defined for it'
        )
    return values, labels


def check_pai(pai: ArrayLike, is_live: BoolArray) -> NDArray[np.str_]:
    """Return the attack instrument of every sample as an array of text.

    Args:
        pai: Presentation attack instrument of N samples, shape (N,); the entries of live samples are not read.
        is_live: Labels, shape (N,).

    Returns:
        The names, shape (N,).

    Raises:
        ValueError: If the number of names differs from the number of samples.
    """
    names = np.asarray(pai, dtype=np.str_)
    if names.shape != is_live.shape:
        raise InputError(f'expected one PAI name per sample, shape {is_live.shape}, got {names.shape}')
    return names


def require_classes(is_live: BoolArray, *, live: bool = True, spoof: bool = True) -> None:
    """Refuse samples that lack a class which the caller's rate divides by.

    Args:
        is_live: Labels, shape (N,).
        live: Whether live samples are needed.
        spoof: Whether attack samples are needed.

    Raises:
        ValueError: If a needed class has no sample.
    """
    num_live = int(is_live.sum())
    num_spoof = is_live.size - num_live
    missing = [
        name
        for name, needed, count in (('live', live, num_live), ('spoof', spoof, num_spoof))
        if needed and count == 0
    ]
    if missing:
        raise InputError(
            f'this rate is undefined without {" and ".join(missing)} samples: '
            f'got {num_live} live and {num_spoof} spoof'
        )


def read_number(text: str) -> float:
    """Read a decimal number as programs write it.

    Python's `float` also takes `1_000` and digits of other scripts, which in a file of numbers are mistakes.

    Args:
        text: Such as `'0.5'`, `'-2'`, `'1e-3'`.

    Returns:
        The number; NaN if the text is not a number.

    >>> read_number('1e-3'), read_number('1_000')
    (0.001, nan)
    """
    return float(text) if re.fullmatch(r'\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*', text) else nan


def check_fraction(value: float, name: str) -> float:
    """Return a target rate after checking that it lies in [0, 1].

    Args:
        value: The rate, in [0, 1].
        name: What the value is called in the error.

    Returns:
        The value as a float.

    Raises:
        ValueError: If the value is outside [0, 1] or not a number.
    """
    number = float(value)
    if not 0.0 <= number <= 1.0:
        raise InputError(f'{name} must be a rate in [0, 1], got {value}')
    return number


def check_threshold(threshold: SupportsFloat) -> float:
    """Return a decision threshold after checking that it is a number.

    Every comparison with NaN is false, so a NaN would make no error at all and every rate a perfect 0.

    Args:
        threshold: Accept if score >= threshold; -inf accepts everything, inf nothing.

    Returns:
        The threshold as a float.

    Raises:
        ValueError: If it is NaN.
    """
    value = float(threshold)
    if isnan(value):
        raise InputError('the threshold is NaN: no sample would count as an error; give a number')
    return value
