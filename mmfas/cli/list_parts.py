"""List the registered parts, one line each."""

from __future__ import annotations

import argparse
import inspect
import sys
from typing import TYPE_CHECKING

from mmfas.cli.errors import reports_user_errors

if TYPE_CHECKING:
    from collections.abc import Callable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command.

    Args:
        parser: Parser to extend.
    """
    parser.add_argument('kind', nargs='*', help='only these kinds, such as backbone or "fusion neck"')


def summary(part: Callable[..., object]) -> str:
    """Return the first line of a part's docstring, without its full stop."""
    text = inspect.getdoc(part) or ''
    return text.strip().partition('\n')[0].rstrip('.')


def parts_by_kind() -> dict[str, dict[str, str]]:
    """Import every part and sort it by kind.

    Returns:
        Kind -> name -> one-line summary; a network that a typed view holds is listed there only.
    """
    from mmfas.registry import PART_REGISTRIES, TypedView, register_all_modules

    register_all_modules()
    typed = {name for registry in PART_REGISTRIES.values() if isinstance(registry, TypedView) for name in registry}
    table: dict[str, dict[str, str]] = {}
    for kind, registry in PART_REGISTRIES.items():
        shown = {} if isinstance(registry, TypedView) else typed
        table[kind] = {
            name: summary(part) for name, part in sorted(registry.module_dict.items()) if name not in shown
        }
    return table


@reports_user_errors()
def main(argv: list[str] | None = None) -> int:
    """Print the parts.

    Args:
        argv: Arguments; those of the process if None.

    Returns:
        Exit status: 0, or 2 for an unknown kind.
    """
    parser = argparse.ArgumentParser(prog='mmfas list', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    table = parts_by_kind()
    wanted = [kind.replace('_', ' ').replace('-', ' ') for kind in args.kind] or list(table)
    unknown = [kind for kind in wanted if kind not in table]
    if unknown:
        print(f"mmfas list: there is no kind '{unknown[0]}'; kinds: {', '.join(table)}", file=sys.stderr)
        return 2
    for kind in wanted:
        rows = table[kind]
        print(f'{kind} ({len(rows)})')
        width = max((len(name) for name in rows), default=0)
        for name, text in rows.items():
            print(f'  {name:<{width}}  {text}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
