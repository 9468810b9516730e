"""Packs: the same numbers in few files, whoever packs them and how often."""

from __future__ import annotations

import errno
import hashlib
import json
import lzma
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_records import CURRENT, SMALL, add_record, scores
from filelock import FileLock

from mmfas.benchmark import packed_scores
from mmfas.benchmark.packed_scores import (
    LISTS,
    PackedScores,
    read_packed_scores,
    round_in_order,
    scores_path,
    write_lists,
)
from mmfas.benchmark.packing import pack_records, unpack_scores
from mmfas.benchmark.packs import pack_path, strip_scores
from mmfas.benchmark.plan import Cell
from mmfas.benchmark.record import rounded
from mmfas.benchmark.records import RecordError, finished, load_scores, read_records
from mmfas.benchmark.report import markdown_report
from mmfas.benchmark.tables import choose
from mmfas.cli.benchmark import main
from mmfas.evaluation import ScoreTable, evaluate_scores
from mmfas.utils import locks

CONCAT = 'concat_mini-vit_1xb32-12e_synthfas-cps2w'
BIG_MOE = 'big-moe_mini-vit_1xb32-12e_synthfas-cps2w'
CELLS = [Cell(CONCAT, 1, 'cps2w', 0), Cell(CONCAT, 1, 'cpw2s', 0), Cell(CONCAT, 2, 'cps2w_no-ir', 1)]


def add_all(folder: Path, cells: list[Cell], **changes: Any) -> None:
    for cell in cells:
        add_record(folder, cell, data=CURRENT, **changes)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_packed_records_and_single_ones_are_read_alike(tmp_path: Path) -> None:
    loose, packs = tmp_path / 'loose', tmp_path / 'packs'
    add_all(loose, [*CELLS, Cell(BIG_MOE, 1, 'cps2w', 0)])
    packed, conflicts = pack_records(loose, packs)
    assert not conflicts
    assert [(pack.method, pack.num_cells, pack.num_scored) for pack in packed] == [(BIG_MOE, 1, 1), (CONCAT, 3, 3)]
    assert len(list(packs.iterdir())) == 5  # two files per method and the lists
    lines = lzma.decompress(pack_path(packs, CONCAT).read_bytes()).splitlines()
    assert [json.loads(line)['split'] for line in lines] == ['cps2w', 'cpw2s', 'cps2w_no-ir']
    one, other = read_records(loose), read_records(packs)
    assert [strip_scores(record) for record in other] == one
    assert markdown_report(choose(one), [1, 2]) == markdown_report(choose(other), [1, 2])
    assert [
        strip_scores(record) for record in read_records([loose, packs])
    ] == one  # a cell that is there twice is one
    for record, single in zip(other, one, strict=True):
        dev, test = (load_scores(packs, record, name) for name in ('dev', 'test'))
        whole = load_scores(loose, single)
        assert test.to_records() == [
            {**row, 'score': float(np.float32(row['score']))} for row in whole.to_records()
        ]
        found = rounded(evaluate_scores(test, dev=dev, num_bootstrap=0).to_dict())
        assert found['hter'] == single.report['hter'] and found['auc'] == single.report['auc']
        assert found['apcer'] == single.report['apcer']


def test_every_list_of_samples_is_kept_once_for_all_methods(tmp_path: Path) -> None:
    add_all(tmp_path / 'loose', [*CELLS, Cell(BIG_MOE, 1, 'cps2w', 0)])
    pack_records(tmp_path / 'loose', tmp_path)
    with np.load(scores_path(tmp_path, CONCAT)) as arrays:
        assert all(name.startswith('scores/') for name in arrays.files)
        assert {arrays[name].dtype for name in arrays.files} == {np.dtype('float32')}
    before = (tmp_path / LISTS).read_bytes()
    with np.load(tmp_path / LISTS) as arrays:
        assert len(arrays.files) == 2  # of dev and of test
    pack_records(tmp_path / 'loose', tmp_path, [BIG_MOE], keep_scores='none')
    assert (tmp_path / LISTS).read_bytes() == before  # the other method needs them
    pack_records(tmp_path / 'loose', tmp_path, keep_scores='none')
    assert not (tmp_path / LISTS).exists() and not scores_path(tmp_path, CONCAT).exists()


