"""Nothing wrong in a record passes: its values are checked when it is read, its numbers computed again."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmark_records import CURRENT, SMALL, add_record

from mmfas.benchmark.packing import pack_records
from mmfas.benchmark.packs import pack_path
from mmfas.benchmark.plan import Cell
from mmfas.benchmark.recomputing import contradictions
from mmfas.benchmark.records import RecordError, read_record, read_records
from mmfas.benchmark.verifying import verify_record
from mmfas.cli.benchmark import main
from mmfas.evaluation import auc, eer

CONCAT = 'concat_mini-vit_1xb32-12e_synthfas-cps2w'
CELLS = [Cell(CONCAT, 1, 'cps2w', 0), Cell(CONCAT, 2, 'cps2w_no-ir', 1)]
NAN = float('nan')


def change(path: Path, key: str, value: Any) -> None:
    """Put a value into a record file; the last part of a key that ends in `!` is removed instead."""
    content = json.loads(path.read_text(encoding='utf-8'))
    place: Any = content
    *way, last = key.removesuffix('!').split('.')
    for name in way:
        place = place[int(name) if isinstance(place, list) else name]
    if key.endswith('!'):
        del place[last]
    else:
        place[last] = value
    path.write_text(json.dumps(content), encoding='utf-8')


def nested(depth: int) -> str:
    return '[' * depth + ']' * depth


def record_file(folder: Path) -> Path:
    return min((folder / CONCAT).glob('*.json'))


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('report.hter.value', 7.0, 'report.hter.value must be a number from 0 to 1, got 7.0'),
        ('report.hter.value', NAN, 'report.hter.value must be a number from 0 to 1, got NaN'),
        ('report.hter.value', None, 'got null'),
        ('report.hter.value', 'x', 'got "x"'),
        ('report.hter.value', True, 'got true'),
        ('report.hter', {}, 'value missing in its report.hter'),
        ('report.hter', -3, 'report.hter must be a mapping, got -3'),
        ('report.hter.low', 0.9, 'report.hter.low must be at most its high'),
        (
            'report.acer_max_interval',
            {'low': 0.5, 'high': 0.4},
            'report.acer_max_interval.low must be at most its',
        ),
        ('report.auc.value', float('inf'), 'got Infinity'),
        ('report.auc.value', 10**400, 'report.auc.value must be a number from 0 to 1, got 1000'),
        ('report.acer_max', 1.5, 'report.acer_max must be a number from 0 to 1'),
        ('report.threshold.value', '0.5', 'report.threshold.value must be a finite number, got "0.5"'),
        ('report.threshold.origin!', None, 'origin missing in its report.threshold'),
        ('report.apcer.print.errors', 13, 'report.apcer.print.errors must be at most its total, 12, got 13'),
        ('report.apcer_max.pai', 3, 'report.apcer_max.pai must be text'),
        ('report.bpcer.total', 0, 'report.bpcer.total must be a whole number, 1 or more'),
        ('report.num_live', 2.5, 'report.num_live must be a whole number'),
        ('report.oracle.tpr_at_fpr.0.value', 2, r'report.oracle.tpr_at_fpr\[0\].value must be'),
        ('report.notes', 'text', 'report.notes must be a list'),
        ('report.something_else', [{'a': NAN}], r'report.something_else\[0\].a must be a finite number'),
        ('method', 5, 'method must be a name without slashes, got 5'),
        ('method', '../x', 'method must be a name without slashes'),
        ('scores.test.file', 'a/b', 'scores.test.file must be a name without slashes'),
        ('scores.test.sha256', 'abc', 'scores.test.sha256 must be 64 hexadecimal digits'),
        ('split', 'cw2ps', 'split must be one of "cps2w"'),
        ('protocol', 4, 'protocol must be one of 1, 2, "2s", 3'),
        ('protocol', [1], r'protocol must be one of 1, 2, "2s", 3, got \[1\]'),
        ('seed', -1, 'seed must be a whole number, 0 or more'),
        ('seed', 1.0, 'seed must be a whole number'),
        ('epoch', 13, 'epoch must be at most max_epochs, 12'),
        ('dirty', 'no', 'dirty must be true or false'),
        ('data.name!', None, 'name missing in its data'),
        ('seconds.train', -1, 'seconds.train must be a number, 0 or more'),
        ('seconds.score', 10**400, 'seconds.score must be a number, 0 or more, got 1000'),
        ('device', '\ud800', 'is not text: it holds half of a character'),
        ('options.\ud800', 1, 'is not text: it holds half of a character'),
        ('versions', None, 'versions must be a mapping, got null'),
        ('paper', {'hter': 0.1, 'auc': 2}, 'paper.auc must be'),
        (
            'paper',
            {'hter': 0.1, 'auc': 1, 'every_epoch': [{'hter': 0.1}]},
            r'auc missing in its paper.every_epoch\[0\]',
        ),
        ('device!', None, 'device missing'),
        ('extra', 1, "'extra' is not a key of records"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: Any, message: str
) -> None:
    add_record(tmp_path, CELLS[0], num_bootstrap=20)
    path = record_file(tmp_path)
    change(path, key, value)
    with pytest.raises(RecordError, match=f'is a broken record .*{message}') as caught:
        read_record(path)
    assert str(path) in str(caught.value) and 'restore it from version control' in str(caught.value)
    for command in ('report', 'verify', 'pack'):
        out = ['--out', str(tmp_path / 'out')] if command != 'verify' else []
        assert main([command, '--records', str(tmp_path), *out]) == 1
        assert str(path) in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda text: text.replace('"seed": 0', '"seed": 0, "seed": 0', 1), "the key 'seed' is there twice"),
        (lambda text: '[' * 100_000, 'nested too deep|recursion'),
        (lambda text: text.replace('"options": {}', f'"options": {{"a": {nested(400)}}}'), 'more than 50 levels'),
        (lambda text: text.replace('"method": "', f'"method": {nested(900)}, "x": "'), 'more than 50 levels'),
        (lambda text: text.replace('"format": 1', '"format": 1.0'), 'another format than 1, got 1.0;'),
        (lambda text: text.replace('"format": 1', '"format": true'), 'another format than 1, got true;'),
        (lambda text: text.replace('"epoch": 12', f'"epoch": {"9" * 6000}'), 'is a broken record'),
        (lambda text: 'null', 'format missing'),
    ],
)
def test_a_text_that_is_no_plain_json_is_named(tmp_path: Path, damage: Callable[[str], str], message: str) -> None:
    add_record(tmp_path, CELLS[0])
    path = record_file(tmp_path)
    path.write_text(damage(path.read_text(encoding='utf-8')), encoding='utf-8')
    with pytest.raises(RecordError, match=message):
        read_records(tmp_path)
    path.write_bytes(b'\xff\xfe')
    with pytest.raises(RecordError, match='not UTF-8'):
        read_records(tmp_path)


def test_numbers_are_computed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for cell in CELLS:
        add_record(tmp_path / 'loose', cell, data=CURRENT, num_bootstrap=200)
    pack_records(tmp_path / 'loose', tmp_path / 'packs')
    for folder in ('loose', 'packs'):
        assert main(['verify', '--records', str(tmp_path / folder)]) == 0
        rows = [line.split() for line in capsys.readouterr().out.splitlines() if CONCAT in line]
        assert [row[3::2] for row in rows] == [['2', '2', '0', '0']]


@pytest.mark.parametrize('packed', [False, True], ids=['single', 'packed'])
@pytest.mark.parametrize(
    ('key', 'shift'),
    [
        ('report.hter.value', 0.01),
        ('report.hter.high', 1e-6),
        ('report.auc.value', -1e-6),
        ('report.acer_pooled', 0.01),
        ('report.num_live', 1),
        ('report.threshold.value', 1e-5),
        ('report.bpcer.errors', 1),
        ('report.apcer.print.value', 0.01),
        ('report.oracle.eer.value', 0.001),
        ('report.oracle.bpcer_at_apcer.1.errors', -1),
    ],
)
def test_a_changed_number_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, shift: float, packed: bool
) -> None:
    for cell in CELLS:
        add_record(tmp_path / 'loose', cell, data=CURRENT, num_bootstrap=200)
    path = record_file(tmp_path / 'loose')
    value: Any = json.loads(path.read_text(encoding='utf-8'))
    for name in key.split('.'):
        value = value[int(name) if isinstance(value, list) else name]
    change(path, key, value + shift)
    folder = tmp_path / 'loose'
    if packed:
        folder = tmp_path / 'packs'
        pack_records(tmp_path / 'loose', folder)
    assert main(['verify', '--records', str(folder)]) == 1
    text = capsys.readouterr().out
    assert f'{CONCAT} p1_cps2w_s0: ' in text and key.split('.')[1] in text
    assert 'p2_cps2w_no-ir_s1: ' not in text
    assert [line.split()[3::2] for line in text.splitlines() if line.startswith('| all')] == [['2', '1', '0', '1']]


def test_cells_without_scores_are_never_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for cell in CELLS:
        add_record(tmp_path / 'loose', cell, data=SMALL, num_bootstrap=200)
    pack_records(tmp_path / 'loose', tmp_path)
    assert main(['verify', '--records', str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert [line.split()[3::2] for line in text.splitlines() if line.startswith('| all')] == [['2', '0', '2', '0']]
    assert '2 cells cannot be recomputed' in text
    path = pack_path(tmp_path, CONCAT)
    lines = lzma.decompress(path.read_bytes()).decode().splitlines()
    content = json.loads(lines[0])
    content['report']['apcer']['print']['errors'] += 1
    content['report']['hter']['value'] += 0.01
    path.write_bytes(lzma.compress('\n'.join([json.dumps(content), lines[1], '']).encode()))
    assert main(['verify', '--records', str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert 'report.apcer.print.value: recorded' in text and 'report.hter: recorded' in text
    assert [line.split()[3::2] for line in text.splitlines() if line.startswith('| all')] == [['2', '0', '1', '1']]


@pytest.mark.parametrize(
    ('key', 'value', 'found'),
    [
        ('auc.value', 0.01, 'report.auc.value: recorded 0.01, outside of its interval from'),
        ('auc.low', 0.9999, 'outside of its interval from 0.9999'),
        ('num_live', 99, 'report.num_live: recorded 99, but 12 were judged'),
        ('num_spoof', 1, 'report.num_spoof: recorded 1, but 24 were judged'),
        ('apcer.print.total', 24, 'report.apcer_pooled.total: recorded 24, but its instruments make 36'),
        ('apcer_max.pai', 'print', 'report.apcer_max: recorded'),
        ('acer_max', 0.999, 'report.acer_max: recorded 0.999'),
    ],
)
def test_numbers_that_contradict_each_other_are_found_without_scores(
    tmp_path: Path, key: str, value: Any, found: str
) -> None:
    record = add_record(tmp_path, CELLS[0], num_bootstrap=200)
    assert list(contradictions(record)) == []
    path = record_file(tmp_path)
    change(path, 'report.auc.high', 1.0)
    change(path, f'report.{key}', value)
    assert any(found in line for line in contradictions(read_record(path)))


def test_scores_that_are_missing_or_others_are_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_record(tmp_path, CELLS[0])
    path = min((tmp_path / CONCAT).glob('*.test.csv.gz'))
    path.unlink()
    assert main(['verify', '--records', str(tmp_path)]) == 1
    assert f"score file '{path}' is missing" in capsys.readouterr().out
    assert main(['verify', '--records', str(tmp_path / 'nothing')]) == 1
    assert 'holds no record' in capsys.readouterr().err


def test_the_scoring_of_the_papers_is_checked_as_far_as_there_are_scores(tmp_path: Path) -> None:
    test = add_scores(tmp_path)
    last = {'hter': eer(test.score, test.is_live).value, 'auc': auc(test.score, test.is_live)}
    first = {'hter': last['hter'] + 0.1, 'auc': 0.5}
    right = {**last, 'epoch': 2, 'every_epoch': [first, last]}
    for paper, found in (
        (right, []),
        ({**right, 'epoch': 1}, ['paper.epoch']),
        ({**right, 'hter': last['hter'] + 0.01}, ['paper.hter']),
        ({**right, **first, 'every_epoch': [first, {**last, 'hter': 0.0}]}, None),
    ):
        record = add_record(tmp_path, CELLS[0], paper=paper, epoch=2)
        problems = verify_record(tmp_path, record).problems
        assert [text.split(':')[0] for text in problems] == found if found is not None else len(problems) >= 2


def add_scores(folder: Path) -> Any:
    """Return the test scores that the record of the first cell has."""
    from mmfas.benchmark.records import load_scores

    return load_scores(folder, add_record(folder, CELLS[0]))
