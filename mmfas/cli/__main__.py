"""The command `mmfas`: finds the file of a command and runs it; only that file is imported."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from mmfas.cli.command import Parser
from mmfas.cli.commands import (
    MOVED_TO_PROJECTS,
    OLD_NAMES,
    OLD_NAMES_END,
    SECTIONS,
    TOP,
    Group,
    find_command,
    module_of,
    suggest,
)
from mmfas.cli.errors import TRACEBACK_VARIABLE, reports_user_errors

#: Set by the shell when it asks what a line can be completed to.
COMPLETION_VARIABLE = '_ARGCOMPLETE'


def _rows(texts: dict[str, str]) -> list[str]:
    """Return a line per name."""
    width = max(map(len, texts))
    return [f'  {name:<{width}}  {text}' for name, text in texts.items()]


def usage() -> str:
    """Return the help text: every first word, sorted by task."""
    texts = {
        name: f'{entry.purpose}: {", ".join(entry.commands)}' if isinstance(entry, Group) else entry
        for name, entry in TOP.items()
    }
    rows = dict(zip(texts, _rows(texts)))
    return '\n'.join(
        (
            'usage: mmfas COMMAND [ARGUMENTS]',
            *(line for title, names in SECTIONS.items() for line in ('', f'{title}:', *(rows[n] for n in names))),
            '',
            '`mmfas COMMAND --help` explains one of them, `mmfas --version` prints the version.',
            f'{TRACEBACK_VARIABLE}=1 in the environment shows where an error comes from.',
        )
    )


def group_usage(name: str, group: Group) -> str:
    """Return the help text of a group: its commands."""
    return '\n'.join(
        (
            f'usage: mmfas {name} COMMAND [ARGUMENTS]',
            '',
            f'{group.purpose.capitalize()}:',
            *_rows(group.commands),
            '',
            f'`mmfas {name} COMMAND --help` explains one of them.',
        )
    )


def completion_parser(name: str) -> Parser:
    """Return a parser of everything, with the options of one command: the others would import too much.

    Args:
        name: The command; nothing for none.
    """
    parser = Parser(prog='mmfas')
    parser.add_argument('--version', action='store_true')
    tops = parser.add_subparsers()
    for top, entry in TOP.items():
        below = tops.add_parser(top)
        words = entry.commands if isinstance(entry, Group) else ()
        inner = below.add_subparsers() if words else None
        for full in [f'{top} {word}' for word in words] or [top]:
            leaf = below if inner is None else inner.add_parser(full.rpartition(' ')[2])
            if full == name:
                import_module(module_of(full)).add_arguments(leaf)
    return parser


def complete() -> None:
    """Answer the shell, and end the process."""
    from argcomplete import autocomplete

    program = int(os.environ[COMPLETION_VARIABLE])  # this many words start the program
    words = os.environ.get('COMP_LINE', '').split()[program:]
    autocomplete(completion_parser(find_command(words)))


def _renamed(words: list[str]) -> list[str]:
    """Replace the old name of a command by the current one, and print a note about it."""
    old = words[0].replace('-', '_')
    new = OLD_NAMES.get(old)
    if new is None:
        return words
    print(f'mmfas {old} is now `mmfas {new}`; the old name works until {OLD_NAMES_END}', file=sys.stderr)
    return [*new.split(), *words[1:]]


def _explain(words: list[str]) -> int:
    """Print why the words do not name a command, or the help of a group; returns the exit status."""
    first = words[0].replace('-', '_')
    project = MOVED_TO_PROJECTS.get(first)
    if project is not None:
        print(f'mmfas {first} is now `python -m projects.{project}`, in a checkout of mmfas', file=sys.stderr)
        return 2
    group = TOP.get(first)
    if isinstance(group, Group):
        if len(words) == 1 or words[1] in ('-h', '--help', 'help'):
            print(group_usage(first, group))
            return 0 if len(words) > 1 else 2
        place, wrong, hint = f'mmfas {first}', words[1], suggest(words[1].replace('-', '_'), first)
    else:
        place, wrong, hint = 'mmfas', words[0], suggest(first)
    print(f"{place}: there is no command '{wrong}'; {hint}", file=sys.stderr)
    return 2


@reports_user_errors()
def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit status, 2 where there is no such command."""
    words = sys.argv[1:] if argv is None else list(argv)
    if COMPLETION_VARIABLE in os.environ:
        complete()
    if not words or words[0] in ('-h', '--help', 'help'):
        print(usage())
        return 0 if words else 2
    if words[0] == '--version':
        from mmfas.version import __version__

        print(f'mmfas {__version__}')
        return 0
    words = _renamed(words)
    name = find_command(words)
    return import_module(module_of(name)).main(words[len(name.split()) :]) if name else _explain(words)


if __name__ == '__main__':
    sys.exit(main())
