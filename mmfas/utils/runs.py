"""Helpers for long series of runs: the commit, records of finished runs, processes of one thread."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mmfas.utils.errors import InputError
from mmfas.utils.files import write_atomically
from mmfas.utils.interruption import children_leave_stops_to_us
from mmfas.utils.jobs import end_with_parent
from mmfas.utils.unpacking import read_packed_lines, write_packed_lines

#: File that holds many records of a study, one per line.
PACK = 'records.jsonl.xz'
_REMEDY = 'restore it, or delete it and run the study again'


def commit() -> str:
    """Return the commit of the working tree, with `+` where it has changes; 'unknown' without one, or git."""
    call = ['git', 'describe', '--always', '--dirty=+', '--exclude=*']
    try:
        done = subprocess.run(call, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:  # there is no git
        return 'unknown'
    return done.stdout.strip() or 'unknown'


def read_run_record(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record of a file, or of its line in the pack beside it, if run, config and data are the same."""
    record = load_records(path.parent, path.name).get(path.name)
    same = json.loads(json.dumps(identity))
    return record if record and all(record.get(key) == value for key, value in same.items()) else None


def write_run_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record so that a stopped study never leaves half of one."""
    write_atomically(path, json.dumps(record, indent=1, allow_nan=False) + '\n')


def load_records(folder: str | Path, pattern: str = '*.json') -> dict[str, dict[str, Any]]:
    """Read the records of a study: files of their own, and lines of the pack beside them.

    Args:
        folder: Folder of the records; one that does not exist holds none.
        pattern: What their file names must match.

    Returns:
        Records by file name, sorted. A file of its own is newer than a line of the same name.

    Raises:
        ValueError: If a file or line is not a record; it is named.
    """
    found: dict[str, dict[str, Any]] = {}
    pack, before = Path(folder, PACK), Path(folder, PACK.removesuffix('.xz'))
    if before.is_file():
        raise InputError(f"'{before}' is a pack of an earlier version: compress it with `xz '{before}'`")
    lines = read_packed_lines(pack, _REMEDY) if pack.is_file() else []
    for number, line in enumerate(lines, 1):
        content = _parse(line, f"'{pack}', line {number}")
        if not isinstance(content.get('file'), str) or not isinstance(content.get('record'), dict):
            raise InputError(f"'{pack}', line {number}: expected a file name and a record; restore the file")
        found[content['file']] = content['record']
    for path in Path(folder).glob('*.json'):
        if fnmatchcase(path.name, pattern):
            found[path.name] = _parse(path.read_text(encoding='utf-8'), f"'{path}'")
    return {name: found[name] for name in sorted(found) if fnmatchcase(name, pattern)}


def _parse(text: str, where: str) -> dict[str, Any]:
    """Read one mapping; the error names the place."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f'{where} is not JSON ({error}); {_REMEDY}') from error
    if not isinstance(content, dict):
        raise InputError(f'{where} is not a record; {_REMEDY}')
    return content


def pack_study(folder: str | Path) -> int:
    """Move the records of a study into one file of lines beside them.

    Args:
        folder: Folder of the records.

    Returns:
        Number of records in the pack.
    """
    records = load_records(folder)
    lines = [json.dumps({'file': name, 'record': record}, allow_nan=False) for name, record in records.items()]
    write_packed_lines(Path(folder, PACK), lines)
    for path in Path(folder).glob('*.json'):
        path.unlink()
    return len(records)


def in_processes(function: Callable[..., Any], arguments: list[tuple[Any, ...]], jobs: int) -> Iterable[Any]:
    """Call a function in `jobs` processes of one thread each and yield its results as they come.

    Args:
        function: Function of a module.
        arguments: One tuple per call.
        jobs: Number of processes; 1 stays in this one.

    Yields:
        Results, in any order.
    """
    calls = [(function, values) for values in arguments]
    if jobs <= 1 or len(calls) <= 1:
        yield from map(_call, calls)
        return
    # 'spawn': a forked child of a process that has used torch's threads may hang
    with children_leave_stops_to_us():
        started = multiprocessing.get_context('spawn').Pool(jobs, _use_one_thread)
    with started as pool:
        yield from pool.imap_unordered(_call, calls)


def _use_one_thread() -> None:
    """Keep the processes out of each other's way, and let them end with the one that started them."""
    import torch

    end_with_parent()
    torch.set_num_threads(1)


def _call(call: tuple[Callable[..., Any], tuple[Any, ...]]) -> Any:
    """Call a function with its arguments."""
    return call[0](*call[1])
