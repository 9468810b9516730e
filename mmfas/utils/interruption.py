"""Ctrl-C, SIGTERM and SIGHUP: what they raise, where they wait, and what to do when they were not heard."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: Signals whose handlers may raise, the most telling first: a loader of torch raises when a worker has ended.
_RAISING = [getattr(signal, name) for name in ('SIGTERM', 'SIGHUP', 'SIGINT', 'SIGCHLD') if hasattr(signal, name)]
#: What has come since `stop_signals_raise` began.
_has_come: type[Terminated] | None = None
#: Handler of SIGCHLD that `_hear_of_no_child` has put aside.
_aside: Any = None


class Terminated(KeyboardInterrupt):
    """SIGTERM, as schedulers send it: the same clean-up as on Ctrl-C runs."""


class HungUp(Terminated):
    """SIGHUP, as it comes when a terminal or a connection is closed."""


_STOPS = {
    getattr(signal, name): kind
    for name, kind in (('SIGTERM', Terminated), ('SIGHUP', HungUp))
    if hasattr(signal, name)
}


@contextmanager
def stop_signals_raise() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into exceptions inside the block, in this process and the main thread only.

    One that is ignored, as SIGHUP under `nohup`, stays ignored. After one has come, the end of a child process is
    no error any more: schedulers send it to loader workers, too, and torch's handler would raise while all ends.
    """
    global _has_come
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()
    _hear_of_children()

    def stop(number: int, frame: FrameType | None) -> None:
        global _has_come
        if os.getpid() == process:
            _has_come = _STOPS[number]
            _hear_of_no_child()
            raise _has_come
        # A forked worker inherits this handler, but ends as if it were not there.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = {number: signal.getsignal(number) for number in _STOPS}
    heard = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    for number in heard:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
        _has_come = None


def _hear_of_no_child() -> None:
    """Put the handler of SIGCHLD aside until the next command of this process."""
    global _aside
    number: Any = getattr(signal, 'SIGCHLD', None)
    handler = None if number is None else signal.getsignal(number)
    if callable(handler) and handler is not _ignore:
        _aside = handler
        signal.signal(number, _ignore)  # of Python: Python complains of a waiting signal that the system drops


def _hear_of_children() -> None:
    """Put the handler of SIGCHLD back."""
    global _aside
    if _aside is not None and signal.getsignal(signal.SIGCHLD) is _ignore:
        signal.signal(signal.SIGCHLD, _aside)
    _aside = None


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing."""


def raise_if_terminated() -> None:
    """Raise the stop again, if other code has swallowed it: mmengine copies and formats under a bare `except`.

    Long loops call this once per step.
    """
    if _has_come is not None:
        raise _has_come


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
    """Let Ctrl-C, SIGTERM, SIGHUP and the end of a child process wait until the block has ended.

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


@contextmanager
def children_leave_stops_to_us() -> Iterator[None]:
    """Start worker processes inside the block that do not hear Ctrl-C, and print no traceback of their own.

    A terminal sends Ctrl-C to every process of a command. The one in charge ends the others: what a worker does
    is finished, and there is one message. The tracker that `multiprocessing` starts for its locks is made deaf to
    SIGHUP, as it is to SIGINT and SIGTERM by itself: it would end and be started again without knowing any lock.
    """
    if not hasattr(signal, 'pthread_sigmask'):  # a system without such masks
        yield
        return
    from multiprocessing import resource_tracker

    # What is blocked stays blocked in a process that is started now; here it is only put off until the end.
    hangup = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        resource_tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, hangup)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
