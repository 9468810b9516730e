"""One command per folder: the second is told, the lock ends with its process, leftovers go."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import pytest
from other_process import another_process_in

from mmfas.utils import locks
from mmfas.utils.locks import BusyError, lock_folder


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for locks."""
    monkeypatch.setattr(locks, 'WAIT_S', 0.0)


def test_the_second_process_gets_a_sentence(tmp_path: Path, impatient: None) -> None:
    with (
        another_process_in(tmp_path / 'w'),
        pytest.raises(BusyError, match=r"another process works in '.*w'; wait .* or give another --work-dir"),
        lock_folder(tmp_path / 'w', 'give another --work-dir'),
    ):
        raise AssertionError('the folder was not locked')


def test_work_of_another_kind_goes_on_beside(tmp_path: Path, impatient: None) -> None:
    with another_process_in(tmp_path, '.conversion_cefa.lock'), lock_folder(tmp_path, '', name='.b.lock'):
        assert sorted(os.listdir(tmp_path)) == ['.b.lock', '.conversion_cefa.lock']


def test_a_killed_process_blocks_nobody(tmp_path: Path) -> None:
    with another_process_in(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        with lock_folder(tmp_path, ''):
            assert os.listdir(tmp_path) == ['.lock']
    assert os.listdir(tmp_path) == []


def test_the_same_process_may_lock_again_and_leftovers_go(tmp_path: Path) -> None:
    (tmp_path / 'manifest.json.partial').write_bytes(b'{')
    with lock_folder(tmp_path, '', of_data=True):
        assert os.listdir(tmp_path) == ['.lock']
        with lock_folder(tmp_path, ''), lock_folder(tmp_path / '.', ''):
            pass
        assert os.listdir(tmp_path) == ['.lock']
    assert os.listdir(tmp_path) == []


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock_folder(tmp_path, ''):
        raise ZeroDivisionError
    with lock_folder(tmp_path, ''):
        pass


def test_a_forked_worker_neither_has_the_lock_nor_frees_it(tmp_path: Path, impatient: None) -> None:
    with lock_folder(tmp_path, ''):
        child = os.fork()
        if not child:
            try:
                with lock_folder(tmp_path, ''):
                    os._exit(1)
            except BusyError:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        code = f'import filelock; filelock.FileLock({str(tmp_path / ".lock")!r}).acquire(timeout=0)'
        done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
        assert 'Timeout' in done.stderr


def test_without_locks_in_the_file_system_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: filelock.FileLock, timeout: float) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(filelock.FileLock, 'acquire', fail)
    with (
        pytest.warns(UserWarning, match='has no locks .* start no second process in it'),
        lock_folder(tmp_path, ''),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: filelock.FileLock, timeout: float) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path / '.lock'))

    (tmp_path / 'file').write_bytes(b'')
    with pytest.raises(FileExistsError, match="'.*file'"), lock_folder(tmp_path / 'file', ''):
        pass
    monkeypatch.setattr(filelock.FileLock, 'acquire', fail)
    with pytest.raises(OSError) as caught, lock_folder(tmp_path, ''):
        pass
    assert (caught.value.errno, caught.value.filename) == (errno.EROFS, str(tmp_path))
