"""How the commands tell a user's mistake from a bug: a message without a traceback."""

from __future__ import annotations

import sys

from mmfas.apis.scoring import ScoreError
from mmfas.utils.checkpoint import CheckpointError

#: Errors whose message says all; anything else keeps its traceback.
USER_ERRORS = (CheckpointError, ScoreError, FileNotFoundError, FloatingPointError)


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
