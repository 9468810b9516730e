"""What long series of runs need: the commit, records of finished runs, processes of one thread."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mmfas.utils.checkpoint import write_atomically


def commit() -> str:
    """Return the commit of the working tree, with a `+` where it has changes; 'unknown' outside a checkout."""
    call = ['git', 'describe', '--always', '--dirty=+', '--exclude=*']
    done = subprocess.run(call, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or 'unknown'


def read_run_record(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record in a file if it is of the very same run, config and data."""
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding='utf-8'))
    same = json.loads(json.dumps(identity))
    return record if all(record.get(key) == value for key, value in same.items()) else None


def write_run_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record so that a stopped study never leaves half of one."""
    write_atomically((json.dumps(record, indent=1, allow_nan=False) + '\n').encode(), path)


def in_processes(function: Callable[..., Any], arguments: list[tuple[Any, ...]], jobs: int) -> Iterable[Any]:
    """Call a function in `jobs` processes of one thread each and yield its results as they come.

    Args:
        function: Function of a module.
        arguments: One tuple per call.
        jobs: Number of processes; 1 stays in this one.

    Yields:
        Results, in any order.
    """
    calls = [(function, each) for each in arguments]
    if jobs <= 1 or len(calls) <= 1:
        yield from map(_call, calls)
        return
    # 'spawn': a forked child of a process that has used torch's threads may hang
    with multiprocessing.get_context('spawn').Pool(jobs, _use_one_thread) as pool:
        yield from pool.imap_unordered(_call, calls)


def _use_one_thread() -> None:
    """Keep the processes out of each other's way."""
    import torch

    torch.set_num_threads(1)


def _call(call: tuple[Callable[..., Any], tuple[Any, ...]]) -> Any:
    """Call a function with its arguments."""
    return call[0](*call[1])
