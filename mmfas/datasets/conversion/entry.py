"""What the manifest of a conversion says about a finished recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mmfas.datasets.conversion.report import Oddity
from mmfas.utils.jobs import ChunkEntry

__all__ = ['Entry']


@dataclass(frozen=True)
class Entry:
    """A recording that was converted: checksum and sizes of its files, and what was odd about it."""

    files: ChunkEntry
    oddities: tuple[Oddity, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        odd = [[oddity.kind, oddity.place, oddity.text] for oddity in self.oddities]
        return {**asdict(self.files), 'oddities': odd}

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Entry:
        """Return the entry that a line of a manifest holds.

        Args:
            row: Plain values.
        """
        odd = tuple(Oddity(*fields) for fields in row['oddities'])
        return cls(ChunkEntry(row['sha256'], row['num_files'], row['num_bytes']), odd)
