"""What a data set must provide to be converted: a plan of units, and how to convert one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mmfas.datasets.conversion.needed import Needed, Recording
from mmfas.datasets.conversion.report import Oddity

__all__ = ['Converted', 'Converter', 'Plan', 'Unit']


@dataclass(frozen=True)
class Unit:
    """A recording (or archive) that is converted, checked and counted as a whole.

    Args:
        recording: What the lists say about it.
        sources: Its original files or folders, in an order that the converter knows.
    """

    recording: Recording
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Args:
        units: Recordings of which there are originals.
        oddities: What was odd while the originals were looked for.
        extras: Further small files: path below the results -> content.
    """

    units: tuple[Unit, ...]
    oddities: tuple[Oddity, ...] = ()
    extras: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Converted:
    """What became of a unit.

    Args:
        contents: Target -> content of its file. A target that is not in it must be the place of an oddity.
        oddities: What was odd.
    """

    contents: Mapping[str, bytes]
    oddities: tuple[Oddity, ...] = ()


class Converter(Protocol):
    """One data set. Instances travel to worker processes, so they hold plain values only."""

    @property
    def name(self) -> str:
        """Short name, part of file names."""

    @property
    def title(self) -> str:
        """Name of the data set."""

    @property
    def letter(self) -> str:
        """Letter of the domain in the names of the lists."""

    def header(self) -> dict[str, Any]:
        """Return what must agree between two runs into the same folder: plain JSON values."""

    def plan(self, source: Path, needed: Needed) -> Plan:
        """Look for the originals of what the lists name.

        Args:
            source: Folder of the originals.
            needed: What the lists name.

        Returns:
            What there is to do.

        Raises:
            ValueError: If the folder holds nothing of the data set; the message names the expected layout.
        """

    def convert(self, unit: Unit) -> Converted:
        """Convert one recording (in a worker process).

        Args:
            unit: Recording and its originals.

        Returns:
            Contents of its files, and what was odd.
        """
