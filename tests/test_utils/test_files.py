"""The one writer: complete files only, errors that name the file, and what killed processes leave is cleared."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from mmfas.datasets import MultiModalFaceDataset
from mmfas.datasets.transforms import LoadMultiModalImages
from mmfas.datasets.verification import verify_datasets
from mmfas.utils import files
from mmfas.utils.errors import FileError
from mmfas.utils.file_identity import FileIdentity
from mmfas.utils.files import (
    atomic_file,
    full_disk_named,
    is_leftover,
    open_file,
    remove_leftovers,
    write_atomically,
)

LARGE = {'weight': torch.zeros(100_000)}


def names(folder: Path) -> list[str]:
    """Everything in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file of this process may grow over 20 kB, which fails as a full disk does, in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    disk = tmp_path / 'disk'
    disk.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', str(disk)]
    if sys.platform != 'linux' or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip('mounting a small disk is not allowed here')
    yield disk
    subprocess.run(['umount', str(disk)], check=True)


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'a.txt'
    with atomic_file(path) as stream:
        stream.write(b'one ')
        assert not path.exists()
        (temporary,) = path.parent.iterdir()
        assert is_leftover(temporary.name)
        stream.write(b'two')
    assert path.read_bytes() == b'one two'
    write_atomically(path, 'drei und größer\n')
    assert path.read_bytes() == 'drei und größer\n'.encode()
    assert names(path.parent) == ['a.txt']


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, SystemExit])
def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / 'a.txt'
    write_atomically(path, 'old')
    with pytest.raises(error), atomic_file(path) as stream:
        stream.write(b'new')
        raise error
    assert path.read_text() == 'old'
    assert names(tmp_path) == ['a.txt']


def test_the_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / 'a', b'')
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'a').stat().st_mode) == 0o640


def test_links_are_followed_and_devices_stay(tmp_path: Path) -> None:
    (tmp_path / 'large').mkdir()
    write_atomically(tmp_path / 'large/a.txt', 'old')
    (tmp_path / 'link').symlink_to(tmp_path / 'large/a.txt')
    write_atomically(tmp_path / 'link', 'new')
    assert (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'large/a.txt').read_text() == 'new'
    (tmp_path / 'null').symlink_to('/dev/null')
    write_atomically(tmp_path / 'null', 'gone')
    assert stat.S_ISCHR(os.stat('/dev/null').st_mode)


def test_names_of_any_length(tmp_path: Path) -> None:
    for name in ('a' * 255, 'ü' * 127):
        write_atomically(tmp_path / name, name)
        assert (tmp_path / name).read_text(encoding='utf-8') == name


@pytest.mark.parametrize('by', ['write', 'torch.save'])
def test_a_full_disk_is_named(tmp_path: Path, little_room: None, by: str) -> None:
    path = tmp_path / 'a.pth'
    with pytest.raises(OSError, match=r"'.*a\.pth'$") as caught:
        write_large(path, by)
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(path)
    assert names(tmp_path) == []


def write_large(path: Path, by: str) -> None:
    """Write 400 kB."""
    if by == 'write':
        write_atomically(path, bytes(400_000))
        return
    with atomic_file(path) as stream:
        torch.save(LARGE, stream)


def test_a_real_full_disk_and_a_read_only_one_are_named(small_disk: Path) -> None:
    write_atomically(small_disk / 'kept.pth', b'kept')
    for by in ('write', 'torch.save'):
        with pytest.raises(OSError) as caught:
            write_large(small_disk / 'a.pth', by)
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(small_disk / 'a.pth'))
        assert names(small_disk) == ['kept.pth']
    subprocess.run(['mount', '-o', 'remount,ro', str(small_disk)], check=True)
    with pytest.raises(OSError) as caught:
        write_atomically(small_disk / 'kept.pth', b'new')
    assert (caught.value.errno, caught.value.filename) == (errno.EROFS, str(small_disk / 'kept.pth'))
    assert (small_disk / 'kept.pth').read_bytes() == b'kept'


@pytest.mark.parametrize('step', ['fsync', 'replace'])
def test_a_disk_that_fails_late_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(OSError) as caught:
        write_atomically(tmp_path / 'a.csv', b'x')
    assert (caught.value.errno, caught.value.filename) == (errno.EDQUOT, str(tmp_path / 'a.csv'))
    assert names(tmp_path) == []


def test_errors_of_other_libraries_get_the_folder(tmp_path: Path, little_room: None) -> None:
    with pytest.raises(OSError, match=f"'{tmp_path}'") as caught, full_disk_named(tmp_path):
        (tmp_path / 'log.json').write_bytes(bytes(400_000))
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path))
    with pytest.raises(OSError) as caught, full_disk_named(tmp_path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    assert caught.value.filename is None


def test_an_error_about_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="'there is none'"), atomic_file(tmp_path / 'a') as stream:
        stream.write(Path('there is none').read_bytes())
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        write_atomically(tmp_path, b'')
    assert names(tmp_path) == []


