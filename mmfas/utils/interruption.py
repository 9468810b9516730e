"""Ctrl-C and SIGTERM: what they raise, where they wait, and what to do when they were not heard."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: Signals whose handlers may raise, the most telling first: a loader of torch raises when a worker has ended.
_RAISING = [getattr(signal, name) for name in ('SIGTERM', 'SIGINT', 'SIGCHLD') if hasattr(signal, name)]
#: Whether SIGTERM has come since `sigterm_raises` began.
_has_come = False


class Terminated(KeyboardInterrupt):
    """SIGTERM, as schedulers send it: the same clean-up as on Ctrl-C runs."""


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Turn SIGTERM into `Terminated` inside the block, in this process and the main thread only."""
    global _has_come
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or before in (None, signal.SIG_IGN):
        yield
        return
    process = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        global _has_come
        if os.getpid() == process:
            _has_come = True
            raise Terminated
        # A forked worker inherits this handler, but ends as if it were not there.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _has_come = False


def raise_if_terminated() -> None:
    """Raise `Terminated` again, if other code has swallowed it: mmengine copies and formats under a bare `except`.

    Long loops call this once per step.
    """
    if _has_come:
        raise Terminated


class _Waiting:
    """Handler that notes signals until it is over, and then passes them on to the handlers it stands for."""

    def __init__(self) -> None:
        self.handlers: dict[int, Any] = {}
        self.came: list[int] = []
        self.is_over = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.is_over:
            self.handlers[number](number, frame)
        else:
            self.came.append(number)


@contextmanager
def signals_wait() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and the end of a child process wait until the block has ended.

    Python runs handlers between any two steps, hence also in the middle of what removes a temporary file or frees
    a lock, and the exception that they raise would end that. The block must be short and must not wait for
    anything. What came in it is raised at its end. Only handlers of Python wait; another thread has none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting = _Waiting()
    try:
        for number in _RAISING:
            handler = signal.getsignal(number)
            if callable(handler):  # not one of the system's own, which needs no step of Python
                waiting.handlers[number] = handler
                signal.signal(number, waiting)
        yield
    finally:
        # One that comes from here on is passed on at once, even where the old handler is not back yet.
        waiting.is_over = True
        for number, handler in waiting.handlers.items():
            signal.signal(number, handler)
        for number in sorted(set(waiting.came), key=_RAISING.index):
            signal.raise_signal(number)