def test_scores_of_one_seed_are_kept_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_all(tmp_path / 'loose', [*CELLS, replace(CELLS[0], seed=1)])
    call = ['pack', '--records', str(tmp_path / 'loose'), '--out', str(tmp_path / 'packs')]
    assert main([*call, '--scores', 'first-seed']) == 0
    assert '4 cells, scores of 2 kept' in capsys.readouterr().out
    records = read_records(tmp_path / 'packs')
    assert {record.cell for record in records if record.has_scores} == set(CELLS[:2])
    before = contents(tmp_path / 'packs')
    assert main([*call, '--scores', 'first-seed']) == 0
    assert contents(tmp_path / 'packs') == before
    assert main(call) == 0  # the loose ones still have theirs
    assert all(record.has_scores for record in read_records(tmp_path / 'packs'))


def test_a_full_disk_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device', str(path))

    monkeypatch.setattr(packed_scores, 'write_atomically', full)
    with pytest.raises(RecordError, match=LISTS) as caught:
        write_lists(tmp_path, {'0': b'sample_id\na\n'}, [])
    assert 'damaged' not in str(caught.value)


def test_unknown_choices_of_scores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep_scores must be one of .*got 'first'"):
        pack_records(tmp_path, tmp_path, keep_scores='first')


@pytest.mark.parametrize(
    'values',
    [
        [0.5, 0.5 + 1e-12, 0.25],
        [1.0, 1 - 1e-12, 1 - 2e-12, 1 - 3e-12, 0.0, 1e-50],
        [0.1, 0.1, 0.7],
        [],
    ],
    ids=['close', 'at the ends', 'equal', 'none'],
)
def test_rounded_scores_keep_their_order(values: list[float]) -> None:
    scores = np.array(values)
    rounded = round_in_order(scores)
    assert rounded.dtype == np.float32 and np.all((rounded >= 0) & (rounded <= 1))
    assert np.allclose(rounded, scores, rtol=0, atol=2**-21)
    order = np.sign(np.subtract.outer(scores, scores))
    assert np.array_equal(order, np.sign(np.subtract.outer(rounded, rounded)))


def test_rounding_many_scores_keeps_their_order() -> None:
    scores = 1 - np.random.default_rng(0).random(2000) ** 8
    rounded = round_in_order(scores)
    assert np.array_equal(np.argsort(scores, kind='stable'), np.argsort(rounded, kind='stable'))
    assert len(np.unique(rounded)) == len(np.unique(scores)) and rounded.max() <= 1


def test_packing_again_changes_nothing_and_gives_the_same_bytes_elsewhere(tmp_path: Path) -> None:
    loose, packs = tmp_path / 'loose', tmp_path / 'packs'
    add_all(loose, CELLS)
    pack_records(loose, packs)
    before = contents(packs)
    times = {path: path.stat().st_mtime_ns for path in packs.iterdir()}
    for folders in (loose, tmp_path / 'nothing'):
        packed, _ = pack_records(folders, packs)
        assert not packed[0].changed
    assert times == {path: path.stat().st_mtime_ns for path in packs.iterdir()}
    pack_records(packs, tmp_path / 'copy')  # from a pack alone
    assert contents(tmp_path / 'copy') == before


def test_cells_of_many_machines_come_together_in_any_order(tmp_path: Path) -> None:
    for number, cell in enumerate(CELLS):
        add_all(tmp_path / f'machine{number}', [cell])
    folders = [tmp_path / f'machine{number}' for number in range(3)]
    pack_records(folders, tmp_path / 'at_once')
    pack_records(folders[2], tmp_path / 'one_by_one')
    pack_records(folders[0], tmp_path / 'other')  # a pack of another machine
    pack_records([folders[1], tmp_path / 'other'], tmp_path / 'one_by_one')
    assert contents(tmp_path / 'one_by_one') == contents(tmp_path / 'at_once')
    assert len(read_records(tmp_path / 'at_once')) == 3


