"""Which tests a plain `pytest` leaves out unless somebody asks: of records, fuzzing, tutorials and Slurm."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

#: Markers of what CI runs in a step of its own, but for Slurm, whose daemons few machines have.
OPTIONAL = frozenset({'records', 'fuzz', 'tutorial', 'slurm'})


def is_left_out(markers: Collection[str], path: Path, *, arguments: Sequence[str], expression: str) -> bool:
    """Tell whether a test is left out.

    Args:
        markers: Names of its markers.
        path: Its file.
        arguments: Files, folders and node ids of the command line, relative to the working folder or absolute.
        expression: What `-m` says, empty without it.

    Returns:
        True for a test with one of the markers, unless `-m` names that marker, or its file or node is named.
    """
    optional = OPTIONAL & set(markers)
    if not optional or optional & set(re.findall(r'\w+', expression)):
        return False
    return path.resolve() not in {Path(argument.partition('::')[0]).resolve() for argument in arguments}
