"""How commands end: one sentence for errors that users can fix, a traceback for bugs, one line when stopped."""

from __future__ import annotations

import errno
import functools
import os
import re
import select
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from mmfas.utils.errors import ConfigError, InputError, UserError
from mmfas.utils.interruption import HungUp, Terminated, stop_signals_raise


class UsageError(InputError):
    """Arguments that do not go together; ends like an unknown option, with the usage of the command."""


class ConfigProblems(ConfigError):
    """Everything that is wrong with a config; the message is the whole list."""

    @classmethod
    def of(cls, config: str, problems: Sequence[str]) -> ConfigProblems:
        """Make the error from the path of a config and at least one sentence."""
        head = f'{config}: {len(problems)} problem(s), nothing was started'
        return cls('\n'.join((head, *(f'  {problem}' for problem in problems))))


class Main(Protocol):
    """The `main` of a command."""

    def __call__(self, argv: list[str] | None = None) -> int:
        """Run the command; `argv` are its arguments, those of the process if None."""


#: If this variable is set, every error shows its traceback.
TRACEBACK_VARIABLE = 'MMFAS_TRACEBACK'
#: Errors of the system that mean a wrong path; they count as wrong input.
_WRONG_PATHS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
#: Errors of the system that come from our own processes, not from files or the network: bugs.
_BETWEEN_PROCESSES = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError, ChildProcessError)
#: How commands that are stopped say so, and their exit status; the most special first.
_STOPS = {HungUp: ('hung up', 129), Terminated: ('terminated', 143), KeyboardInterrupt: ('interrupted', 130)}
#: What torch says of a worker that has ended before its time.
_KILLED_WORKER = re.compile(r'DataLoader worker \(pid.*?\) is killed by signal: (\w+(?: error)?)')
_WORKER_REMEDIES = {
    'Killed': 'probably the memory is used up: use fewer workers (num_workers) or smaller batches',
    'Bus error': 'the shared memory (/dev/shm) is full: make it larger, or use num_workers=0',
}
_OTHER_FOLDER = 'choose another folder'
_REMEDIES = {
    errno.ENOENT: 'check the path',
    errno.ENOTDIR: 'check the path: a part of it is a file',
    errno.EISDIR: 'give a file',
    errno.EEXIST: 'remove it or choose another name',
    errno.ENOSPC: f'free some space or {_OTHER_FOLDER}, then run the command again',
    errno.EDQUOT: f'your quota is used up: free some space or {_OTHER_FOLDER}, then run the command again',
    errno.EFBIG: f'the file system or `ulimit -f` allows no larger file: raise the limit or {_OTHER_FOLDER}',
    errno.EROFS: f'nothing can be written there: {_OTHER_FOLDER}',
    errno.EACCES: f'change its permissions or {_OTHER_FOLDER}',
    errno.EPERM: f'change its permissions or {_OTHER_FOLDER}',
    errno.EIO: 'the disk or network drive failed: check it, then run the command again',
    errno.ESTALE: 'the network drive was lost: mount it again, then run the command again',
    errno.EMFILE: 'raise `ulimit -n` or use fewer workers',
    errno.ENAMETOOLONG: 'choose a shorter name',
}


def user_message(error: Exception) -> str | None:
    """Return the message of an error that is made for users.

    That is a `UserError`, or an error of the operating system, in this process or in a worker of a data loader.
    Anything else is a bug and needs its traceback.

    Args:
        error: What was raised.

    Returns:
        Kind and text; None for a bug.
    """
    if isinstance(error, ConfigProblems):
        return str(error)
    kind, text = type(error).__name__, str(error)
    if 'Original Traceback' in text:  # a data loader raises a new error from the traceback of its worker
        text = re.split(rf'^(?:[\w.]+\.)?{kind}: ', text, flags=re.MULTILINE)[-1].strip()
    if isinstance(error, UserError):
        return f'{kind}: {text}'
    if (found := _KILLED_WORKER.search(_chain(error))) and found[1] in _WORKER_REMEDIES:
        return f'RunError: a loader worker ended ({found[1]}): {_WORKER_REMEDIES[found[1]]}'
    if not isinstance(error, OSError) or isinstance(error, _BETWEEN_PROCESSES):
        return None
    number, text = _of_system(error, text)
    return f'{kind}: {text}' if number is None else f'{kind}: {text}; {_REMEDIES[number]}'


def _chain(error: BaseException | None) -> str:
    """Return the texts of an error and of those that led to it."""
    texts = []
    while error is not None:
        texts.append(str(error))
        error = error.__cause__ or error.__context__
    return '\n'.join(texts)


