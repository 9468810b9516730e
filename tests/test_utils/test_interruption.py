"""Signals wait while something is tidied up, and one that other code swallowed is raised again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mmfas.utils.files import atomic_file
from mmfas.utils.interruption import Terminated, raise_if_terminated, signals_wait, stop_signals_raise
from mmfas.utils.locks import lock_folder


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """Let Ctrl-C raise, also where this runs in the background of a shell, which ignores it there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _raise_signal_before(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let SIGTERM come just before a function of `os` starts."""
    function = getattr(os, name)

    def call(*args: object) -> object:
        signal.raise_signal(signal.SIGTERM)
        return function(*args)

    monkeypatch.setattr(os, name, call)


def test_a_signal_waits_for_the_end_of_the_block() -> None:
    steps = []
    with stop_signals_raise(), pytest.raises(Terminated):
        with signals_wait():
            signal.raise_signal(signal.SIGTERM)
            steps.append('tidied')
        steps.append('not reached')
    assert steps == ['tidied']


def test_ctrl_c_waits_too_and_sigterm_comes_first() -> None:
    with stop_signals_raise(), pytest.raises(Terminated), signals_wait():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as caught, signals_wait():
        signal.raise_signal(signal.SIGINT)
    assert caught.type is KeyboardInterrupt


def test_a_signal_during_an_error_keeps_both() -> None:
    with stop_signals_raise(), pytest.raises(Terminated) as caught, signals_wait():
        signal.raise_signal(signal.SIGTERM)
        raise OSError('disk full')
    assert isinstance(caught.value.__context__, OSError)


def test_blocks_may_be_nested_and_handlers_come_back() -> None:
    steps = []
    with stop_signals_raise():
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        with pytest.raises(Terminated), signals_wait():
            with signals_wait():
                signal.raise_signal(signal.SIGTERM)
            steps.append('the outer block waits on')

        assert steps == ['the outer block waits on']
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_other_threads_change_no_handlers() -> None:
    seen = []

    def work() -> None:
        with signals_wait():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_what_was_swallowed_is_raised_by_the_next_step() -> None:
    with stop_signals_raise(), pytest.raises(Terminated):
        with suppress(BaseException):  # mmengine has an `except:`
            signal.raise_signal(signal.SIGTERM)
        raise_if_terminated()
    raise_if_terminated()  # it was the business of that command only


def test_no_temporary_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _raise_signal_before(monkeypatch, 'unlink')
    with stop_signals_raise(), pytest.raises(Terminated), atomic_file(tmp_path / 'a.json') as stream:
        stream.write(b'{')
        raise OSError('disk full')
    assert os.listdir(tmp_path) == []


def test_no_lock_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stop_signals_raise(), pytest.raises(Terminated), lock_folder(tmp_path, ''):
        _raise_signal_before(monkeypatch, 'unlink')
    assert os.listdir(tmp_path) == []
    monkeypatch.undo()
    with lock_folder(tmp_path, ''):
        pass
