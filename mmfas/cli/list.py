"""List the registered parts, one line each."""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from typing import TYPE_CHECKING, Any

from mmfas.cli.command import command
from mmfas.utils.errors import UnknownKeyError

if TYPE_CHECKING:
    from collections.abc import Callable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('kind', nargs='*', help='only these kinds, such as backbone or neck')


def summary(part: Callable[..., object]) -> str:
    """Return the first line of a part's docstring, without its full stop."""
    text = inspect.getdoc(part) or ''
    return text.strip().partition('\n')[0].rstrip('.')


def _singular(word: str) -> str:
    """Return a word without the ending of a plural (the kinds have regular ones)."""
    return re.sub(r'(?<=ss)es$|(?<!s)s$', '', word)


def _words_by_kind() -> dict[str, set[str]]:
    """Return the words by which a user can name each kind: those of its name, and its key in a config."""
    from mmfas.registry import PART_REGISTRIES, TypedView

    return {
        kind: {*kind.split(), *([registry.key] if isinstance(registry, TypedView) else [])}
        for kind, registry in PART_REGISTRIES.items()
    }


def find_kinds(wanted: str) -> list[str]:
    """Return the kinds that a user means.

    Args:
        wanted: A kind or a part of its name, singular or plural, with spaces, dashes or underscores.

    Returns:
        The kind of this name, else all kinds with these words.

    Raises:
        KeyError: If there is none; the message has the nearest and all kinds.

    >>> find_kinds('necks'), find_kinds('model'), find_kinds('wrapper')
    (['fusion neck'], ['model'], ['optimizer wrapper', 'model wrapper'])
    """
    from mmfas.config.signatures import near_match

    table = _words_by_kind()
    words = {_singular(word) for word in re.split(r'[\s_-]+', wanted.lower())}
    exact = [kind for kind in table if words == set(kind.split())]
    found = exact or [kind for kind, names in table.items() if words <= names]
    if found:
        return found
    near = near_match(' '.join(sorted(words)), {*table, *(name for names in table.values() for name in names)})
    meant = next((kind for kind, names in table.items() if near == kind or near in names), None)
    hint = f'did you mean {meant}? ' if meant else ''
    raise UnknownKeyError(f"there is no kind '{wanted}'; {hint}kinds: {', '.join(table)}")


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


def fits(kind: str, part: Any) -> list[str]:
    """Say what a trunk takes, and which trunks a neck works with.

    Args:
        kind: Kind of the part.
        part: The part.

    Returns:
        Lines; empty for parts of other kinds.
    """
    from mmfas.registry import BACKBONES

    if kind == 'backbone' and part.networks:
        return [f'takes {", ".join(part.networks)}']
    if kind != 'fusion neck':
        return []
    trunks = [
        name
        for name, trunk in sorted(BACKBONES.module_dict.items())
        if not part.needs_tokens or getattr(trunk, 'gives_tokens', None) is not False
    ]
    number = f'; {part.min_modalities} modalities or more' if part.min_modalities > 1 else ''
    return [f'fits {", ".join(trunks)}{number}']


@command()
def main(args: argparse.Namespace) -> int:
    """Print the parts; returns 0, or 2 for an unknown kind."""
    try:
        kinds = list(dict.fromkeys(kind for wanted in args.kind for kind in find_kinds(wanted)))
    except KeyError as error:
        print(f'mmfas list: {error.args[0]}', file=sys.stderr)
        return 2
    from mmfas.registry import PART_REGISTRIES

    table = parts_by_kind()
    for kind in kinds or table:
        rows = table[kind]
        print(f'{kind} ({len(rows)})')
        width = max((len(name) for name in rows), default=0)
        for name, text in rows.items():
            print(f'  {name:<{width}}  {text}')
            for line in fits(kind, PART_REGISTRIES[kind].module_dict[name]):
                print(f'  {"":<{width}}  {line}')
    return 0
