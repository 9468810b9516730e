"""What counts as a number where values come from files and configs."""

from __future__ import annotations

from typing import Any


def is_number(value: Any) -> bool:
    """Tell whether a value is a number; truth values, which Python takes for integers, do not count."""
    return isinstance(value, int | float) and not isinstance(value, bool)
