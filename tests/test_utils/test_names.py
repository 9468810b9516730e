"""Names that look alike are one, wherever samples are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmfas.datasets import MultiModalFaceDataset
from mmfas.datasets.annotations import read_annotations, read_meta
from mmfas.datasets.verification import verify_datasets
from mmfas.evaluation import ScoreTable
from mmfas.evaluation.attributes import join_attributes
from mmfas.evaluation.disjoint import check_disjoint
from mmfas.utils.file_identity import FileIdentity
from mmfas.utils.names import plain_name

#: Spellings of `anna é`: blanks around it, zero width, direction mark, soft hyphen, selector, NFD.
ENDS = ('anna é ', '\tanna é', 'anna\u00a0é', 'anna é\u200e', 'anna é\ufe0f')
ALIKE = (*ENDS, 'an\u200bna é', 'an\u00adna é', 'anna e\u0301')
HEADER = 'sample_id,domain,subject,video,pai,label,score'


@pytest.mark.parametrize('spelled', ALIKE, ids=ascii)
def test_they_are_one_name(spelled: str) -> None:
    assert plain_name(spelled) == plain_name(plain_name(spelled)) == 'anna é'


def test_what_can_be_seen_stays() -> None:
    for name in ('a b.png', 'A', '名前', 'نام', 'x²', 'a_b-c#3', '😀'):
        assert plain_name(name) == name


@pytest.mark.parametrize('spelled', ALIKE, ids=ascii)
def test_in_score_files(spelled: str, tmp_path: Path) -> None:
    lines = {'dev': ('anna é', 'x'), 'test': (spelled, 'y')}
    for split, (first, second) in lines.items():
        rows = (f'{first},C,,,live,1,0.9', f'{second},C,,,print,0,0.1')
        (tmp_path / f'{split}.csv').write_text('\n'.join((HEADER, *rows)), encoding='utf-8')
    dev, test = (ScoreTable.from_csv(tmp_path / f'{split}.csv') for split in lines)
    with pytest.raises(ValueError, match='1 samples are in both dev and test'):
        check_disjoint(test, dev)
    (tmp_path / 'sex.csv').write_text(f'sample_id,sex\n{spelled},f \n', encoding='utf-8')
    assert join_attributes(dev, tmp_path / 'sex.csv').column('sex').tolist() == ['f', '']


def test_instruments_and_persons_of_scores(tmp_path: Path) -> None:
    rows = ('a,C,p1,,live,1,.9', 'b,C\u200b,p1\u00a0,,print,0,.1', 'c,C ,\ufeffp1,,print\u200d,0,.2')
    (tmp_path / 'scores.csv').write_text('\n'.join((HEADER, *rows)), encoding='utf-8')
    table = ScoreTable.from_csv(tmp_path / 'scores.csv')
    assert (table.pai_names, set(table.domain), set(table.subject)) == (('print',), {'C'}, {'p1'})
    rows = ('a,C,,,live,1,.9', 'a\u2060,C,,,live,1,.8')
    (tmp_path / 'scores.csv').write_text('\n'.join((HEADER, *rows)), encoding='utf-8')
    with pytest.raises(ValueError, match="line 3, column sample_id: 'a' occurs before, in line 2"):
        ScoreTable.from_csv(tmp_path / 'scores.csv')


@pytest.mark.parametrize('spelled', ALIKE, ids=ascii)
def test_in_lists(spelled: str, tmp_path: Path) -> None:
    for name, text in dict(one='anna é', two=spelled).items():
        text = f'rgb,sample_id,label,pai,subject,domain\n{text}/f.png,{text},0,{text},{text},{text}\n'
        (tmp_path / f'{name}.csv').write_text(text, encoding='utf-8')
    one, two = (read_annotations(tmp_path / f'{name}.csv')[0] for name in ('one', 'two'))
    paths, lines = ([record.pop(key) for record in (one, two)] for key in ('img_paths', 'source_line'))
    assert one == two
    assert FileIdentity().of_sample(paths[0]) == FileIdentity().of_sample(paths[1])  # that do not exist
    sets = {
        name: [MultiModalFaceDataset(f'{name}.csv', str(tmp_path), domains=spelled)] for name in ('one', 'two')
    }
    assert 'duplicate' in {problem.kind for problem in verify_datasets(sets)}


def test_in_side_car_files(tmp_path: Path) -> None:
    (tmp_path / 'meta.csv').write_text('sample_id,subject\na,anna\na\u200b,anna \n', encoding='utf-8')
    assert read_meta(tmp_path / 'meta.csv') == {'a': {'subject': 'anna'}}