def _of_system(error: OSError, text: str) -> tuple[int | None, str]:
    """Return the number of an error of the system if there is a remedy for it, and its text with the file."""
    number = error.errno
    if number is not None and error.strerror:
        text = error.strerror if error.filename is None else f"{error.strerror}: '{error.filename}'"
    carried = re.match(r'\[Errno (\d+)\] ', text)  # by a data loader
    if carried:
        number, text = int(carried.group(1)), text[carried.end() :]
    return (number if number in _REMEDIES else None), text


def reports_user_errors(code: int = 1, *, on_stop: str = '') -> Callable[[Main], Main]:
    """Make a command end with one message, not a traceback, on errors that users can fix themselves.

    Args:
        code: Exit status for wrong input. A config that cannot be read always gives 2; an error of the system,
            such as a full disk, 1; Ctrl-C 130; SIGTERM 143; SIGHUP 129.
        on_stop: What is kept when Ctrl-C, SIGTERM or SIGHUP end the command.

    Returns:
        Decorator of a `main(argv)`.
    """

    def decorate(main: Main) -> Main:
        @functools.wraps(main)
        def reporting(argv: list[str] | None = None) -> int:
            try:
                with stop_signals_raise():
                    try:
                        return main(argv)
                    finally:
                        sys.stdout.flush()
            except KeyboardInterrupt as stop:
                return _report_stop(stop, on_stop)
            except BrokenPipeError:
                if not _has_lost_its_reader():
                    raise  # it was the pipe to a worker process
                return _end_quietly(141)
            except Exception as error:
                interruption = _interruption_behind(error)
                if interruption is not None:
                    return _report_stop(interruption, on_stop)
                return _report(error, code)

        return reporting

    return decorate


def _report(error: Exception, code: int) -> int:
    """Print the message of an error and return the exit status; raise it again if it is a bug."""
    message = None if os.environ.get(TRACEBACK_VARIABLE) else user_message(error)
    if message is None:
        raise error
    print(message, file=sys.stderr)
    is_wrong_input = isinstance(error, (UserError, *_WRONG_PATHS))
    status = 2 if isinstance(error, ConfigError) else code if is_wrong_input else 1
    try:
        sys.stdout.flush()
    except OSError:  # it was standard output that could not be written
        return _end_quietly(status)
    return status


def _report_stop(stop: KeyboardInterrupt, kept: str) -> int:
    """Print what was kept when a command is stopped, and return the exit status that shells expect."""
    what, status = next(words for kind, words in _STOPS.items() if isinstance(stop, kind))
    with suppress(OSError):  # the terminal may be gone
        print(f'\n{what}; {kept}' if kept else f'\n{what}', file=sys.stderr)
    return status


def _interruption_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """Return the stop behind an error: mmengine formats configs under a bare `except`, which hides it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        # A scheduler that sends SIGTERM to all processes may reach a loader worker first.
        if (found := _KILLED_WORKER.search(str(error))) and found[1] in ('Terminated', 'Hangup'):
            return Terminated() if found[1] == 'Terminated' else HungUp()
        error = error.__cause__ or error.__context__
    return error


def _has_lost_its_reader() -> bool:
    """Tell whether nobody reads standard output any more, as after `| head`."""
    if not hasattr(select, 'poll'):
        return True  # Windows cannot tell
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _end_quietly(status: int) -> int:
    """Close standard output for good, and return the exit status."""
    # The interpreter flushes once more when it ends, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def refuse_repeats(paths: Sequence[str], what: str, root: str = '') -> None:
    """Refuse a file or folder that is given twice.

    Args:
        paths: Paths as given.
        what: What they are, for the message.
        root: Folder that relative paths start from.

    Raises:
        ValueError: If two paths mean the same place; names it.
    """
    from mmfas.utils.file_identity import FileIdentity

    identity, seen = FileIdentity(), set()
    for path in paths:
        place = identity.of(os.path.join(root, path))
        if place in seen:
            raise InputError(f"{what}: '{path}' is given twice; name it once")
        seen.add(place)


def report_error(error: Exception, code: int) -> int:
    """Print an error that needs no traceback.

    Args:
        error: What was raised.
        code: Exit code of the command.

    Returns:
        The exit code.
    """
    print(f'{type(error).__name__}: {error}', file=sys.stderr)
    return code


def report_problems(config: str, problems: list[str]) -> int:
    """Print everything that is wrong with a config.

    Args:
        config: Its path.
        problems: One sentence each, at least one.

    Returns:
        The exit code 2.
    """
    print(ConfigProblems.of(config, problems), file=sys.stderr)
    return 2
