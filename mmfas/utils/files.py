"""Writing files, without torch: everything that the package writes is there completely or not at all.

A file is written under a temporary name beside its own, `.NAME.MACHINE-PROCESS-CHANCE.part`, and then renamed. A
process that fails removes its temporary file; one that is killed cannot, so every command that owns a folder calls
`remove_leftovers` when it starts (see `mmfas.utils.locks.lock_folder`).
"""

from __future__ import annotations

import errno
import os
import platform
import re
import secrets
import stat
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mmfas.utils.errors import FileError
from mmfas.utils.interruption import signals_wait

_MACHINE = f'{zlib.crc32(platform.node().encode()):08x}'
_TEMPORARY = re.compile(r'\..+\.([0-9a-f]{8})-([0-9]{1,10})-[0-9a-f]{8}\.part', re.DOTALL)
#: Temporary files of earlier versions, whose names do not say which process made them.
_EARLIER = re.compile(r'\..+\.[a-z0-9_]{8}\.part', re.DOTALL)
#: Likewise, of commands that wrote data sets; other programs give such names, too.
_EARLIER_DATA = re.compile(r'.+\.(?:csv|jpg|json|jsonl|npz|png|txt)\.partial', re.DOTALL)
#: A temporary file of another machine that has not grown for this long has no writer any more.
_QUIET_S = 60.0
#: Errors that writing any file to a disk may raise.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)
#: Bytes of a name that a temporary name repeats; most file systems allow 255 in all.
_MOST_BYTES = 180
#: Temporary files that this very process is writing.
_being_written: set[str] = set()
#: Folders from which this very process has removed what killed ones had left.
_tidied: set[str] = set()


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading, and refuse what could keep the reader waiting or never ends: pipes and devices.

    Args:
        path: The file; links are followed.

    Raises:
        FileError: If it is a pipe, a socket or a device.
        OSError: If it is missing, a folder, or cannot be read.
    """
    # Without this flag the call itself waits until somebody writes into a pipe.
    flag = getattr(os, 'O_NONBLOCK', 0)
    stream = open(path, 'rb', opener=lambda name, flags: os.open(name, flags | flag))  # noqa: SIM115  # returned
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise FileError(f"'{os.fspath(path)}' is a pipe or a device; give a file")
    return stream


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a file of UTF-8, see `open_file`.

    Args:
        path: The file.

    Raises:
        UnicodeDecodeError: If it is no UTF-8.
        OSError: If it is missing, a folder, or cannot be read; `FileError` for a pipe or a device.
    """
    with open_file(path) as stream:
        return stream.read().decode('utf-8')


