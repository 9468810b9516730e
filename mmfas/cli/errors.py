"""How the commands tell a user's mistake from a bug: a message without a traceback."""

from __future__ import annotations

import functools
import linecache
import os
import re
import select
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mmfas.config.reading import ConfigError

if TYPE_CHECKING:
    pass


class Main(Protocol):
    """The `main` of a command."""

    def __call__(self, argv: list[str] | None = None) -> int:
        """Run the command; `argv` are its arguments, those of the process if None."""


#: Set to anything, every error shows where it comes from.
TRACEBACK_VARIABLE = 'MMFAS_TRACEBACK'
_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
_FILE_ERRORS = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)


def user_message(error: Exception) -> str | None:
    """Return the message of an error that is made for users.

    That is one about a file, or one made by a `raise` statement of mmfas, in this process or in a worker of a data
    loader. Anything else is a bug and needs its traceback.

    Args:
        error: What was raised.

    Returns:
        Kind and text; None for a bug.
    """
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    kind = type(error).__name__
    if 'Original Traceback' in text:
        frames = re.findall(r'^ *File "(.+)", line (\d+), in', text, flags=re.MULTILINE)
        said = re.findall(r'^([\w.]+(?:Error|Exception)): (.*)', text, flags=re.MULTILINE)
        if not frames or not said:
            return None
        (place, line), (kind, text) = frames[-1], said[-1]
        statement = linecache.getline(place, int(line))
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place, statement = last.filename, last.line or ''
        if isinstance(error, _FILE_ERRORS) and error.filename:
            text = f"{error.strerror}: '{error.filename}'"
    is_raised_here = os.path.realpath(place).startswith(_PACKAGE) and statement.strip().startswith('raise')
    return f'{kind}: {text}' if is_raised_here or isinstance(error, _FILE_ERRORS) else None


def reports_user_errors(code: int = 1, *, on_interrupt: str = 'interrupted') -> Callable[[Main], Main]:
    """Make a command end with one message, not a traceback, on what users can mend themselves.

    Args:
        code: Exit code then; a config that cannot be read always gives 2.
        on_interrupt: What Ctrl-C prints.

    Returns:
        Decorator of a `main(argv)`.
    """

    def decorate(main: Main) -> Main:
        @functools.wraps(main)
        def reporting(argv: list[str] | None = None) -> int:
            try:
                try:
                    return main(argv)
                finally:
                    sys.stdout.flush()
            except KeyboardInterrupt:
                print(f'\n{on_interrupt}', file=sys.stderr)
                return 130
            except BrokenPipeError:
                # Another pipe, such as one to a worker process, is no matter of the reader.
                if not _has_lost_its_reader():
                    raise
                return _end_quietly()
            except Exception as error:
                if _was_interrupted(error):
                    print(f'\n{on_interrupt}', file=sys.stderr)
                    return 130
                message = None if os.environ.get(TRACEBACK_VARIABLE) else user_message(error)
                if message is None:
                    raise
                print(message, file=sys.stderr)
                return 2 if isinstance(error, ConfigError) else code

        return reporting

    return decorate


def _was_interrupted(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C is behind an error: mmengine formats configs under a bare `except`, which hides it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _has_lost_its_reader() -> bool:
    """Tell whether nobody reads standard output any more, as after `| head`."""
    if not hasattr(select, 'poll'):
        return True  # Windows cannot tell
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _end_quietly() -> int:
    """Close standard output for good; returns the exit code of a program that a closed pipe ended."""
    # The interpreter flushes once more when it ends, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


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
            raise ValueError(f"{what}: '{path}' is given twice; name it once")
        seen.add(place)


def report_error(error: Exception, code: int) -> int:
    """Print an error that needs no traceback.

    Args:
        error: What was raised.
        code: Exit code of the command.

    Returns:
        The exit code.
    """
    # A KeyError's own text is the quoted key; its argument is the sentence.
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    print(f'{type(error).__name__}: {text}', file=sys.stderr)
    return code


def report_problems(config: str, problems: list[str]) -> int:
    """Print everything that is wrong with a config.

    Args:
        config: Its path.
        problems: One sentence each, at least one.

    Returns:
        The exit code 2.
    """
    print(f'{config}: {len(problems)} problem(s), nothing was started', file=sys.stderr)
    for problem in problems:
        print(f'  {problem}', file=sys.stderr)
    return 2
