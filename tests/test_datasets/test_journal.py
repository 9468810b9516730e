"""The journal of conversions and crops: what it keeps, how a killed run finds it, what it refuses."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mmfas.datasets.conversion.entry import Entry
from mmfas.datasets.conversion.report import Oddity
from mmfas.datasets.face_crop.outcome import Outcome
from mmfas.datasets.journal import Journal
from mmfas.utils.jobs import ChunkEntry

HEADER = {'data': 'own', 'size': 3}


def open_journal(path: Path, header: Mapping[str, Any] = HEADER) -> Journal[int]:
    """Return a journal of numbers."""
    return Journal(path, header, kind='count', encode=lambda n: {'n': n}, decode=lambda row: int(row['n']))


def test_lines_are_there_at_once_and_sorted_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / 'j.jsonl'
    with open_journal(path) as journal:
        journal.add('b', 2)
        journal.add('a', 1)
        head = '{"data": "own", "size": 3}\n'
        assert path.read_text() == head + '{"name": "b", "n": 2}\n{"name": "a", "n": 1}\n'
    assert path.read_text() == head + '{"name": "a", "n": 1}\n{"name": "b", "n": 2}\n'
    assert open_journal(path).entries == {'a': 1, 'b': 2}
    assert os.listdir(tmp_path) == ['j.jsonl']


@pytest.mark.parametrize('cut', [b'{"na', '{"name": "größ'.encode()[:-1], b'{"name": "c", "n": 3}'])
def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path: Path, cut: bytes) -> None:
    path = tmp_path / 'j.jsonl'
    path.write_bytes(b'{"data": "own", "size": 3}\n{"name": "a", "n": 1}\n{"name": "a", "n": 5}\n' + cut)
    with open_journal(path) as journal:
        assert journal.entries == {'a': 5}
    assert path.read_bytes() == b'{"data": "own", "size": 3}\n{"name": "a", "n": 5}\n'
    path.write_bytes(b'{"data": "o')
    assert open_journal(path).entries == {}


def test_another_header_is_refused_with_what_differs(tmp_path: Path) -> None:
    path = tmp_path / 'j.jsonl'
    with open_journal(path):
        pass
    with pytest.raises(
        ValueError, match=r"j\.jsonl' is of a count with data = 'own', size = 3, this one has 'x', 4"
    ):
        open_journal(path, {'data': 'x', 'size': 4})


@pytest.mark.parametrize('text', ['[]\n', '3\n', '{\n', '{}\n{"n": 1}\n', '{}\n{"name": "a"}\n', '{}\n{}}\n{}\n'])
def test_what_is_no_journal_is_named_with_the_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / 'j.jsonl').write_text(text)
    with pytest.raises(
        ValueError, match=r"j\.jsonl' is broken .*; delete it, and the same command does all again"
    ):
        open_journal(tmp_path / 'j.jsonl')


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    path = tmp_path / 'conversion_wmca.jsonl'
    path.write_text(
        '{"data": "WMCA", "version": 1}\n{"name": "a/b", "sha256": "ff", "num_files": 3, "num_bytes": 9, '
        '"oddities": [["size", "a/b/1.jpg", "is small"]]}\n'
    )
    before = path.read_bytes()
    header = {'data': 'WMCA', 'version': 1}
    with Journal(path, header, kind='conversion', encode=Entry.as_json, decode=Entry.of) as conversion:
        oddity = Oddity('size', 'a/b/1.jpg', 'is small')
        assert conversion.entries == {'a/b': Entry(ChunkEntry('ff', 3, 9), (oddity,))}
    assert path.read_bytes() == before

    path = tmp_path / 'crop_faces.jsonl'
    path.write_text(
        '{"size": 32}\n{"name": "rgb/a.png", "action": "cropped", "num_faces": 1, "score": 0.9, '
        '"square": [1.0, 2.0, 3.0, 0.0], "message": "", "policy": ["error", "error"], "stamp": [[5, 6]]}\n'
    )
    before = path.read_bytes()
    with Journal(path, {'size': 32}, kind='crop', encode=Outcome.as_json, decode=Outcome.of) as crops:
        (outcome,) = crops.entries.values()
        assert outcome.square == (1.0, 2.0, 3.0, 0.0)
        assert outcome.stamp == ((5, 6),)
    assert path.read_bytes() == before


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        """A file on a full disk."""

        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with open_journal(tmp_path / 'j.jsonl') as journal:
        assert journal._file is not None
        journal._file.close()
        journal._file = Full()
        with pytest.raises(OSError) as caught:
            journal.add('a', 1)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / 'j.jsonl'))


def test_entries_are_added_inside_with(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match='inside `with`'):
        open_journal(tmp_path / 'j.jsonl').add('a', 1)
