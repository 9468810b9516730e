"""Another process that works in a folder, for tests of what happens to a second one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def another_process_in(folder: Path, name: str = '.lock') -> Iterator[subprocess.Popen]:
    """Let another process hold the lock of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = f'lock = filelock.FileLock({str(folder / name)!r}); lock.acquire()'
    code = f'import filelock; {lock}; print("has it", flush=True); input()'
    with subprocess.Popen(
        [sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'has it\n'
        yield process
        process.kill()
