"""How much a packed file may unpack to: one limit for checkpoints, score files, packed pictures and records."""

from __future__ import annotations

import io
import lzma
import os
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

from mmfas.utils.errors import InputError
from mmfas.utils.files import write_atomically

__all__ = [
    'MAX_UNPACKED',
    'UNPACKED_VARIABLE',
    'LimitedStream',
    'inflate',
    'max_unpacked',
    'read_packed_lines',
    'write_packed_lines',
]

#: Environment variable that replaces `MAX_UNPACKED`, in MiB.
UNPACKED_VARIABLE = 'MMFAS_MAX_UNPACKED_MB'
#: Bytes that a file may unpack to, if that is more than its own size.
MAX_UNPACKED = 256 << 20


def max_unpacked() -> int:
    """Return the bytes that a file may unpack to, from the environment if it says so.

    Raises:
        ValueError: If the variable is not a number.
    """
    given = os.environ.get(UNPACKED_VARIABLE)
    if given is None:
        return MAX_UNPACKED
    if not re.fullmatch('[0-9]{1,9}', given):
        raise InputError(f'{UNPACKED_VARIABLE} must be a whole number of MiB, such as 1024, got {given!r}')
    return int(given) << 20


class LimitedStream(io.RawIOBase):
    """An unpacked stream that ends in an error where it goes on for too long.

    Args:
        stream: The stream; it is closed with this one.
        path: Its file, for the message.
        remedy: What helps if it is sound, beside setting `UNPACKED_VARIABLE`.
    """

    def __init__(
        self,
        stream: io.BufferedIOBase,
        path: str | os.PathLike[str],
        *,
        remedy: str = 'unpack it and give the unpacked file, or ',
    ) -> None:
        super().__init__()
        self._stream, self._path, self._remedy = stream, os.fspath(path), remedy
        self._limit = max(max_unpacked(), os.path.getsize(path))
        self._left = self._limit

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # fewer kinds of buffers
        """Read the next bytes.

        Raises:
            ValueError: If there are more than the limit.
        """
        count = self._stream.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise InputError(
                f"'{self._path}' unpacks to more than {self._limit:,} bytes; if it is sound, {self._remedy}set "
                f'{UNPACKED_VARIABLE}'
            )
        return count

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()
        super().close()


def inflate(data: bytes, size: int, name: str) -> bytes:
    """Unpack one entry of a zip.

    Args:
        data: What is stored.
        size: Bytes that it unpacks to, as the directory of the zip says.
        name: Name for messages.

    Returns:
        The bytes.

    Raises:
        ValueError: If it unpacks to another size, is damaged, or is too large.
    """
    limit = max(max_unpacked(), len(data))
    if size > limit:
        raise InputError(
            f'{name} would unpack {len(data):,} bytes to {size:,}, but at most {limit:,} are allowed; if it is '
            f'sound, store it without compression (zip -0), or set {UNPACKED_VARIABLE}'
        )
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        unpacked = unpacker.decompress(data, size + 1)
    except zlib.error as error:
        raise InputError(f'{name} is damaged ({error})') from error
    if len(unpacked) != size:
        raise InputError(f'{name} is damaged (it does not unpack to {size:,} bytes)')
    return unpacked


def read_packed_lines(path: str | os.PathLike[str], remedy: str) -> list[str]:
    """Read the lines of an `.xz` file of records.

    Args:
        path: The file.
        remedy: What to do about a damaged one, for the message.

    Returns:
        The lines, without their ends.

    Raises:
        ValueError: If the file is damaged, is not text, or is too large.
    """
    try:
        with io.BufferedReader(LimitedStream(lzma.open(path), path, remedy='')) as stream:  # noqa: SIM115  # closed by it
            text = stream.read().decode()
    except (lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"'{os.fspath(path)}' is not a pack of records ({error}); {remedy}") from error
    return text.removesuffix('\n').split('\n') if text else []


def write_packed_lines(path: str | os.PathLike[str], lines: Iterable[str]) -> None:
    """Write an `.xz` file of records; one that is there is replaced as a whole or stays.

    Args:
        path: The file.
        lines: Its lines, without their ends.
    """
    text = ''.join(f'{line}\n' for line in lines)
    write_atomically(Path(path), lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
