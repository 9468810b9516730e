"""One attack at a time: the right result or one clear error, in bounded time, and nothing is run."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmfas.cli.errors import user_message

#: Seconds that one case may take; the machines of CI are slow and shared.
LIMIT = 20.0
#: What a payload makes if anything runs it.
CANARY = 'i_was_here'


class TooSlow(KeyboardInterrupt):
    """A case that hangs; an interruption, so that no reader takes it for an error of its file."""


@dataclass(frozen=True)
class Attack:
    """A mutated input.

    Args:
        what: What was changed, for the report.
        run: Reads the input.
        wrong: Says what is wrong with a result that was accepted, or None.
        may_refuse: Whether an error is right, too.
    """

    what: str
    run: Callable[[], Any]
    wrong: Callable[[Any], str | None] = lambda result: None
    may_refuse: bool = True


def must_be_refused(result: Any) -> str:
    """The rule of changes after which nothing can be read rightly."""
    return f'accepted without a word: {result!r:.200}'


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fault_of(attack: Attack, folder: Path, *, limit: float = LIMIT) -> str | None:
    """Run an attack.

    Args:
        attack: The attack.
        folder: Where its files and the canary are.
        limit: Seconds it may take.

    Returns:
        What the toolkit did wrong; None if it did right.
    """
    fault = _fault(attack, limit)
    if (folder / CANARY).exists():
        return 'EXECUTED: a payload ran'
    return None if fault is None else f'{fault}\n  after: {attack.what}'


def _fault(attack: Attack, limit: float) -> str | None:
    try:
        with _limited(limit):
            result = attack.run()
    except TooSlow:
        return f'HANG: more than {limit:g} s'
    except Exception as error:
        message = user_message(error)
        if message is None:
            return 'RAW TRACEBACK:\n' + ''.join(traceback.format_exception(error)[-6:])
        if 'Traceback' in message or not message.partition(': ')[2].strip():
            return f'UNCLEAR: {message}'
        return None if attack.may_refuse else f'REFUSED though nothing is wrong: {message}'
    except BaseException as error:
        return f'ENDED THE PROCESS: {type(error).__name__}'
    told = attack.wrong(result)
    return None if told is None else f'SILENT: {told}'
