"""A journal of finished work: a file of JSON lines from which a run that was killed continues."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Generic, TypeVar

from mmfas.utils.errors import InputError, RunError
from mmfas.utils.files import name_file, write_atomically

__all__ = ['Journal']

_Entry = TypeVar('_Entry')


class Journal(Generic[_Entry]):
    """A file of JSON lines: the header, then one line per finished piece of work, in the order they are finished.

    A line is added at once, so a run that is killed loses nothing that it finished; a line cut off by the kill is
    left out when the file is read. At the end the lines are brought into order, so that the file is the same
    however often the run was stopped.

    Args:
        path: The file; it need not exist.
        header: Plain values that must be the same in two runs.
        kind: What the work is, such as `'conversion'`, for messages.
        encode: Returns the plain values of an entry; the name of the work is added as `name`.
        decode: Returns the entry of the plain values of a line, `name` among them.

    Raises:
        ValueError: If the file is not a journal, or its header differs.
    """

    def __init__(
        self,
        path: Path,
        header: Mapping[str, Any],
        *,
        kind: str,
        encode: Callable[[_Entry], Mapping[str, Any]],
        decode: Callable[[Mapping[str, Any]], _Entry],
    ) -> None:
        self.path = path
        self._header = dict(header)
        self._kind, self._encode, self._decode = kind, encode, decode
        self.entries: dict[str, _Entry] = self._read()
        self._file: BinaryIO | None = None

    def _read(self) -> dict[str, _Entry]:
        """Return the entries that are there already; the last of a name counts."""
        if not self.path.is_file():
            return {}
        # What follows the last end of line was cut off by a kill; it may end within a character.
        complete = self.path.read_bytes().split(b'\n')[:-1]
        if not complete:
            return {}
        try:
            header, *rows = (json.loads(line) for line in complete)
            entries = {row['name']: self._decode(row) for row in rows}
            earlier = {key: header.get(key) for key in self._header}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"'{self.path}' is broken ({error}); delete it, and the same command does all again"
            ) from error
        differing = [key for key, value in earlier.items() if value != self._header[key]]
        if differing:
            there = ', '.join(f'{key} = {earlier[key]!r}' for key in differing)
            here = ', '.join(repr(self._header[key]) for key in differing)
            raise InputError(
                f"'{self.path}' is of a {self._kind} with {there}, this one has {here}; "
                'give another folder, or delete this file to do all again'
            )
        return entries

    def __enter__(self) -> Journal[_Entry]:
        """Open the file for adding; a cut-off line goes."""
        self._write_sorted()
        self._file = self.path.open('ab', buffering=0)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Bring the lines into order, whatever happened."""
        assert self._file is not None
        self._file.close()
        self._file = None
        self._write_sorted()

    def add(self, name: str, entry: _Entry) -> None:
        """Write down what is finished.

        Args:
            name: Name of the work.
            entry: What there is to say about it.

        Raises:
            OSError: If it cannot be written; `filename` is the file.
        """
        if self._file is None:
            raise RunError('entries are added inside `with`')
        self.entries[name] = entry
        try:
            left = f'{self._line(name)}\n'.encode()
            while left:  # the last room on a disk takes a part of a line without an error
                left = left[self._file.write(left) :]
        except OSError as error:
            raise name_file(error, self.path) from error

    def _write_sorted(self) -> None:
        """Write the header and all entries by name."""
        lines = [json.dumps(self._header), *map(self._line, sorted(self.entries))]
        write_atomically(self.path, '\n'.join(lines) + '\n')

    def _line(self, name: str) -> str:
        """Return the line of an entry."""
        return json.dumps({'name': name, **self._encode(self.entries[name])})
