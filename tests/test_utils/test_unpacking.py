"""No packed file may fill the memory: score files and packed pictures are refused as checkpoints are."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from mmfas.cli.scores.eval import main as evaluate
from mmfas.datasets.image_files import read_image_bytes
from mmfas.datasets.packed_files import PackedBackend, index_path
from mmfas.evaluation.score_files import read_score_rows
from mmfas.utils.unpacking import UNPACKED_VARIABLE, inflate

HEAD = b'sample_id,domain,subject,video,pai,label,score\n'
ROWS = HEAD + b''.join(
    b'%d.png,C,,,%s,%d,0.%d\n' % (n, (b'print', b'live')[n % 2], n % 2, n + 1) for n in range(8)
)
MIB = 1 << 20


@pytest.fixture(autouse=True)
def one_mebibyte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(UNPACKED_VARIABLE, '1')


@pytest.mark.parametrize(
    'content',
    [
        HEAD + b'x' * (20 * MIB),  # one line without an end
        ROWS + b'\n' * (20 * MIB),
        HEAD + b'\n' * (20 * MIB) + ROWS,
        HEAD + b'"' + b',' * (20 * MIB),
    ],
)
def test_a_score_file_of_a_few_bytes_does_not_fill_the_memory(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'scores.csv.gz'
    path.write_bytes(gzip.compress(content))
    assert path.stat().st_size < MIB // 4
    tracemalloc.start()
    status = evaluate([str(path)])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert status == 2 and most < 16 * MIB
    assert f"'{path}' unpacks to more than 1,048,576 bytes; if it is sound, unpack it" in capsys.readouterr().err


def test_the_limit_can_be_raised_and_sound_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'scores.csv.gz'
    path.write_bytes(gzip.compress(ROWS + b'\n' * (2 * MIB)))
    with pytest.raises(ValueError, match='unpacks to more than'):
        read_score_rows(path)
    monkeypatch.setenv(UNPACKED_VARIABLE, '3')
    assert len(read_score_rows(path)) == 8
    monkeypatch.setenv(UNPACKED_VARIABLE, 'all')
    with pytest.raises(ValueError, match="must be a whole number of MiB, such as 1024, got 'all'"):
        read_score_rows(path)


def zip_of(folder: Path, content: bytes) -> Path:
    path = folder / 'faces.zip'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('a.png', content)
    return path


def test_a_picture_in_a_zip_does_not_fill_the_memory(tmp_path: Path) -> None:
    backend = PackedBackend(str(zip_of(tmp_path, bytes(30 * MIB))))
    with pytest.raises(ValueError, match=r"faces.zip': a.png would unpack [\d,]+ bytes to 31,457,280, .*zip -0"):
        read_image_bytes('a.png', backend)


@pytest.mark.parametrize('stated', [3, 999])
def test_a_zip_that_lies_about_its_sizes_is_refused(stated: int, tmp_path: Path) -> None:
    path = zip_of(tmp_path, b'twelve bytes')
    data = bytearray(path.read_bytes())
    at = data.rindex(b'PK\x01\x02')
    data[at + 24 : at + 28] = stated.to_bytes(4, 'little')
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf'a.png is damaged \(it does not unpack to {stated} bytes\)'):
        PackedBackend(str(path)).get('a.png')


def test_damage_of_packed_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='a.png is damaged'):
        inflate(zlib.compress(bytes(99), wbits=-15)[:5] + b'\xff' * 9, 99, 'a.png')
    path = zip_of(tmp_path, b'twelve bytes')
    data = bytearray(path.read_bytes())
    at = data.rindex(b'PK\x01\x02')
    data[at : at + 4] = b'odd!'
    path.write_bytes(data)
    with pytest.raises(ValueError, match='is a damaged zip'):
        PackedBackend(str(path))


@pytest.mark.parametrize(
    'index',
    [
        '{',
        '[]',
        '5',
        '{"size": 10240}',
        '{"size": 10240, "files": {"a": [1]}}',
        '{"size": 10240, "files": {"a": [-1, 5]}}',
        '{"size": 10240, "files": {"a": ["x", 5]}}',
        '[' * 100_000,
    ],
)
def test_a_damaged_index_is_refused(index: str, tmp_path: Path) -> None:
    path = tmp_path / 'faces.tar'
    path.write_bytes(bytes(10240))
    index_path(path).write_text(index)
    with pytest.raises(ValueError, match='is damaged .*; delete it, or run `mmfas data pack` again'):
        PackedBackend(str(path))


def test_a_place_behind_the_end_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / 'faces.tar'
    path.write_bytes(bytes(10240))
    index_path(path).write_text(json.dumps({'size': 10240, 'files': {'a': [0, 1 << 45]}}))
    with pytest.raises(ValueError, match='ends within a file'):
        PackedBackend(str(path)).get('a')
