"""Many small files in one: a backend of `mmengine.fileio` that reads out of a tar or zip, and what packs a tar.

A published set has 120,000 small files, each of which costs a network disk a question of its own. Out of one large
file they are read by their places in it, which an index beside a packed tar lists.
"""

from __future__ import annotations

import json
import os
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mmengine.fileio import BaseStorageBackend, register_backend

from mmfas.utils.errors import FileError, InputError, MissingFileError
from mmfas.utils.files import atomic_file, write_atomically
from mmfas.utils.unpacking import inflate

__all__ = ['PackedBackend', 'index_path', 'pack_files']

#: Local header of a zip entry: its length, and where the lengths of name and extra field stand in it.
_ZIP_HEADER, _ZIP_LENGTHS = 30, struct.Struct('<HH')


class _Place(NamedTuple):
    """Where a file is: offset and size in bytes; in a zip, of its local header and of what is stored."""

    offset: int
    size: int
    #: Bytes that it unpacks to; None if it is not packed.
    unpacked: int | None = None


def index_path(file: str | os.PathLike[str]) -> Path:
    """Return where the index of a packed tar is."""
    return Path(f'{os.fspath(file)}.index.json')


class PackedBackend(BaseStorageBackend):
    """Backend `packed` of `mmengine.fileio`: reads files out of a tar (not compressed) or a zip.

    Any number of processes may read at a time, also those that were forked from the one that opened it.

    Args:
        file: The tar or zip.
        root: Folder that requested paths begin with, such as `data_root`; what follows is the name in
            the tar or zip.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is neither, or its index is of another file.
    """

    def __init__(self, file: str, root: str = '') -> None:
        self.file, self.root = file, f'{root.rstrip("/")}/' if root else ''
        if not os.path.isfile(file):
            raise MissingFileError(f"the packed file '{file}' does not exist; check `backend_args`")
        self._is_zip = zipfile.is_zipfile(file)
        self._places = _places_of_zip(file) if self._is_zip else _places_of_tar(file)
        self._handle: int | None = None
        self._size = 0

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file behind: another process opens its own."""
        return {**self.__dict__, '_handle': None}

    def get(self, filepath: str | os.PathLike[str]) -> bytes:
        """Return the bytes of a file.

        Args:
            filepath: Its path, with the root before its name.

        Raises:
            FileNotFoundError: If it is not there.
            ValueError: If the packed file is damaged.
        """
        name = os.fspath(filepath).removeprefix(self.root)
        place = self._places.get(name) or self._places.get(str(PurePosixPath(os.path.normpath(name))))
        if place is None:
            raise MissingFileError(f"'{self.file}' holds no '{name}'")
        start = place.offset
        if self._is_zip:
            start += _ZIP_HEADER + sum(_ZIP_LENGTHS.unpack(self._read(start + 26, 4)))
        data = self._read(start, place.size)
        return data if place.unpacked is None else inflate(data, place.unpacked, f"'{self.file}': {name}")

    def get_text(self, filepath: str | os.PathLike[str], encoding: str = 'utf-8') -> str:
        """Return a file as text; see `get`."""
        return self.get(filepath).decode(encoding)

    def _read(self, start: int, size: int) -> bytes:
        if self._handle is None:
            self._handle = os.open(self.file, os.O_RDONLY)
            self._size = os.fstat(self._handle).st_size
        # Asked first, as reading takes the memory before it finds out.
        data = b'' if start + size > self._size else os.pread(self._handle, size, start)
        if len(data) != size:
            raise InputError(f"'{self.file}' ends within a file; copy it again")
        return data

    def __del__(self) -> None:
        handle = getattr(self, '_handle', None)
        if handle is not None:
            os.close(handle)


def _places_of_zip(file: str) -> dict[str, _Place]:
    """List the files of a zip."""
    places = {}
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise InputError(f"'{file}' is a damaged zip ({error}); copy it again") from error
    for info in entries:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
            raise InputError(f"'{file}': {info.filename} is encrypted or packed by a rare method; use `zip -0`")
        unpacked = info.file_size if info.compress_type == zipfile.ZIP_DEFLATED else None
        places[info.filename] = _Place(info.header_offset, info.compress_size, unpacked)
    return places


def _places_of_tar(file: str) -> dict[str, _Place]:
    """List the files of a tar: from its index, or by going through it."""
    index = index_path(file)
    if index.is_file():
        return _places_of_index(index, os.path.getsize(file))
    try:
        with tarfile.open(file, 'r:') as archive:
            return {m.name.removeprefix('./'): _Place(m.offset_data, m.size) for m in archive if m.isreg()}
    except tarfile.ReadError as error:
        raise InputError(f"'{file}' is neither a zip nor a tar without compression: {error}") from error


def _places_of_index(index: Path, size: int) -> dict[str, _Place]:
    """Read where the files of a tar of this size are."""
    try:
        content = json.loads(index.read_text(encoding='utf-8'))
        of_size, places = content['size'], {name: _Place(*place) for name, place in content['files'].items()}
        numbers = {value for place in places.values() for value in place[:2]}
        if not all(type(value) is int and value >= 0 for value in numbers):
            raise InputError('a place is not a number')
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"'{index}' is damaged ({error}); delete it, or run `mmfas data pack` again") from error
    if of_size != size:
        raise InputError(f"'{index}' is the index of another file; delete it, or run `mmfas data pack` again")
    return places


def pack_files(names: Iterable[str], root: str | os.PathLike[str], out: str | os.PathLike[str]) -> tuple[int, int]:
    """Write files into one tar, with an index beside it.

    Args:
        names: Paths of the files, relative to the root; each is packed once, in this order.
        root: Folder of the files.
        out: The tar to write. It depends on names and contents only.

    Returns:
        Number of files, and size of the tar in bytes.

    Raises:
        FileNotFoundError: If a file does not exist.
        OSError: If the tar cannot be written.
    """
    places: dict[str, tuple[int, int]] = {}
    with atomic_file(out) as stream, tarfile.open(fileobj=stream, mode='w|', format=tarfile.PAX_FORMAT) as archive:
        for name in dict.fromkeys(names):
            data = _content(Path(root, name))
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, BytesIO(data))
            # the archive stands behind the file and what fills its last block
            places[name] = (archive.offset - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, len(data))
    size = os.path.getsize(out)
    index: Mapping[str, Any] = dict(size=size, files=places)
    write_atomically(index_path(out), json.dumps(index, separators=(',', ':')))
    return len(places), size


def _content(path: Path) -> bytes:
    """Read a file that is to be packed."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingFileError(f"'{path}' does not exist; `mmfas data verify` lists all that do not") from None
    except OSError as error:
        raise FileError(f"'{path}' cannot be read: {error.strerror}") from error


register_backend('packed', PackedBackend, force=True)