def test_records_that_differ_are_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_all(tmp_path / 'a', CELLS)
    add_all(tmp_path / 'b', CELLS[:2], epoch=11)
    call = ['pack', '--records', str(tmp_path / 'a'), '--records', str(tmp_path / 'b'), '--out']
    assert main([*call, str(tmp_path / 'packs')]) == 1
    printed = capsys.readouterr()
    assert [line.split(': ')[0] for line in printed.out.splitlines()] == [f'{CONCAT} {c.name}' for c in CELLS[:2]]
    assert '2 cells have two records that differ' in printed.err and 'Delete the one' in printed.err
    assert not (tmp_path / 'packs').exists()
    with pytest.raises(RecordError, match=r'p1_cps2w_s0: .*a/.* and .*b/.* have different records of it'):
        read_records([tmp_path / 'a', tmp_path / 'b'])


def test_a_record_that_adds_the_scoring_of_the_papers_takes_the_place_of_the_other(tmp_path: Path) -> None:
    paper = {'epoch': 1, 'hter': 0.25, 'auc': 0.75, 'every_epoch': [{'hter': 0.25, 'auc': 0.75}]}
    add_all(tmp_path / 'a', CELLS[:1])
    pack_records(tmp_path / 'a', tmp_path / 'packs')
    identity = read_records(tmp_path / 'packs')[0].identity
    assert finished(tmp_path / 'packs', identity, CELLS[0], with_paper=False) is not None
    assert finished(tmp_path / 'packs', identity, CELLS[0], with_paper=True) is None
    add_all(tmp_path / 'b', CELLS[:1], paper=paper, seconds={'train': 1, 'score': 1})
    for _ in range(2):
        _, conflicts = pack_records([tmp_path / 'b', tmp_path / 'a'], tmp_path / 'packs')
        assert not conflicts
        (record,) = read_records(tmp_path / 'packs')
        assert record.paper == paper and record.has_scores
    assert finished(tmp_path / 'packs', identity, CELLS[0], with_paper=True) == record
    assert finished(tmp_path / 'packs', replace(identity, select='dev'), CELLS[0], with_paper=False) is None


def test_of_superseded_data_the_hash_of_the_scores_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loose, packs = tmp_path / 'loose', tmp_path / 'packs'
    single = add_record(loose, CELLS[0], data=SMALL)
    assert main(['pack', '--records', str(loose), '--out', str(packs)]) == 0
    assert '1 cells, no scores kept' in capsys.readouterr().out
    assert [path.name for path in packs.iterdir()] == [f'{CONCAT}.jsonl.xz']
    (record,) = read_records(packs)
    assert strip_scores(record) == single and not record.has_scores
    assert record.scores['test']['sha256'] == single.scores['test']['sha256']
    with pytest.raises(RecordError, match=r'the test scores of .* p1_cps2w_s0 were not kept'):
        load_scores(packs, record)
    assert load_scores([packs, loose], record).to_records() == load_scores(loose, single).to_records()
    out = tmp_path / 'report'
    assert main(['report', '--records', str(packs), '--protocols', '1', '--out', str(out)]) == 0
    page = (out / 'report.html').read_text(encoding='utf-8')
    assert '<img' not in page and 'The scores of 1 cells were not kept' in page
    assert main(['unpack', '--records', str(packs), '--out', str(out)]) == 1


@pytest.mark.parametrize(('many', 'dtype'), [(False, 'float32'), (True, 'float64')], ids=['two', 'many'])
def test_scores_that_float32_would_make_equal_keep_their_order(tmp_path: Path, many: bool, dtype: str) -> None:
    test = scores('test', 1)
    live, spoof = np.flatnonzero(test.is_live)[0], np.flatnonzero(~test.is_live)[0]
    values = test.score.copy()
    values[spoof], values[live] = 0.5, 0.5 + 1e-12  # one step of float64 above, the same in float32
    if many:  # so close that float32 has no room for all of them without moving the threshold of EER
        values = 1 - 1e-12 * np.argsort(np.argsort(-values, kind='stable'), kind='stable')
    close = replace(test, score=values)
    single = add_record(tmp_path / 'loose', CELLS[0], data=CURRENT, test_scores=close)
    pack_records(tmp_path / 'loose', tmp_path / 'packs')
    (record,) = read_records(tmp_path / 'packs')
    kept = [read_packed_scores(tmp_path / 'packs', record, name).values.dtype for name in ('dev', 'test')]
    assert kept == [np.dtype(dtype)] * 2
    found = load_scores(tmp_path / 'packs', record)
    assert np.allclose(found.score, values, rtol=0, atol=0 if many else 2**-23)
    dev = load_scores(tmp_path / 'packs', record, 'dev')
    assert rounded(evaluate_scores(found, dev=dev, num_bootstrap=0).to_dict()['auc']) == single.report['auc']


