"""Helpers for long jobs that write many files: checksums, finished parts, processes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TypeVar

from mmfas.utils.errors import RunError
from mmfas.utils.interruption import children_leave_stops_to_us

__all__ = ['ChunkEntry', 'digest', 'end_with_parent', 'is_complete', 'run_tasks']

_Task = TypeVar('_Task')
_Result = TypeVar('_Result')


@dataclass(frozen=True)
class ChunkEntry:
    """A finished chunk of files: ``sha256`` over names and contents, number of files and of bytes."""

    sha256: str
    num_files: int
    num_bytes: int


def digest(contents: Mapping[str, bytes]) -> str:
    """Return the sha256 over names and contents, in the order of the names.

    Args:
        contents: name -> bytes.
    """
    sha = hashlib.sha256()
    for name in sorted(contents):
        sha.update(name.encode() + b'\0' + len(contents[name]).to_bytes(8, 'big') + contents[name])
    return sha.hexdigest()


def is_complete(names: Sequence[str], entry: ChunkEntry | None, root: Path, *, verify: bool) -> bool:
    """Tell whether all files of a chunk are there with the right sizes.

    Args:
        names: relative paths of the files.
        entry: what an earlier run wrote down, or None.
        root: folder of the data.
        verify: compare the contents too, not only names and sizes.

    Returns:
        Whether the chunk need not be made again.
    """
    if entry is None:
        return False
    paths = [root / name for name in names]
    if len(paths) != entry.num_files or not all(path.is_file() for path in paths):
        return False
    if sum(path.stat().st_size for path in paths) != entry.num_bytes:
        return False
    return not verify or digest({name: (root / name).read_bytes() for name in names}) == entry.sha256


def run_tasks(
    function: Callable[[_Task], _Result], tasks: Sequence[_Task], num_processes: int
) -> Iterator[_Result]:
    """Work on tasks in this process or in several.

    Args:
        function: a function of a module, so that other processes find it.
        tasks: what it is called with.
        num_processes: processes; with 1 everything happens here.

    Yields:
        Results, in any order.

    Raises:
        RuntimeError: if a process was ended from outside, as by the kernel where memory is short.
    """
    num_processes = min(num_processes, len(tasks))
    if num_processes <= 1:
        yield from map(function, tasks)
        return
    # 'spawn' works in the same way on every system and never copies a running framework's threads.
    context = multiprocessing.get_context('spawn')
    with children_leave_stops_to_us():
        pool = ProcessPoolExecutor(num_processes, mp_context=context, initializer=end_with_parent)
        futures = [pool.submit(function, task) for task in tasks]  # the first one starts the processes
    try:
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise RunError(
            f'one of {num_processes} worker processes was ended from outside (out of memory?); '
            'finished work is kept: run again with fewer processes'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """Let this worker process end when the one that started it is killed, or it would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_when_gone, args=(parent.sentinel,), daemon=True).start()


def _end_when_gone(sentinel: int) -> None:
    """Wait for the end of another process."""
    wait([sentinel])
    os._exit(1)
