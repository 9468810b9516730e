"""Reading column by column is reading row by row: the same table, or the same complaint."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from mmfas.evaluation import ScoreTable, score_columns_file
from mmfas.evaluation.disjoint import check_disjoint
from mmfas.evaluation.score_columns_file import read_columns
from mmfas.evaluation.score_files import read_score_rows

from .tables import make_table

HEADER = 'sample_id,domain,subject,video,pai,label,score'
PLAIN = f'{HEADER}\na,C,s,v,live,1,0.5\nb,C,s,,print,0,1e-3\n'


def rows_of(path: Path) -> ScoreTable:
    return ScoreTable.from_records(read_score_rows(path))


@pytest.mark.parametrize('rows', [1, 2, 2**15])
@pytest.mark.parametrize(
    'text',
    [
        PLAIN,
        PLAIN.replace('\n', '\r\n'),
        '\ufeff' + PLAIN,
        'score,label,sex,pai,sample_id,subject,video,domain,reason\n'
        '.5,1,f,,a,unknown,,C,\n-2,0,,unknown,"b, ""c"" d",é,,,why\n1.,0,m,mask,x,s,v,S,\n',
    ],
)
def test_tables_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, rows: int) -> None:
    monkeypatch.setattr(score_columns_file, '_ROWS', rows)
    path = tmp_path / 'a.csv'
    path.write_bytes(text.encode())
    (tmp_path / 'a.csv.gz').write_bytes(gzip.compress(text.encode()))
    columns = read_columns(path)
    assert columns is not None
    expected = rows_of(path)
    for table in (ScoreTable(**columns), ScoreTable.from_csv(path), ScoreTable.from_csv(tmp_path / 'a.csv.gz')):
        assert table.to_records() == expected.to_records()
        for name in ('sample_id', 'pai', 'label', 'score', *expected.extra):
            assert table.column(name).dtype == expected.column(name).dtype


@pytest.mark.parametrize(
    ('cell', 'by'),
    [
        ('live,1,0.5', 'live,1,1_0'), ('live,1,0.5', 'live,1,nan'), ('live,1,0.5', 'live,1,'),
        ('live,1', 'live,2'),
        ('live,1,0.5', 'print,1,0.5'), ('\nb', '\na'), ('\nb', '\n'), ('print', 'pri\x07nt'), ('b,C', 'b,C,D'),
        ('domain', 'site'), ('domain', ''), ('domain', 'video'), ('0.5\n', '0.5\n\n'), ('0.5', ' 0.5 '),
        ('live,1,0.5', 'live,1,1e999'), (PLAIN, f'{HEADER}\n'), (PLAIN, ''), ('print', 'pri"nt'),
    ],
)  # fmt: skip
def test_what_is_unusual_is_read_row_by_row(tmp_path: Path, cell: str, by: str) -> None:
    path = tmp_path / 'a.csv'
    path.write_text(PLAIN.replace(cell, by), encoding='utf-8')
    found = []
    for read in (ScoreTable.from_csv, rows_of):
        try:
            found.append(str(read(path).to_records()))
        except ValueError as error:
            found.append(str(error).removeprefix(f'{path}: '))
    assert found[0] == found[1]


def test_files_that_are_cut_off_are_refused_as_ever(tmp_path: Path) -> None:
    (tmp_path / 'a.csv.gz').write_bytes(gzip.compress(PLAIN.encode() * 50)[:60])
    with pytest.raises(ValueError, match='not a complete gzip file'):
        ScoreTable.from_csv(tmp_path / 'a.csv.gz')
    (tmp_path / 'b.csv').write_bytes(PLAIN.encode() + b'\xff')
    with pytest.raises(ValueError, match='not a CSV file in UTF-8'):
        ScoreTable.from_csv(tmp_path / 'b.csv')


def test_ids_in_other_words_are_still_the_same_sample() -> None:
    test = make_table(30, 1)
    for form in ('./{}', 'a/../{}', '{}/', 'W//{}'):
        ids = np.array([form.format(name) for name in test.sample_id])
        ids = np.char.replace(ids, 'W//W', 'W/')
        dev = ScoreTable(ids, test.domain, test.subject, test.video, test.pai, test.label, test.score)
        with pytest.raises(ValueError, match='30 samples are in both dev and test'):
            check_disjoint(test, dev)
