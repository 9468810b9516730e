"""One command per folder: a second one that would write into the same folder stops before it writes."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mmfas.utils.errors import RunError
from mmfas.utils.files import name_file, remove_leftovers
from mmfas.utils.interruption import signals_wait

#: Seconds to wait for a lock: a process that was just killed may need a moment to end.
WAIT_S = 4.0
#: Errors of file systems without locks (some Lustre and NFS mounts).
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK)
#: Locks of this process: (process, lock file) -> how often it was taken.
_held: dict[tuple[int, str], int] = {}


class BusyError(RunError):
    """Another process works in the same folder."""


@contextmanager
def lock_folder(
    folder: str | os.PathLike[str], advice: str, *, name: str = '.lock', below: bool = False, of_data: bool = False
) -> Iterator[None]:
    """Keep other processes out of a folder, and remove what killed ones have left in it.

    The lock is one of the operating system on the file `name`, so it ends with the process, however that ends. It
    holds between machines where the file system passes locks on (NFS 4 does). Where it has none, a warning says
    so and the work goes on. The same process may take a lock again.

    Args:
        folder: The folder; it is made.
        advice: What a user may do instead of waiting, such as `'give another --out'`.
        name: Name of the lock file; work that can be done side by side in one folder has different ones.
        below: Look for leftovers in the folders inside, too.
        of_data: It is the folder of a data set, see `remove_leftovers`.

    Raises:
        BusyError: If another process has the lock.
        OSError: If the lock file cannot be made; `filename` is the folder.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    file = os.path.join(os.path.realpath(folder), name)
    key = (os.getpid(), file)
    if key in _held:
        _held[key] += 1
        try:
            yield
        finally:
            _held[key] -= 1
        return
    with _locked(folder, file, advice):
        try:
            _held[key] = 1
            remove_leftovers(folder, below=below, of_data=of_data)
            yield
        finally:
            _held.pop(key, None)


@contextmanager
def lock_folder_of_ranks(folder: str | os.PathLike[str], advice: str) -> Iterator[None]:
    """Let the main process lock a folder for all processes of a run; all of them end if it cannot.

    The process group, if there is to be one, must have been started.

    Args:
        folder: The folder, see `lock_folder`.
        advice: What a user may do instead of waiting.

    Raises:
        BusyError: If another run has the lock.
        OSError: If the lock file cannot be made, in the main process.
    """
    from mmengine.dist import broadcast_object_list, is_main_process

    failed: list[str | None] = [None]
    with ExitStack() as stack:
        try:
            if is_main_process():
                stack.enter_context(lock_folder(folder, advice))
        except (BusyError, OSError) as error:
            failed[0] = str(error)
            raise
        finally:
            broadcast_object_list(failed)
        if failed[0] is not None:
            raise BusyError(failed[0])
        yield


@contextmanager
def _locked(folder: str | os.PathLike[str], file: str, advice: str) -> Iterator[None]:
    """Hold the lock on a file, which is gone afterwards."""
    from filelock import FileLock, Timeout  # late: it takes longer than all else here

    # A soft lock, which is only a file, would outlive a killed process.
    lock = FileLock(file, thread_local=False, fallback_to_soft=False)
    try:
        try:
            lock.acquire(timeout=WAIT_S)
        except Timeout:
            raise BusyError(f"another process works in '{folder}'; wait until it has ended, or {advice}") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise name_file(error, folder) from error
            warnings.warn(
                f"the file system of '{folder}' has no locks ({error.strerror}); start no second process in it",
                stacklevel=2,
            )
        yield
    finally:
        with signals_wait():
            if lock.is_locked:
                # Removed while it is held: who waits for it finds out that its file is gone, and makes a new one.
                with suppress(OSError):
                    os.unlink(file)
                lock.release()
