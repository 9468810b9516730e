"""Numbers of the command line that have a range."""

from __future__ import annotations

import argparse

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


def count(text: str) -> int:
    """Read how many of something there shall be; the `type` of options that take a number of at least 1.

    Args:
        text: What was given.

    Raises:
        argparse.ArgumentTypeError: If it is no integer of at least 1.

    >>> count('20')
    20
    """
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be an integer of at least 1, got {text[:80]!r}')
    return value
