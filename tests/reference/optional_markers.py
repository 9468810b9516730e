"""Which tests a plain `pytest` leaves out: of records, fuzzing and tutorials, unless somebody asks for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

#: Markers of what CI runs in a step of its own.
OPTIONAL = frozenset({'records', 'fuzz', 'tutorial'})


def is_left_out(markers: Collection[str], path: Path, *, arguments: Sequence[str], expression: str) -> bool:
    """Tell whether a test is left out.

    Args:
        markers: Names of its markers.
        path: Its file.
        arguments: Files, folders and node ids of the command line, relative to the working folder or absolute.
        expression: What `-m` says, empty without it.

    Returns:
        True for a test with one of the markers, unless `-m` decides or its file or node is named.
    """
    if expression or not OPTIONAL & set(markers):
        return False
    return path.resolve() not in {Path(argument.partition('::')[0]).resolve() for argument in arguments}
