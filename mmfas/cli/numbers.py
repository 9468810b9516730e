"""Numbers of the command line that have a range."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

#: numpy takes no larger seed.
LARGEST_SEED = 2**32 - 1


def seed(text: str) -> int:
    """Read a seed; the `type` of options that take one.

    Args:
        text: What was given.

    Raises:
        argparse.ArgumentTypeError: If it is no integer from 0 to 4294967295.

    >>> seed('7')
    7
    """
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= LARGEST_SEED:
        raise argparse.ArgumentTypeError(f'must be an integer from 0 to {LARGEST_SEED}, got {text[:80]!r}')
    return value


def whole(least: int = 1, most: int | None = None) -> Callable[[str], int]:
    """Make the `type` of an option that takes an integer in a range.

    Args:
        least: Smallest value.
        most: Largest value; None for any.

    >>> whole(0)('3')
    3
    """
    words = f'an integer of at least {least}' if most is None else f'an integer from {least} to {most}'

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or most is not None and value > most:
            raise argparse.ArgumentTypeError(f'must be {words}, got {text[:80]!r}')
        return value

    return read


def number(
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> Callable[[str], float]:
    """Make the `type` of an option that takes a finite number in a range.

    Args:
        least: Smallest value; None for any.
        above: Value that is too small itself; None for any.
        most: Largest value; None for any.
        below: Value that is too large itself; None for any.

    >>> number(least=0, below=1)('0.25')
    0.25
    """
    limits = {'of at least': least, 'above': above, 'of at most': most, 'below': below}
    given = [f'{words} {limit:g}' for words, limit in limits.items() if limit is not None]
    words = ' '.join(('a finite number', ' and '.join(given))).strip()

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        is_large = (least is None or value >= least) and (above is None or value > above)
        is_small = (most is None or value <= most) and (below is None or value < below)
        if not (math.isfinite(value) and is_large and is_small):
            raise argparse.ArgumentTypeError(f'must be {words}, got {text[:80]!r}')
        return value

    return read


def device(text: str) -> str:
    """Read the name of a device; the `type` of options that take one.

    Args:
        text: Such as `cpu` or `cuda:0`.

    Raises:
        argparse.ArgumentTypeError: If torch knows no such kind of device.
    """
    import torch  # late: it takes seconds, and a parser is built for `--help`, too

    try:
        kind = torch.device(text).type
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f'must be a device such as cpu or cuda:0, got {text[:80]!r}') from error
    if kind == 'meta':
        raise argparse.ArgumentTypeError('nothing can be computed on the device meta; give cpu or cuda:0')
    return text
