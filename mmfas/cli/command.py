"""What every command is made of: a parser that is named after its file, and a `main` that handles errors.

The file of a command has `add_arguments(parser)`, which declares its options, and a function of the parsed options
that `command` turns into its `main(argv)`: `argv` are the arguments, those of the process if None; it returns the
exit status. Its docstring is the first line of `--help`.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from mmfas.cli.errors import Main, UsageError, reports_user_errors

#: Arguments that say where results go.
_OUTPUTS = ('out', 'out_dir', 'out_video', 'work_dir', 'card')


class _Names(dict[str, Any]):
    """Parsers by name; `-` stands for `_`."""

    def __missing__(self, name: str) -> Any:
        if '-' not in name:
            raise KeyError(name)
        return self[name.replace('-', '_')]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).replace('-', '_'))


class _Commands(argparse._SubParsersAction):
    """Sub-commands whose names may be typed with `-` for `_`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.choices = self._name_parser_map = _Names()


class Parser(argparse.ArgumentParser):
    """Parser that suggests the nearest choice for an unknown one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.register('action', 'parsers', _Commands)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Add the nearest choice to the message of an unknown one."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            near = get_close_matches(str(value), map(str, action.choices or ()), n=1)
            hint = f'; did you mean {near[0]}?' if near else ''
            raise argparse.ArgumentError(action, f'{error.message}{hint}') from None


def parser_of(module: str) -> Parser:
    """Return the parser of a command.

    Args:
        module: Name of its module, such as `mmfas.cli.data.verify`.
    """
    loaded = import_module(module)
    name = module.removeprefix('mmfas.cli.').replace('.', ' ')
    parser = Parser(prog=f'mmfas {name}', description=loaded.__doc__)
    loaded.add_arguments(parser)
    return parser


def _check_outputs(given: Mapping[str, Any]) -> None:
    """Refuse to write to an empty name, which would have no effect, or over a file that is read."""
    outputs = {name: os.fspath(given[name]) for name in _OUTPUTS if isinstance(given.get(name), str | Path)}
    values = [given[name] for name in given if name not in _OUTPUTS]
    items = [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]
    texts = [os.fspath(item) for item in items if isinstance(item, str | Path)]
    read = {part for text in texts for part in (text, *text.split(':'))}  # TEST.csv:DEV.csv
    for name, out in outputs.items():
        if not out:
            raise UsageError(f'--{name.replace("_", "-")} is empty; give a name')
        if os.path.isfile(out) and any(os.path.isfile(path) and os.path.samefile(path, out) for path in read):
            raise UsageError(f"'{out}' would be read and written over; give another name for what is written")
    places = [os.path.abspath(out) for out in outputs.values()]
    if len(set(places)) < len(places):
        names = ', '.join(f'--{name.replace("_", "-")}' for name in outputs)
        raise UsageError(f'{names} must be different places, got {", ".join(outputs.values())}')


def command(code: int = 1, *, on_stop: str = '') -> Callable[[Callable[[argparse.Namespace], int]], Main]:
    """Make the `main(argv)` of a command's file from a function of its parsed options.

    Args:
        code: Exit status for errors that users can fix themselves; a config that cannot be read always gives 2.
        on_stop: What is kept when Ctrl-C, SIGTERM or SIGHUP end the command.

    Returns:
        Decorator of a function of the options that returns an exit status.
    """

    def decorate(run: Callable[[argparse.Namespace], int]) -> Main:
        @functools.wraps(run)
        def main(argv: list[str] | None = None) -> int:
            parser = parser_of(run.__module__)
            args = parser.parse_args(sys.argv[1:] if argv is None else argv)
            try:
                _check_outputs(vars(args))
                return run(args)
            except UsageError as error:
                parser.error(str(error))

        return reports_user_errors(code, on_stop=on_stop)(main)

    return decorate
