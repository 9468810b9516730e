"""Confidence intervals from counts: of one rate (Wilson), of the mean and of the difference of two."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from mmfas.utils.errors import InputError


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval of a rate.

    Args:
        low: Lower end.
        high: Upper end.
        confidence: Nominal coverage, in (0, 1).
    """

    low: float
    high: float
    confidence: float = 0.95


def check_confidence(confidence: float) -> float:
    """Return a nominal coverage after checking that it lies in (0, 1).

    Args:
        confidence: Nominal coverage, such as 0.95.

    Returns:
        The same value.

    Raises:
        ValueError: If it is not strictly between 0 and 1.
    """
    if not 0.0 < confidence < 1.0:
        raise InputError(f'confidence must lie in (0, 1), for example 0.95, got {confidence}')
    return confidence


def wilson_interval(errors: int, total: int, *, confidence: float = 0.95) -> Interval:
    """Return the Wilson score interval of `errors / total`.

    Unlike the normal approximation it stays inside [0, 1] and is not empty for 0 or `total` errors, which is why
    it is printed beside every APCER and BPCER. E. B. Wilson, JASA 22 (1927) 209-212:
    `(p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)`.

    Args:
        errors: Number of errors, 0 <= errors <= total.
        total: Number of trials, at least 1.
        confidence: Nominal coverage, in (0, 1).

    Returns:
        The interval, inside [0, 1].

    Raises:
        ValueError: If there are no trials, or more errors than trials.

    Example:
        >>> interval = wilson_interval(10, 10)
        >>> round(interval.low, 3), interval.high
        (0.722, 1.0)
    """
    if total < 1 or not 0 <= errors <= total:
        raise InputError(f'expected 0 <= errors <= total and total >= 1, got {errors}/{total}')
    z = NormalDist().inv_cdf(0.5 + check_confidence(confidence) / 2)
    rate = errors / total
    centre = rate + z * z / (2 * total)
    spread = z * sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # The ends are exactly 0 and 1 for no and only errors; rounding would leave 1e-17.
    low = 0.0 if errors == 0 else (centre - spread) / scale
    high = 1.0 if errors == total else (centre + spread) / scale
    return Interval(low, high, confidence)


def half_sum_interval(first: tuple[int, int], second: tuple[int, int], *, confidence: float = 0.95) -> Interval:
    """Return the interval of the mean of two independent rates, such as ACER = (APCER + BPCER) / 2.

    The distances of both Wilson ends from their rates are added as squares (the MOVER of G. Y. Zou and A. Donner,
    Statistics in Medicine 27 (2008) 1693-1702). Unlike a bootstrap it is not empty where no error occurred.
    The counts are taken as given: neither that the worst of several instruments was picked, nor that frames of one
    video err together, is part of it.

    Args:
        first: Errors and total of the first rate.
        second: Errors and total of the second rate.
        confidence: Nominal coverage, in (0, 1).

    Returns:
        The interval, inside [0, 1].

    Raises:
        ValueError: If a rate has no trials, or more errors than trials.

    Example:
        >>> interval = half_sum_interval((10, 10), (245, 2287))
        >>> round(interval.low, 3), round(interval.high, 3)
        (0.415, 0.56)
    """
    rates = [errors / total if total else 0.0 for errors, total in (first, second)]
    ends = [wilson_interval(errors, total, confidence=confidence) for errors, total in (first, second)]
    centre = sum(rates)
    below = sqrt(sum((rate - end.low) ** 2 for rate, end in zip(rates, ends)))
    above = sqrt(sum((end.high - rate) ** 2 for rate, end in zip(rates, ends)))
    return Interval((centre - below) / 2, (centre + above) / 2, confidence)


def difference_interval(first: tuple[int, int], second: tuple[int, int], *, confidence: float = 0.95) -> Interval:
    """Return the interval of the difference of two independent rates, first minus second.

    Method 10 of R. G. Newcombe, "Interval estimation for the difference between independent proportions",
    Statistics in Medicine 17 (1998) 873-890: the distances of both Wilson ends from their rates, added as squares.

    Args:
        first: Errors and total of the first rate.
        second: Errors and total of the second rate.
        confidence: Nominal coverage, in (0, 1).

    Returns:
        The interval, inside [-1, 1].

    Raises:
        ValueError: If a rate has no trials, or more errors than trials.

    Example:
        >>> interval = difference_interval((56, 70), (48, 80))
        >>> round(interval.low, 4), round(interval.high, 4)
        (0.0524, 0.3339)
    """
    one, two = (wilson_interval(errors, total, confidence=confidence) for errors, total in (first, second))
    rate_one, rate_two = first[0] / first[1], second[0] / second[1]
    below = sqrt((rate_one - one.low) ** 2 + (two.high - rate_two) ** 2)
    above = sqrt((one.high - rate_one) ** 2 + (rate_two - two.low) ** 2)
    return Interval(rate_one - rate_two - below, rate_one - rate_two + above, confidence)
