"""Temporary files of tests in memory, where the machine has room.

mmengine makes some files for every config that it reads, and a disk takes longer for these than the rest of many a
test.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

__all__ = ['clean_up', 'keep_files_in_memory']

MEMORY = Path('/dev/shm')
#: Bytes that must be free.
ROOM = 4 << 30
_PREFIX = 'mmfas_tests_'


def keep_files_in_memory() -> Path | None:
    """Let temporary files of this process, and of those that it starts, lie in a folder of its own in memory.

    Folders of processes that have been killed are removed first.

    Returns:
        The folder; None where somebody has chosen a place (`TMPDIR`) or there is no room.
    """
    if 'TMPDIR' in os.environ or not _has_room():
        return None
    for old in MEMORY.glob(f'{_PREFIX}*'):
        number = old.name.removeprefix(_PREFIX)
        if not (number.isdecimal() and Path('/proc', number).exists()):
            shutil.rmtree(old, ignore_errors=True)
    folder = MEMORY / f'{_PREFIX}{os.getpid()}'
    folder.mkdir(exist_ok=True)
    os.environ['TMPDIR'] = tempfile.tempdir = str(folder)
    return folder


def clean_up(folder: Path | None, *, is_passed: bool) -> None:
    """Remove the folder; that of tests that failed stays for a look, until the next tests begin."""
    if folder is not None and is_passed:
        shutil.rmtree(folder, ignore_errors=True)


def _has_room() -> bool:
    """Tell whether enough memory is free there, and programs may be started from it."""
    try:
        found = os.statvfs(MEMORY)
        lines = Path('/proc/meminfo').read_text(encoding='ascii').splitlines()
    except OSError:
        return False
    free = next((1024 * int(line.split()[1]) for line in lines if line.startswith('MemAvailable:')), 0)
    can_start = os.access(MEMORY, os.W_OK) and not found.f_flag & os.ST_NOEXEC
    return can_start and min(free, found.f_bavail * found.f_frsize) >= ROOM
