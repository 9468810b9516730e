"""Score tables and score files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmfas.evaluation import ScoreTable
from mmfas.evaluation.functional import AGGREGATES

from .tables import make_records, make_table

HEADER = 'sample_id,domain,subject,video,pai,label,score'
ROW = 'a.png,W,s1,v1,live,1,0.5'


def _write(path: Path, *lines: str) -> Path:
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return path


def test_csv_brings_back_every_bit(tmp_path: Path) -> None:
    records = make_records(60, 0)
    records[0]['score'] = 0.1 + 0.2
    records[1]['score'] = float(np.nextafter(0, 1))
    records[2].update(sample_id='odd, "name" ü.png', subject='')
    table = ScoreTable.from_records(records)
    table.to_csv(tmp_path / 'new' / 'scores.csv')
    again = ScoreTable.from_csv(tmp_path / 'new' / 'scores.csv')
    assert again.to_records() == table.to_records() == records
    assert (tmp_path / 'new' / 'scores.csv').read_text(encoding='utf-8').splitlines()[0] == HEADER
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['scores.csv']


def test_packed_files_are_the_same_scores_and_always_the_same_bytes(tmp_path: Path) -> None:
    table = ScoreTable.from_records(make_records(60, 0))
    first, second = tmp_path / 'scores.csv.gz', tmp_path / 'other.csv.gz'
    for path in (first, second):
        table.to_csv(path)
    table.to_csv(tmp_path / 'scores.csv')
    assert ScoreTable.from_csv(first).to_records() == table.to_records()
    assert gzip.decompress(first.read_bytes()) == (tmp_path / 'scores.csv').read_bytes()
    assert first.read_bytes() == second.read_bytes()  # neither time nor name inside
    assert int.from_bytes(first.read_bytes()[4:8], 'little') == 0


@pytest.mark.parametrize('damage', [lambda content: content[:-20], lambda content: b'sample_id,' + content])
def test_damaged_packed_files_are_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / 'scores.csv.gz'
    ScoreTable.from_records(make_records(60, 0)).to_csv(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r'scores\.csv\.gz is not a complete gzip file'):
        ScoreTable.from_csv(path)


def test_columns_may_come_in_any_order_with_more_beside_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = _write(
        tmp_path / 's.csv', '\ufeffscore,label,note,pai,video,subject,domain,sample_id', '.5,0,x,print,,,W,a'
    )
    known = {'sample_id': 'a', 'domain': 'W', 'subject': '', 'video': '', 'pai': 'print', 'label': 0, 'score': 0.5}
    assert ScoreTable.from_csv(path).to_records() == [{**known, 'note': 'x'}]


@pytest.mark.parametrize(
    ('lines', 'text'),
    [
        ([HEADER.replace(',pai', '')], 'line 1: column pai is missing'),
        ([], 'line 1: column sample_id is missing; .* got an empty file'),
        ([HEADER], 'has a header but no samples'),
        ([HEADER, ROW, 'b.png,W,s1,v1,live,1,nan'], "line 3, column score: expected a finite number, got 'nan'"),
        ([HEADER, 'b.png,W,s1,v1,live,1,1_000'], "line 2, column score: expected a finite number, got '1_000'"),
        ([HEADER, 'b.png,W,s1,v1,live,1,٠.٥'], "line 2, column score: expected a finite number, got '٠.٥'"),
        ([HEADER, 'b.png,W,s1,v1,live,1,1e999'], "line 2, column score: expected a finite number, got '1e999'"),
        ([f'{HEADER},score', f'{ROW},0.7'], 'line 1: column score is there more than once'),
        ([f'{HEADER},label', f'{ROW},0'], 'line 1: column label is there more than once'),
        ([HEADER, ROW, 'b\0.png,W,s1,v1,live,1,0.5'], r"line 3, column sample_id: 'b\\x00.png' holds the control"),
        ([HEADER, 'b.png,W\x07,s1,v1,live,1,0.5'], 'line 2, column domain: .* holds the control character'),
        ([HEADER, 'b.png,W,s1,v1,live,1,high'], "line 2, column score: expected a finite number, got 'high'"),
        (
            [HEADER, 'b.png,W,s1,v1,live,2,0.5'],
            r"line 2, column label: expected 0 \(spoof\) or 1 \(live\), got '2'",
        ),
        ([HEADER, ROW, ROW], "line 3, column sample_id: 'a.png' occurs before, in line 2"),
        ([HEADER, ',W,s1,v1,live,1,0.5'], 'line 2, column sample_id: expected a name'),
        ([HEADER, 'b.png,W,s1'], 'line 2, column video: the row ends before it'),
        ([HEADER, 'b,c.png,W,s1,v1,live,1,0.5'], 'line 2: more cells than the header has columns'),
        ([HEADER, 'b.png,W,s1,v1,print,1,0.5'], "sample 'b.png': pai must be 'live' for label 1"),
    ],
)
def test_wrong_files_are_named_with_line_and_column(tmp_path: Path, lines: list[str], text: str) -> None:
    path = tmp_path / 'bad.csv'
    path.write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')
    with pytest.raises(ValueError, match=f'bad.csv.*{text}'):
        ScoreTable.from_csv(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='none.csv does not exist'):
        ScoreTable.from_csv(tmp_path / 'none.csv')


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ({'score': float('nan')}, r"sample 'x': score must be finite, got nan \(1 of 1"),
        ({'label': 3}, "sample 'x': label must be 0"),
        ({'sample_id': 'x\0'}, 'sample_id: .* holds the control character'),
        ({'pai': 'live'}, "sample 'x': pai must be 'live' for label 1"),
    ],
)
def test_wrong_records_name_the_sample(change: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ScoreTable.from_records([{'sample_id': 'x', 'label': 0, 'score': 0.5, 'pai': 'print', **change}])


def test_records_without_required_keys_or_none_at_all() -> None:
    with pytest.raises(KeyError, match=r"record 1 lacks \['score'\]"):
        ScoreTable.from_records([{'sample_id': 'a', 'label': 1, 'score': 1}, {'sample_id': 'b', 'label': 1}])
    with pytest.raises(ValueError, match='at least one sample'):
        ScoreTable.from_records([])


def test_unknown_instruments_follow_the_label() -> None:
    rows = [{'sample_id': i, 'label': i % 2, 'score': 0.5, 'pai': p} for i, p in enumerate(['', 'unknown', None])]
    assert ScoreTable.from_records(rows).pai.tolist() == ['unknown', 'live', 'unknown']


def test_duplicates_need_permission_and_domains_keep_names_apart() -> None:
    row = {'sample_id': 'a', 'domain': 'W', 'label': 1, 'score': 0.5}
    with pytest.raises(ValueError, match="1 sample ids occur more than once, first 'a' of domain 'W'"):
        ScoreTable.from_records([row, row])
    assert len(ScoreTable.from_records([row, row], allow_duplicates=True)) == 2
    assert len(ScoreTable.from_records([row, {**row, 'domain': 'C'}])) == 2


def test_tables_are_read_only_and_own_their_data() -> None:
    table = make_table(20, 0)
    with pytest.raises(ValueError, match='read-only'):
        table.score[0] = 1.0
    score = np.full(20, 0.5)
    columns = {name: getattr(table, name) for name in ('sample_id', 'domain', 'subject', 'video', 'pai', 'label')}
    copy = ScoreTable(**columns, score=score)
    score[0] = 0.9
    assert copy.score[0] == 0.5
    with pytest.raises(ValueError, match=r'all have one shape \(N,\)'):
        ScoreTable(**columns, score=score[:-1])


def test_select_take_concat() -> None:
    table = ScoreTable.concat([make_table(40, 0, domain='C'), make_table(40, 1, domain='P')])
    assert table.num_live + table.num_spoof == len(table) == 80
    chosen = table.select(domain='P', pai=('live', 'print'))
    assert chosen.to_records() == [
        row for row in table.to_records() if row['domain'] == 'P' and row['pai'] in ('live', 'print')
    ]
    assert table.take([3, 1]).to_records() == [table.to_records()[3], table.to_records()[1]]
    assert table.select(label=0).pai_names == ('mask3d', 'print', 'replay')
    with pytest.raises(ValueError, match="no sample of the score table has {'domain': 'X'}"):
        table.select(domain='X')
    with pytest.raises(KeyError, match="no column 'domian'"):
        table.select(domian='C')
    with pytest.raises(ValueError, match='at least one score table'):
        ScoreTable.concat([])
    with pytest.raises(ValueError, match='occur more than once'):
        ScoreTable.concat([table, table])


@pytest.mark.parametrize('how', AGGREGATES)
@pytest.mark.parametrize('level', ['video', 'subject'])
def test_aggregation_equals_its_loop_in_any_order(level: str, how: str) -> None:
    table = make_table(200, 3)
    groups: dict[tuple[str, str], list[float]] = {}
    for row in table.to_records():
        groups.setdefault((f'W/{row[level]}', row['pai'] if level == 'subject' else ''), []).append(row['score'])
    reduced = table.aggregate(level, frame_reduction=how)
    expected = [float(getattr(np, how)(np.sort(scores))) for scores in groups.values()]
    assert reduced.score.tolist() == expected
    assert reduced.sample_id.tolist() == [f'{name}/{pai}' if pai else name for name, pai in groups]
    shuffled = table.take(np.random.default_rng(0).permutation(len(table))).aggregate(level, frame_reduction=how)
    assert dict(zip(shuffled.sample_id, shuffled.score)) == dict(zip(reduced.sample_id, reduced.score))


def test_videos_of_two_domains_stay_apart() -> None:
    table = ScoreTable.concat([make_table(20, 0, domain='C'), make_table(20, 1, domain='P')])
    assert len(table.aggregate('video')) == 8


def test_aggregation_refuses_unknown_levels_missing_ids_and_mixed_videos() -> None:
    table = make_table(20, 0)
    with pytest.raises(ValueError, match="level 'video' or 'subject', got 'clip'"):
        table.aggregate('clip')
    with pytest.raises(ValueError, match="frame_reduction must be one of mean, median, max, got 'min'"):
        table.aggregate('video', frame_reduction='min')
    rows = table.to_records()
    with pytest.raises(ValueError, match=r"sample 'W/00003.png' has no video id.*\(1 of 20 samples\)"):
        ScoreTable.from_records(
            [{**row, 'video': row['video'] if i != 3 else ''} for i, row in enumerate(rows)]
        ).aggregate('video')
    with pytest.raises(ValueError, match="video 'W/v0' mixes the labels 1 and 0"):
        ScoreTable.from_records([{**row, 'video': 'v0'} for row in rows]).aggregate('video')