def test_what_stops_torch_while_it_saves_is_what_is_raised(tmp_path: Path) -> None:
    class Stopped:
        """A stream in whose writing somebody presses Ctrl-C."""

        def __init__(self, stream: BinaryIO) -> None:
            self.stream, self.left = stream, 3

        def write(self, data: bytes) -> int:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            return self.stream.write(data)

        def flush(self) -> None:
            self.stream.flush()

    with pytest.raises(KeyboardInterrupt), atomic_file(tmp_path / 'a.pth') as stream:
        torch.save(LARGE, Stopped(stream))
    assert names(tmp_path) == []


def leftover(folder: Path, *, process: int, machine: str = files._MACHINE, age_s: float = 0.0) -> Path:
    """Make a temporary file as a process would have left it."""
    path = folder / f'.epoch_3.pth.{machine}-{process}-0123abcd.part'
    path.write_bytes(b'half')
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_only_leftovers_without_a_writer_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen(['true'])
    ended.wait()
    dead = leftover(tmp_path, process=ended.pid)
    own = leftover(tmp_path, process=os.getpid())  # of an earlier process with this number
    alive = leftover(tmp_path, process=os.getppid())
    elsewhere = leftover(tmp_path, process=ended.pid, machine='00000000')
    long_ago = leftover(tmp_path, process=1, machine='11111111', age_s=3600)
    earlier = [tmp_path / '.epoch_3.pth.k3j_x9ab.part', tmp_path / '0051.jpg.partial']
    foreign = [tmp_path / 'thesis.part', tmp_path / '.profile', tmp_path / 'film.mkv.partial']
    for path in (*earlier, *foreign):
        path.write_bytes(b'')
    with atomic_file(tmp_path / 'live.pth', durable=False) as stream:
        assert remove_leftovers(tmp_path, of_data=True) == 5
        stream.write(b'whole')
    for path in (dead, own, long_ago, *earlier):
        assert not path.exists(), path
    assert all(path.exists() for path in (alive, elsewhere, *foreign, tmp_path / 'live.pth'))


@pytest.mark.parametrize('name', ['card.md', 'model.mmfas.pth', 'other.onnx'])
def test_any_command_removes_what_a_killed_one_left_beside_its_file(name: str, tmp_path: Path) -> None:
    ended = subprocess.Popen(['true'])
    ended.wait()
    dead, alive = leftover(tmp_path, process=ended.pid), leftover(tmp_path, process=os.getppid())
    (tmp_path / 'download.csv.partial').write_bytes(b'of another program')
    write_atomically(tmp_path / name, b'whole')
    assert not dead.exists()
    assert names(tmp_path) == sorted([alive.name, name, 'download.csv.partial'])


def test_folders_inside_are_looked_into_when_asked(tmp_path: Path) -> None:
    (tmp_path / 'a/b').mkdir(parents=True)
    path = tmp_path / 'a/b/0051.jpg.partial'
    path.write_bytes(b'')
    assert remove_leftovers(tmp_path, of_data=True) == 0
    assert remove_leftovers(tmp_path / 'none') == 0
    assert remove_leftovers(tmp_path, below=True) == 0
    assert remove_leftovers(tmp_path, below=True, of_data=True) == 1
    assert not path.exists()


@pytest.mark.parametrize('kind', ['pipe', '/dev/zero', '/dev/null', 'link to a pipe'])
def test_what_never_ends_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'link to a pipe').symlink_to(tmp_path / 'pipe')
    path = str(tmp_path / kind)
    with pytest.raises(FileError, match='pipe or a device; give a file'):
        open_file(path)
    for paths in ({'rgb': path}, {'npz': path}):
        sample = dict(img_paths=paths, modalities=('rgb',), sample_id='x', source_line='list.csv:2')
        with pytest.raises(ValueError, match=r'\(list.csv:2\): .*pipe or a device'):
            LoadMultiModalImages().transform(sample)


def test_a_pipe_in_a_list_is_one_problem_of_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'a.png')
    (tmp_path / 'list.csv').write_text('rgb,label,pai\na.png,1,live\n')
    assert FileIdentity(by_content=True).of(tmp_path / 'a.png') == FileIdentity().of(tmp_path / 'a.png')
    (problem,) = [
        p
        for p in verify_datasets({'train': [MultiModalFaceDataset('list.csv', data_root=str(tmp_path))]})
        if 'pipe' in str(p)
    ]
    assert 'list.csv:2' in str(problem)
