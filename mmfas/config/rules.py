"""Rules for numbers of a config: each says what is wrong with a value, or None.

Values of other kinds pass; they are reported where kinds are checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mmfas.utils.numbers import is_number


def is_finite(value: Any) -> bool:
    """Tell whether a value is a finite number."""
    return is_number(value) and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """Tell whether a value can be counted to; 2.0 can, as in mmengine."""
    return is_finite(value) and value == int(value)


def at_least(least: int) -> Callable[[Any], str | None]:
    """Make a rule for counts; mmengine compares them with counts, and a half never comes."""

    def rule(value: Any) -> str | None:
        if isinstance(value, bool) or is_number(value) and not is_whole(value):
            return f'must be an integer of at least {least}'
        return f'must be at least {least}' if is_number(value) and value < least else None

    return rule
