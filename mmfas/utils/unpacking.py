"""How much a packed file may unpack to: one limit for checkpoints, score files and packed pictures."""

from __future__ import annotations

import io
import os
import re
import zlib

from mmfas.utils.errors import InputError

__all__ = ['MAX_UNPACKED', 'UNPACKED_VARIABLE', 'LimitedStream', 'inflate', 'max_unpacked']

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
    """

    def __init__(self, stream: io.BufferedIOBase, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self._stream, self._path = stream, os.fspath(path)
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
                f'{self._path} unpacks to more than {self._limit:,} bytes; if it is sound, unpack it and give the '
                f'unpacked file, or set {UNPACKED_VARIABLE}'
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
