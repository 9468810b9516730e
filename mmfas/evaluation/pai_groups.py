"""Groups of attack instruments, by regular expressions on their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mmfas.utils.errors import InputError

#: Column of a score table that holds the groups.
PAI_GROUP = 'pai_group'

Pairs = tuple[tuple[str, str], ...]


def check_pai_groups(groups: Mapping[str, str] | Iterable[Iterable[str]]) -> Pairs:
    """Return groups as pairs of expression and name.

    Args:
        groups: Expression -> name, or such pairs.

    Raises:
        ValueError: If an expression cannot be read, or a name is empty or `'live'`.
    """
    pairs = tuple(tuple(pair) for pair in (groups.items() if isinstance(groups, Mapping) else groups))
    for pair in pairs:
        if len(pair) != 2 or not all(isinstance(text, str) and text for text in pair) or pair[1] == 'live':
            raise InputError(f"a group of instruments is REGEXP=NAME, with a NAME other than 'live', got {pair}")
        try:
            re.compile(pair[0])
        except re.error as error:
            raise InputError(f"the regular expression '{pair[0]}' cannot be read: {error}") from error
    return pairs


def group_of_pais(names: Iterable[str], pairs: Pairs) -> dict[str, str]:
    """Return the group of every instrument; one that fits no expression stays on its own.

    Args:
        names: Instruments that occur.
        pairs: Expressions, which must fit the whole name, and names of groups.

    Raises:
        ValueError: If an expression fits no instrument, or an instrument fits two groups.

    >>> group_of_pais(['print', 'replay', 'mask3d'], (('print|replay', '2D'),))
    {'print': '2D', 'replay': '2D', 'mask3d': 'mask3d'}
    """
    known = list(names)
    for expression, name in pairs:
        if not any(re.fullmatch(expression, pai) for pai in known):
            raise InputError(f"'{expression}={name}' fits no instrument; there are {', '.join(known)}")
    found = {}
    for pai in known:
        groups = list(dict.fromkeys(name for expression, name in pairs if re.fullmatch(expression, pai)))
        if len(groups) > 1:
            raise InputError(f"the instrument '{pai}' fits the groups {' and '.join(groups)}; make one narrower")
        found[pai] = groups[0] if groups else pai
    return found
