"""Detecting damage: the seal on tensor files that mmfas writes, and the checksums in those of others.

A file of `torch.save` is a zip archive. Its entries carry a CRC-32, which `torch.load` does not look at, and what
lies between them carries nothing. So mmfas appends the SHA-256 of all bytes before it, as the comment that a zip
archive may end with: it travels with the file under any name, and every reader of zip archives skips it.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
from dataclasses import dataclass
from typing import BinaryIO

from mmfas.utils.errors import InputError
from mmfas.utils.unpacking import UNPACKED_VARIABLE

_MARK = b'mmfas sha256 '
_NUM_DIGITS = 64
_COMMENT_SIZE = len(_MARK) + _NUM_DIGITS
#: The last record of a zip archive: signature, six numbers, length of the comment that follows.
_END = struct.Struct('<4sHHHHLLH')
_END_SIGNATURE = b'PK\x05\x06'
#: Bytes that the comment of a zip archive may have.
_MAX_COMMENT = (1 << 16) - 1
_BLOCK = 1 << 20


class DamagedFile(InputError):
    """The bytes of a file are not those that were written; the message gives the evidence."""


@dataclass(frozen=True)
class Fingerprint:
    """What reading all bytes of a file says.

    Args:
        sha256: SHA-256 of the file, 64 hexadecimal digits.
        is_verified: Whether a seal or checksums were there and agree.
    """

    sha256: str
    is_verified: bool


def seal(archive: bytes) -> bytes:
    """Append the SHA-256 of everything before it to a zip archive.

    Args:
        archive: Zip archive without a comment, as `torch.save` makes it.

    Returns:
        The archive with its seal; every reader of zip archives still takes it.

    Raises:
        ValueError: If it is not such an archive.
    """
    body = _with_mark(archive)
    return body + hashlib.sha256(body).hexdigest().encode()


class SealingStream:
    """Stream for `torch.save` that adds the seal at the end, so that no second copy of the archive is made.

    Args:
        stream: Where the archive goes.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        #: The last bytes so far: whether they are the end of the archive is known when nothing follows.
        self._held = b''

    def write(self, data: bytes | memoryview) -> int:
        """Take the next bytes; returns their number."""
        size = len(data)
        if size < _END.size:
            data, self._held = self._held + bytes(data), b''
        for piece in (self._held, memoryview(data)[: -_END.size]):
            self._put(piece)
        self._held = bytes(data[-_END.size :])
        return size

    def flush(self) -> None:
        """Do nothing: what is held back may be the end."""

    def finish(self) -> str:
        """Write the end with the seal; returns the SHA-256 of the whole file.

        Raises:
            ValueError: If the bytes are not a zip archive without a comment.
        """
        self._put(_with_mark(self._held))
        digits = self._digest.hexdigest().encode()
        self._put(digits)
        return self._digest.hexdigest()

    def _put(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self._stream.write(data)


def _with_mark(end: bytes) -> bytes:
    """Return the last record of an archive with the comment that the digits of the seal complete."""
    if len(end) < _END.size or not _ends_without_comment(end[-_END.size :]):
        raise InputError('only a zip archive without a comment can be sealed')
    return end[:-2] + struct.pack('<H', _COMMENT_SIZE) + _MARK


def verify(stream: BinaryIO, max_unpacked: int) -> Fingerprint:
    """Read a tensor file once and compare it with its seal or checksums.

    Args:
        stream: File, opened for reading bytes; its position is moved.
        max_unpacked: Bytes that it may unpack to, where that is more than its own size.

    Returns:
        Its hash, and whether anything vouches for it: files of torch 1.5 and older have no checksums, and torch
        writes none if it is asked to.

    Raises:
        DamagedFile: If a seal or a checksum does not agree, or the zip archive is not whole.
        ValueError: If it would unpack to more.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    body = _hash(stream, size - _NUM_DIGITS)
    stated = stream.read()
    whole = body.copy()
    whole.update(stated)
    sha256 = whole.hexdigest()
    tail = _tail(stream, size, _END.size + _COMMENT_SIZE)
    is_sealed = tail[_END.size :].startswith(_MARK)
    if is_sealed and stated != body.hexdigest().encode():
        raise DamagedFile('its content is not the one whose SHA-256 was written into it')
    stream.seek(0)
    if not is_sealed and stream.read(4) != b'PK\x03\x04':
        return Fingerprint(sha256, False)
    archive = _open_archive(stream)
    if not is_sealed and _stated_comment(stream, size) == _COMMENT_SIZE:
        # A seal that was cut, changed, or has something behind it; readers of zip archives do not mind.
        raise DamagedFile('the SHA-256 at its end cannot be read')
    _check_unpacked(archive, size, max_unpacked)
    return Fingerprint(sha256, is_sealed or _check_entries(archive))


def _hash(stream: BinaryIO, num_bytes: int) -> hashlib._Hash:
    """Hash the next bytes of a file."""
    digest = hashlib.sha256()
    while num_bytes > 0 and (block := stream.read(min(_BLOCK, num_bytes))):
        digest.update(block)
        num_bytes -= len(block)
    return digest


def _tail(stream: BinaryIO, size: int, num_bytes: int) -> bytes:
    """Return the last bytes of a file."""
    stream.seek(max(0, size - num_bytes))
    return stream.read()


def _stated_comment(stream: BinaryIO, size: int) -> int | None:
    """Return how long the comment is that the last record of a zip archive announces, whatever follows it."""
    end = _tail(stream, size, _END.size + _MAX_COMMENT)
    record = end[max(0, end.rfind(_END_SIGNATURE)) :][: _END.size]
    return None if len(record) < _END.size else int(_END.unpack(record)[-1])


def _ends_without_comment(record: bytes) -> bool:
    """Tell whether a zip archive ends with its last record and nothing behind it."""
    signature, *_, comment = _END.unpack(record)
    return signature == _END_SIGNATURE and comment == 0


def _open_archive(stream: BinaryIO) -> zipfile.ZipFile:
    """Read the directory of a zip archive.

    Raises:
        DamagedFile: If there is none.
    """
    try:
        return zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise DamagedFile(f'its zip archive is not whole: {error}') from error


def _check_unpacked(archive: zipfile.ZipFile, size: int, limit: int) -> None:
    """Refuse an archive of a few bytes that would fill the memory."""
    unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > max(size, limit):
        raise InputError(
            f'it would unpack {size:,} bytes to {unpacked:,}, but at most {max(size, limit):,} are allowed: '
            'weights are saved unpacked, so this is hardly a file of weights. If you trust it, set '
            f'{UNPACKED_VARIABLE}={-(-unpacked >> 20)}'
        )


def _check_entries(archive: zipfile.ZipFile) -> bool:
    """Compare all entries with their CRC-32; returns False if the archive has none.

    Raises:
        DamagedFile: If an entry does not agree.
    """
    entries = archive.infolist()
    if not any(entry.CRC for entry in entries):
        return False
    try:
        broken = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise DamagedFile(f'its zip archive is not whole: {error}') from error
    if broken is not None:
        raise DamagedFile(f"the content of '{broken}' in it does not have the checksum that was written with it")
    return True
