"""Packs of the records of a study: written, read beside files of their own, and refused when damaged."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from mmfas.utils.runs import PACK, load_records, pack_study, read_run_record, write_run_record
from mmfas.utils.unpacking import UNPACKED_VARIABLE


def test_records_move_into_the_pack_and_newer_files_hold(tmp_path: Path) -> None:
    assert load_records(tmp_path / 'nowhere') == {}
    for number in (2, 1):
        write_run_record(tmp_path / f's{number}.json', dict(seed=number, auc=0.5))
    assert pack_study(tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == [PACK]
    assert list(load_records(tmp_path)) == ['s1.json', 's2.json']
    assert read_run_record(tmp_path / 's2.json', dict(seed=2)) == dict(seed=2, auc=0.5)
    assert read_run_record(tmp_path / 's2.json', dict(seed=3)) is None
    write_run_record(tmp_path / 's2.json', dict(seed=2, auc=0.75))
    assert load_records(tmp_path, '*2.json') == {'s2.json': dict(seed=2, auc=0.75)}
    assert pack_study(tmp_path) == 2
    before = (tmp_path / PACK).read_bytes()
    assert pack_study(tmp_path) == 2 and (tmp_path / PACK).read_bytes() == before


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'not packed', 'is not a pack of records'),
        (lzma.compress(b'{"file": "a.json", "record": {}}\n')[:-8], 'is not a pack of records'),
        (lzma.compress(b'\xff'), 'is not a pack of records'),
        (lzma.compress(b'{"file": "a.json"}\n'), 'line 1: expected a file name and a record'),
        (lzma.compress(b'{"file": "a.json", "record": {}}\nnull\n'), 'line 2 is not a record'),
        (lzma.compress(b' ' * (2 << 20)), f'unpacks to more than .* if it is sound, set {UNPACKED_VARIABLE}'),
    ],
)
def test_what_is_no_pack_is_named(
    content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(UNPACKED_VARIABLE, '1')
    (tmp_path / PACK).write_bytes(content)
    with pytest.raises(ValueError, match=f"{PACK}'.*{message}"):
        load_records(tmp_path)


def test_a_pack_of_an_earlier_version_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / 'records.jsonl').write_text('{"file": "a.json", "record": {}}\n')
    with pytest.raises(ValueError, match=r"records.jsonl' is a pack of an earlier version: compress it with `xz"):
        load_records(tmp_path)
