"""How messages show values."""

from __future__ import annotations

from typing import Any


def shown(value: Any, length: int = 80) -> str:
    """Write a value down for a message, cut to `length` characters.

    >>> shown('x' * 100, 6), shown(10**5000)
    ("'xxxxx", '<int>')
    """
    try:
        return f'{value!r:.{length}}'
    except Exception:  # a config may hold any object, and Python writes no integer of more than 4,300 digits
        return f'<{type(value).__name__}>'