def write_atomically(path: str | os.PathLike[str], content: bytes | str, *, durable: bool = True) -> None:
    """Write a file so that it is there completely or not at all, whenever the process is killed.

    Args:
        path: Where to write, see `atomic_file`.
        content: Bytes of the file, or its text, which becomes UTF-8.
        durable: Wait until the disk has it, see `atomic_file`.

    Raises:
        OSError: If it cannot be written; `filename` is the path.
    """
    with atomic_file(path, durable=durable) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_file(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a file for writing that appears, complete, when the block ends, and does not when the block fails.

    Args:
        path: Where to write; the folder is made, a link is followed, a file that is there is replaced. A pipe or
            device (`/dev/stdout`) is written to directly.
        durable: Wait until the disk has the file, so that it survives a power failure too. That costs some
            milliseconds; leave it out for thousands of files whose sizes are checked before they are used again.
            The first such file of a process in a folder also removes what killed processes have left there.

    Yields:
        The stream. It cannot be read or moved in.

    Raises:
        OSError: If it cannot be written; `filename` is the path.
    """
    file = Path(os.path.realpath(path))
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if file.exists() and not file.is_file():
        with full_disk_named(path), open(file, 'wb') as stream:
            yield stream
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    if durable and (place := os.fspath(file.parent)) not in _tidied:
        _tidied.add(place)
        remove_leftovers(place)
    temporary = _temporary_of(file)
    _being_written.add(temporary)
    try:
        # Its mode is the one that any new file gets: what umask and folder allow.
        with open(temporary, 'xb') as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        os.replace(temporary, file)
        if durable:
            _sync_folder(file.parent)
    except BaseException as error:
        with signals_wait(), suppress(OSError):
            os.unlink(temporary)
        cause = _cause_of(error)
        if isinstance(cause, OSError) and cause.errno is not None and cause.filename in (None, temporary):
            raise name_file(cause, path) from cause
        if cause is not error:
            raise cause from None
        raise
    finally:
        _being_written.discard(temporary)


def name_file(error: OSError, path: str | os.PathLike[str]) -> OSError:
    """Return an error that names its file; errors of writing, such as a full disk, do not.

    Args:
        error: What was raised.
        path: The file.

    >>> str(name_file(OSError(28, 'No space left on device'), 'a.pth'))
    "[Errno 28] No space left on device: 'a.pth'"
    """
    return OSError(error.errno, error.strerror, os.fspath(path))


def require_writable(*folders: str | os.PathLike[str]) -> None:
    """Make folders, and find out before long work whether files can be written there.

    Args:
        *folders: The folders.

    Raises:
        OSError: If one cannot be made or written into; `filename` is the folder.
    """
    for folder in folders:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise name_file(error, folder) from error


@contextmanager
def full_disk_named(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Name the folder in errors of a full or failing disk that name no file, as those of other libraries do.

    Args:
        folder: Folder that is written into.

    Raises:
        OSError: What was raised, with the folder as its `filename`.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS or error.filename is not None:
            raise
        raise name_file(error, folder) from error


def is_leftover(name: str) -> bool:
    """Tell whether a file name is that of a temporary file of mmfas.

    Args:
        name: Name without its folder.

    >>> is_leftover('.a.pth.0123abcd-77-89ef4567.part'), is_leftover('a.json.partial'), is_leftover('a.part')
    (True, True, False)
    """
    return any(kind.fullmatch(name) for kind in (_TEMPORARY, _EARLIER, _EARLIER_DATA))


def remove_leftovers(folder: str | os.PathLike[str], *, below: bool = False, of_data: bool = False) -> int:
    """Remove the temporary files that killed processes have left in a folder.

    A file whose writer may still be alive stays: its name says which process of which machine that is.

    Args:
        folder: The folder; it need not exist.
        below: Look into the folders in it, too.
        of_data: It is the folder of a data set: remove the `.partial` files of earlier versions, too.

    Returns:
        Number of files that were removed.
    """
    count = 0
    for place, folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            is_ours = is_leftover(name) and (of_data or not _EARLIER_DATA.fullmatch(name))
            if is_ours and not _is_being_written(path):
                with suppress(OSError):  # another process was faster, or it is not ours to remove
                    os.unlink(path)
                    count += 1
        if not below:
            folders.clear()
    return count


def _temporary_of(file: Path) -> str:
    """Return a new temporary name beside a file."""
    start = os.fsdecode(os.fsencode(file.name)[:_MOST_BYTES])
    return str(file.with_name(f'.{start}.{_MACHINE}-{os.getpid()}-{secrets.token_hex(4)}.part'))


def _is_being_written(path: str) -> bool:
    """Tell whether the writer of a temporary file may still be alive."""
    found = _TEMPORARY.fullmatch(os.path.basename(path))
    if found is None:
        return False
    machine, process = found[1], int(found[2])
    if machine != _MACHINE:
        try:
            return time.time() - os.stat(path).st_mtime < _QUIET_S
        except OSError:
            return False
    if process == os.getpid():
        return os.path.realpath(path) in _being_written
    return _is_alive(process)


def _is_alive(process: int) -> bool:
    """Tell whether there is a process with this number."""
    if os.name == 'nt':
        return False  # there, signal 0 would end it; but a file that is open cannot be removed
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """Wait until the new name is on the disk."""
    if os.name == 'nt':
        return  # no such thing
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems refuse; the rename itself has succeeded
            os.fsync(handle)
    finally:
        os.close(handle)


def _cause_of(error: BaseException) -> BaseException:
    """Return what stopped `torch.save`, which hides a full disk or Ctrl-C behind its own count of bytes."""
    hidden = error.__context__
    is_torch = isinstance(error, RuntimeError) and 'unexpected pos' in str(error)
    return hidden if is_torch and hidden is not None else error
