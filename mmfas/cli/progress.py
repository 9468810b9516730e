"""A progress bar for commands that work through many items."""

from __future__ import annotations

import sys
import time


class Progress:
    """Draws a bar on a terminal, or writes a line every tenth of the way elsewhere.

    Args:
        unit: What an item is called, in the plural.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._start = time.monotonic()
        self._tenth = 0

    def __call__(self, done: int, total: int) -> None:
        """Show the progress.

        Args:
            done: Items done.
            total: Items in all, at least 1.
        """
        if sys.stderr.isatty():
            bar = '#' * (30 * done // total)
            end = '\n' if done == total else ''
            print(f'\r[{bar:<30}] {done}/{total} {self._unit}', end=end, file=sys.stderr, flush=True)
        elif 10 * done // total > self._tenth:
            self._tenth = 10 * done // total
            rate = done / max(time.monotonic() - self._start, 1e-6)
            print(f'{done}/{total} {self._unit}, {rate:.0f}/s', file=sys.stderr)
