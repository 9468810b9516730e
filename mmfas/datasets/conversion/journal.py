"""The manifest of a conversion: a checksum per recording, written down as soon as the recording is finished."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from mmfas.datasets.conversion.report import Oddity
from mmfas.utils.jobs import ChunkEntry, write_atomic

__all__ = ['Entry', 'Journal']


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
        odd = tuple(Oddity(*each) for each in row['oddities'])
        return cls(ChunkEntry(row['sha256'], row['num_files'], row['num_bytes']), odd)


class Journal:
    """A file of JSON lines: the header, then one line per finished recording, in the order they are finished.

    A line is added at once, so a run that is killed loses nothing that it finished; a line cut off by the kill is
    left out when the file is read. `close_sorted` brings the lines into order, so that the file is the same
    however often the run was stopped.

    Args:
        path: The file.
        header: What must agree between two runs.

    Raises:
        ValueError: If the file is no manifest, or its header differs.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self._header = dict(header)
        self.entries = self._read()
        self._file: TextIO | None = None

    def _read(self) -> dict[str, Entry]:
        """Return the entries that are there already; the last of a name counts."""
        if not self.path.is_file():
            return {}
        lines = self.path.read_text(encoding='utf-8').split('\n')
        complete = lines[:-1]  # what follows the last end of line was cut off by a kill
        if not complete:
            return {}
        try:
            header, *rows = (json.loads(line) for line in complete)
            entries = {row['name']: Entry.of(row) for row in rows}
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"'{self.path}' is broken ({error}); delete it, and the same command makes it again"
            ) from error
        for key, wanted in self._header.items():
            if header.get(key) != wanted:
                raise ValueError(
                    f"'{self.path}' is of a conversion with {key} = {header.get(key)!r}, this one has {wanted!r}; "
                    'give another folder, or delete this file to convert all again'
                )
        return entries

    def __enter__(self) -> Journal:
        """Open the file for adding; a cut-off line goes."""
        self.close_sorted()
        self._file = self.path.open('a', encoding='utf-8')
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Bring the lines into order, whatever happened."""
        self.close_sorted()

    def add(self, name: str, entry: Entry) -> None:
        """Write down a finished recording.

        Args:
            name: Its name.
            entry: Its checksum.
        """
        if self._file is None:
            raise RuntimeError('entries are added inside `with`')
        self.entries[name] = entry
        self._file.write(self._line(name) + '\n')
        self._file.flush()

    def close_sorted(self) -> None:
        """Write the header and all entries by name, and close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        lines = [json.dumps(self._header), *(self._line(name) for name in sorted(self.entries))]
        write_atomic(self.path, ('\n'.join(lines) + '\n').encode())

    def _line(self, name: str) -> str:
        """Return the line of a recording."""
        return json.dumps({'name': name, **self.entries[name].as_json()})