def test_packed_scores_are_held_to_what_was_packed(tmp_path: Path) -> None:
    add_all(tmp_path / 'loose', CELLS[:1])
    pack_records(tmp_path / 'loose', tmp_path)
    (record,) = read_records(tmp_path)
    path = scores_path(tmp_path, CONCAT)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        start = next(i.header_offset for i in file.infolist() if i.filename.endswith('.test.npy'))
    flipped = bytearray(whole)
    flipped[start + 120] ^= 1  # among its packed scores
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    name = next(name for name in arrays if name.endswith('.test'))
    np.savez(path, **{**arrays, name: arrays[name][::-1]})
    with pytest.raises(
        RecordError, match=r'scores.npz., p1_cps2w_s0: the test scores are not those that were packed'
    ):
        load_scores(tmp_path, record)
    np.savez(path, **{key: value for key, value in arrays.items() if key != name})
    with pytest.raises(RecordError, match='damaged'):
        load_scores(tmp_path, record)
    for damaged in (whole[: len(whole) // 2], b'', bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(RecordError, match=f'{path.name}.*damaged.*restore it from version control'):
            load_scores(tmp_path, record)
    path.unlink()
    with pytest.raises(RecordError, match='is missing'):
        load_scores(tmp_path, record)


def test_broken_lines_are_named(tmp_path: Path) -> None:
    add_all(tmp_path / 'loose', CELLS)
    pack_records(tmp_path / 'loose', tmp_path)
    path = pack_path(tmp_path, CONCAT)
    lines = lzma.decompress(path.read_bytes()).decode().splitlines()
    for changed, message in (
        ([lines[0], lines[1].replace('"hter":{"value":', '"hter":{"value":7')], r'line 2, is a broken record'),
        ([lines[0], ''], r'line 2, is a broken record'),
        ([lines[0], lines[0]], r'line 2, is of a cell that a line before it is of, p1_cps2w_s0'),
        ([lines[0].replace(f'"method":"{CONCAT}"', '"method":"other"')], r'line 1, is a record of other'),
    ):
        path.write_bytes(lzma.compress('\n'.join([*changed, '']).encode()))
        with pytest.raises(RecordError, match=message) as caught:
            read_records(tmp_path)
        assert str(path) in str(caught.value)


def test_unpacked_scores_are_score_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_all(tmp_path / 'loose', [*CELLS, Cell(BIG_MOE, 1, 'cps2w', 0)])
    pack_records(tmp_path / 'loose', tmp_path / 'packs')
    call = ['unpack', CONCAT, '--records', str(tmp_path / 'packs'), '--out', str(tmp_path / 'scores')]
    assert main(call) == 0
    assert '6 score files' in capsys.readouterr().out
    written = sorted((tmp_path / 'scores').rglob('*.csv.gz'))
    assert len(written) == 6 and {path.parent.name for path in written} == {CONCAT}
    assert len(ScoreTable.from_csv(written[0])) == 36
    assert len(unpack_scores(tmp_path / 'packs', tmp_path / 'all')) == 8


def test_a_packed_table_comes_back_with_commas_and_repeats() -> None:
    rows = [
        dict(sample_id='a,"b"\n', domain='é', pai='live', label=1, score=1 / 3),
        dict(sample_id='a', domain='', subject='s', video='v', pai='print', label=0, score=1e-30),
        dict(sample_id='a', domain='', subject='s', video='v', pai='print', label=0, score=0.25),
    ]
    table = ScoreTable.from_records(rows, allow_duplicates=True)
    assert PackedScores.of_table(table, np.float64).table().to_records() == table.to_records()
    short = replace(PackedScores.of_table(table), values=np.zeros(2, np.float32))
    with pytest.raises(ValueError, match='2 scores of 3 samples'):
        short.table()


def test_two_processes_do_not_pack_into_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, 'WAIT_S', 0.1)
    lock = FileLock(tmp_path / '.pack.lock', fallback_to_soft=False)
    with lock, pytest.raises(locks.BusyError, match='give another --out'):
        pack_records(tmp_path / 'records', tmp_path)
