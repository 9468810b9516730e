"""Hidden folders are no data, wherever folders are looked through."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmfas.datasets.conversion.frame_folders import walk_recordings
from mmfas.datasets.conversion.padisi import _find_archives
from mmfas.datasets.conversion.wmca import _find_files
from mmfas.datasets.face_crop.samples import read_crop_samples, tasks_of
from mmfas.utils.folders import is_hidden, visible_entries, visible_files, walk_visible

HIDDEN = ('.ipynb_checkpoints', '.thumbnails', '.Trash-1000', '__MACOSX', '@eaDir', '$RECYCLE.BIN', 'lost+found')


def touch(path: Path) -> Path:
    """Write an empty file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize('name', [*HIDDEN, '.DS_Store', '._a.png', 'Thumbs.db', 'desktop.ini', '.'])
def test_hidden_names(name: str) -> None:
    assert is_hidden(name)


@pytest.mark.parametrize('name', ['a.png', 'a.b', '_a', 'macosx', 'faces.thumbnails', 'a~'])
def test_names_of_data(name: str) -> None:
    assert not is_hidden(name)


@pytest.mark.parametrize('hidden', HIDDEN)
@pytest.mark.parametrize('depth', ['', 'day1/'])
def test_folder_of_pictures(tmp_path: Path, hidden: str, depth: str) -> None:
    root = tmp_path / '.cache' / 'photos'  # hidden above the folder that was named
    for place in (f'{depth}e.png', f'{hidden}/e.png', f'{depth}{hidden}/deeper/f.png', '.DS_Store', 'Thumbs.db'):
        touch(root / 'rgb' / place)
    records, _ = read_crop_samples(root, label=1)
    assert [record['img_paths'] for record in records] == [{'rgb': f'rgb/{depth}e.png'}]
    assert [path.name for path in visible_entries(root)] == ['rgb']


def test_converters(tmp_path: Path) -> None:
    for place in ('EA/EA-001/1_001_1_1_1', '.thumbnails/EA/EA-001/1_001_1_1_1', 'EA/__MACOSX/EA-002/1_002_1_1_1'):
        touch(tmp_path / 'cefa' / place / 'profile' / '0001.jpg')
    found, others = walk_recordings(tmp_path / 'cefa', {'profile'})
    assert [path.name for path in found] == ['1_001_1_1_1'] and not others

    for place in ('ID_1_abc_x.npz', '.old/ID_1_abc_x.npz', '._ID_1_def_x.npz', '__MACOSX/._ID_1_abc_x.npz'):
        touch(tmp_path / 'padisi' / place)
    archives, oddities = _find_archives(tmp_path / 'padisi')
    assert list(archives) == ['abc'] and not oddities

    for kind in ('RGB', 'CDIT'):
        for place in (f'{kind}/1/001_01.hdf5', f'.snapshot/{kind}/1/001_01.hdf5', f'{kind}/1/._002_01.hdf5'):
            touch(tmp_path / 'wmca' / place)
    files, oddities = _find_files(tmp_path / 'wmca')
    assert [list(of_kind) for of_kind in files.values()] == [['001_01'], ['001_01']] and not oddities


def test_linked_folders_are_visited_once_and_circles_end(tmp_path: Path) -> None:
    touch(tmp_path / 'b' / 'x.png')
    touch(tmp_path / 'elsewhere' / 'y.png')
    root = tmp_path / 'root'
    root.mkdir()
    (tmp_path / 'b').rename(root / 'b')
    (root / 'a').symlink_to('b')  # sorts first, but is the link
    (root / 'b' / 'up').symlink_to('..')
    (root / 'c').symlink_to(tmp_path / 'elsewhere')
    assert [path.relative_to(root).as_posix() for path in visible_files(root)] == ['b/x.png', 'c/y.png']
    assert [os.path.basename(place) for place, *_ in walk_visible(root)] == ['root', 'b', 'c']


@pytest.mark.skipif(os.geteuid() == 0, reason='root reads every folder')
def test_folders_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    (tmp_path / 'closed').mkdir(mode=0)
    with pytest.raises(PermissionError):
        visible_files(tmp_path)


def test_one_picture_twice_in_a_folder_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / 'rgb' / 'e.png')
    (tmp_path / 'rgb' / 'f.png').symlink_to('e.png')
    with pytest.raises(ValueError, match=r"rgb/e\.png' and '.*rgb/f\.png' are one file; remove one"):
        read_crop_samples(tmp_path, label=1)


def test_lists_may_spell_a_picture_in_several_ways(tmp_path: Path) -> None:
    root = tmp_path / 'real'
    touch(root / 'rgb' / 'e.png')
    (tmp_path / 'link').symlink_to('real')
    cv2.imwrite(str(root / 'rgb' / 'e.png'), np.zeros((4, 4, 3), np.uint8))
    paths = ['rgb/e.png', './rgb/e.png', str(root / 'rgb' / 'e.png'), 'rgb/../rgb/e.png']
    records = [dict(img_paths={'rgb': path}, label=1, source_line=f'x.csv:{at}') for at, path in enumerate(paths)]
    tasks = tasks_of(records, str(tmp_path / 'link'), tmp_path / 'out')
    assert {task.name for task in tasks} == {'rgb/e.png'}
    with pytest.raises(ValueError, match='is one of the pictures to crop'):
        tasks_of(records, str(tmp_path / 'link'), root)
