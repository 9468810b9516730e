"""Run a command in a process of its own that is killed at a chosen moment: an event of writing, or a time."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fork_server import warm_context

#: Writes of one file that count as events; a checkpoint has dozens of them.
_WRITES_PER_FILE = 3


@dataclass(frozen=True)
class Death:
    """When a process ends before its time; never, if nothing is given.

    Args:
        at_event: Number of an event, from 1: the moments before and after a temporary file is made, written in
            part, brought to the disk, renamed or removed, and a line of a journal is written in part.
        after_s: Seconds from its start.
        number: Signal.
        to_all: Send it to the processes that this one has started, too, as schedulers do.
    """

    at_event: int = 0
    after_s: float = 0.0
    number: int = signal.SIGKILL
    to_all: bool = False


@dataclass(frozen=True)
class End:
    """How a process ended: exit status, minus the signal that ended it, or 143 for SIGTERM; events and seconds."""

    code: int
    events: int
    seconds: float
    log: str


class _Fuse:
    """Counts events; ends the process at one of them."""

    def __init__(self, death: Death) -> None:
        self.death, self.count = death, 0

    def tick(self) -> None:
        self.count += 1
        if self.count == self.death.at_event:
            send = os.killpg if self.death.to_all else os.kill
            send(os.getpid(), self.death.number)

    def around(self, function: Callable[..., Any], folder: str = '') -> Callable[..., Any]:
        """Return a function of a path with an event before and after it, if the path lies in the folder."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if not _place(args[0], kwargs.get('dir_fd')).startswith(folder):
                return function(*args, **kwargs)
            self.tick()
            result = function(*args, **kwargs)
            self.tick()
            return result

        return call


def _place(path: Any, folder: int | None) -> str:
    """Return the place of a path, or of a number of an open file, that may be relative to an open folder."""
    if isinstance(path, int):
        return os.readlink(f'/proc/self/fd/{path}')
    return os.path.abspath(path) if folder is None else f'{_place(folder, None)}/{path}'


class _Stream(io.BufferedWriter):
    """A stream with events in the middle of its first writes, half of them on the disk."""

    def __init__(self, path: str, mode: str, fuse: _Fuse) -> None:
        super().__init__(io.FileIO(path, mode.replace('b', '')))
        self.fuse, self.left = fuse, _WRITES_PER_FILE

    def write(self, data: Any) -> int:
        if self.left <= 0:
            return super().write(data)
        self.left -= 1
        view = memoryview(data).cast('B')
        super().write(view[: len(view) // 2])
        self.flush()
        self.fuse.tick()
        super().write(view[len(view) // 2 :])
        return len(view)


class _HalfLines:
    """The open file of a journal, with an event in the middle of every line."""

    def __init__(self, file: Any, fuse: _Fuse) -> None:
        self.file, self.fuse = file, fuse

    def write(self, data: bytes) -> int:
        self.file.write(data[: len(data) // 2])
        self.fuse.tick()
        self.file.write(data[len(data) // 2 :])
        self.fuse.tick()
        return len(data)

    def close(self) -> None:
        self.file.close()


def _count_events(fuse: _Fuse, folder: str) -> None:
    """Make everything that the package writes into a folder pass the fuse."""
    from mmfas.datasets.journal import Journal
    from mmfas.utils import files

    for name in ('fsync', 'replace', 'unlink', 'remove', 'rmdir'):
        setattr(os, name, fuse.around(getattr(os, name), folder))
    write = fuse.around(lambda path, mode: _Stream(path, mode, fuse))

    def opened(path: Any, mode: str, **options: Any) -> Any:
        return open(path, mode, **options) if mode.startswith('r') else write(path, mode)

    files.open = opened  # type: ignore[attr-defined]
    enter = Journal.__enter__

    def entered(journal: Journal) -> Journal:
        enter(journal)
        journal._file = _HalfLines(journal._file, fuse)  # type: ignore[assignment]
        return journal

    Journal.__enter__ = entered  # type: ignore[method-assign]


def _stop(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _child(module: str, function: str, folder: str, log: str, death: Death) -> None:
    os.setsid()
    gc.freeze()  # collections need not look through everything that the server has imported
    signal.signal(signal.SIGTERM, _stop)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.path += [str(Path(__file__).parents[1] / name) for name in ('test_engine', 'test_datasets', '.')]
    import torch

    torch.set_num_threads(1)
    fuse = _Fuse(death)
    _count_events(fuse, folder)
    getattr(import_module(module), function)(Path(folder))
    sys.stdout.flush()
    Path(f'{log}.events').write_text(str(fuse.count))


def run_until(function: Callable[[Path], None], folder: Path, death: Death) -> End:
    """Call a function of a module with a folder, in a fresh process, and end that as is asked.

    Args:
        function: The function.
        folder: Its argument; the log goes beside it.
        death: When the process ends before its time.

    Returns:
        How it ended. Processes that it started may still be ending, see `remaining`.
    """
    log = folder.with_suffix('.log')
    log.unlink(missing_ok=True)
    arguments = (function.__module__, function.__name__, str(folder), str(log), death)
    process = warm_context().Process(target=_child, args=arguments)
    start = time.monotonic()
    process.start()
    process.join(death.after_s or 240)
    if death.after_s and process.exitcode is None:
        os.kill(process.pid, death.number)
    process.join(240)
    seconds = time.monotonic() - start
    text = log.read_text(errors='replace') if log.is_file() else ''
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f'{function.__name__} did not end: {text[-2000:]}')
    sessions.add(process.pid)
    events = Path(f'{log}.events')
    return End(process.exitcode, int(events.read_text()) if process.exitcode == 0 else 0, seconds, text)


#: Sessions that `run_until` has started.
sessions: set[int] = set()


def remaining(patience_s: float) -> list[str]:
    """Return the commands of processes that outlive the ones `run_until` has started, after some patience."""
    deadline = time.monotonic() + patience_s
    while (found := _processes_of(sessions)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _processes_of(wanted: set[int]) -> list[str]:
    found = []
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            state, _, _, session = (folder / 'stat').read_text().rpartition(')')[2].split()[:4]
            if int(session) in wanted and state != 'Z':
                found.append((folder / 'cmdline').read_text().replace('\0', ' '))
        except OSError:
            continue  # it has just ended
    return found
