"""Which file it is counts, not how its path is spelled: lists, leaks, protocols, scores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from mmfas.apis.scoring import ScoreError
from mmfas.apis.testing import _refuse_shared_files
from mmfas.cli.__main__ import main
from mmfas.datasets import MultiModalFaceDataset
from mmfas.datasets.protocol_lists import verify_protocols
from mmfas.datasets.verification import shared_files, verify_datasets
from mmfas.evaluation import ScoreTable, evaluate_scores
from mmfas.utils.file_identity import FileIdentity

from .data_files import CPSW_ARCHIVES, write_cpsw_lists, write_padisi

NAMES = ('anna', 'ben', 'cleo', 'dan')


@pytest.fixture
def faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four pictures in `faces/`, which is also reached as `link/`; the working folder is the one above."""
    (tmp_path / 'faces').mkdir()
    rng = np.random.default_rng(5)
    for name in NAMES:
        cv2.imwrite(str(tmp_path / f'faces/{name}.png'), rng.integers(0, 256, (24, 24, 3), np.uint8))
    (tmp_path / 'link').symlink_to('faces')
    monkeypatch.chdir(tmp_path)
    return tmp_path / 'faces'


def soft_link(path: Path) -> str:
    """Return the path of a link to a file."""
    place = path.with_name(f'soft_{path.name}')
    place.symlink_to(path.name)
    return f'faces/{place.name}'


def hard_link(path: Path) -> str:
    """Return another name of a file."""
    place = path.with_name(f'hard_{path.name}')
    os.link(path, place)
    return f'faces/{place.name}'


#: What it is -> another spelling of `faces/<name>.png`.
SPELLINGS: dict[str, Callable[[Path], str]] = {
    'dot': lambda path: f'./faces/{path.name}',
    'dot inside': lambda path: f'faces/./{path.name}',
    'slashes': lambda path: f'faces//{path.name}',
    'up and down': lambda path: f'faces/../faces/{path.name}',
    'absolute': str,
    'linked folder': lambda path: f'link/{path.name}',
    'out of a link': lambda path: f'link/../faces/{path.name}',
    'link to a link': lambda path: soft_link(path.with_name(Path(soft_link(path)).name)),
    'soft link': soft_link,
    'hard link': hard_link,
}


def write_list(name: str, paths: list[str], **columns: list[str]) -> str:
    """Write a CSV list whose first half is live; further columns by name."""
    header = ['rgb', 'label', 'pai', *columns]
    half = len(paths) // 2
    rows = [
        ','.join([path, str(int(at < half)), 'live' if at < half else 'print', *(c[at] for c in columns.values())])
        for at, path in enumerate(paths)
    ]
    Path(name).write_text('\n'.join([','.join(header), *rows]) + '\n')
    return name


def plain_paths() -> list[str]:
    return [f'faces/{name}.png' for name in NAMES]


@pytest.mark.parametrize('spelling', SPELLINGS)
def test_spellings_of_a_file_are_one_file(faces: Path, spelling: str) -> None:
    path = faces / 'ben.png'
    identity = FileIdentity()
    assert identity.of(SPELLINGS[spelling](path)) == identity.of('faces/ben.png') != identity.of('faces/dan.png')
    assert FileIdentity().of(path) == identity.of(path)


@pytest.mark.parametrize('spelling', ['dot', 'slashes', 'up and down', 'absolute', 'linked folder'])
def test_files_that_do_not_exist_have_an_identity_too(faces: Path, spelling: str) -> None:
    identity = FileIdentity()
    assert identity.of(SPELLINGS[spelling](faces / 'gone.png')) == identity.of('faces/gone.png')
    assert identity.of('faces/gone.png') != identity.of('faces/gone2.png')


def test_odd_paths_have_an_identity(tmp_path: Path) -> None:
    (tmp_path / 'circle').symlink_to('circle')
    identity = FileIdentity()
    odd = ['', 'a\0b.png', 'x' * 5000, str(tmp_path / 'circle' / 'a.png'), '..', 'folder/']
    assert len({identity.of(path) for path in odd}) == len(odd)


def test_copies_are_one_file_on_request(faces: Path) -> None:
    shutil.copy(faces / 'anna.png', faces / 'copy.jpeg')
    by_path, by_content = FileIdentity(), FileIdentity(by_content=True)
    assert by_path.of('faces/anna.png') != by_path.of('faces/copy.jpeg')
    assert by_content.of('faces/anna.png') == by_content.of('faces/copy.jpeg') != by_content.of('faces/ben.png')
    assert by_content.of('./gone.png') == by_content.of('gone.png') != by_content.of('gone2.png')


@pytest.mark.parametrize('spelling', SPELLINGS)
def test_leaks_between_splits_are_found(faces: Path, spelling: str) -> None:
    other = [SPELLINGS[spelling](faces / f'{name}.png') for name in NAMES[1:3]]
    splits = {
        'train': [MultiModalFaceDataset(write_list('train.csv', plain_paths()))],
        'test': [MultiModalFaceDataset(write_list('test.csv', other))],
    }
    problems = verify_datasets(splits)
    assert [problem.kind for problem in problems] == ['duplicate'] * 2
    assert problems[0].message == f'faces/ben.png is in train (train.csv:3), test (test.csv:2, as {other[0]})'


def test_a_file_of_another_modality_is_a_leak_too(faces: Path) -> None:
    rgb = MultiModalFaceDataset(write_list('train.csv', plain_paths()))
    Path('test.csv').write_text('ir,depth,label\nlink/anna.png,faces/cleo.png,1\nlink/dan.png,,0\n')
    problems = verify_datasets({'train': [rgb], 'test': [MultiModalFaceDataset('test.csv')]})
    assert [p.message.partition(' is in')[0] for p in problems if p.kind == 'duplicate'] == [
        f'faces/{name}.png' for name in ('anna', 'cleo', 'dan')
    ]


def test_two_labels_of_one_picture_are_found(faces: Path) -> None:
    paths = ['faces/anna.png', 'faces/ben.png', './faces/anna.png', 'faces/dan.png']
    problems = verify_datasets({'train': [MultiModalFaceDataset(write_list('train.csv', paths))]})
    assert [problem.kind for problem in problems] == ['two labels']


def test_verify_dataset_finds_copies_on_request(faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES[:2]:
        shutil.copy(faces / f'{name}.png', f'{name}_again.png')
    write_list('a.csv', plain_paths())
    write_list('b.csv', ['anna_again.png', 'faces/dan.png', 'ben_again.png', 'faces/cleo.png'])
    lists = ['verify_dataset', '--lists', 'a.csv', 'b.csv']
    assert main(lists) == 1
    assert 'duplicate: 2\n' in capsys.readouterr().out
    assert main([*lists, '--by-content']) == 1
    told = capsys.readouterr().out
    assert 'duplicate: 4\n' in told
    assert 'faces/anna.png is in a.csv (a.csv:2), b.csv (b.csv:2, as anna_again.png)' in told


@pytest.mark.parametrize('spelling', SPELLINGS)
def test_clean_leaves_out_every_spelling(faces: Path, spelling: str) -> None:
    write_list('train.csv', plain_paths())
    write_list('test.csv', [SPELLINGS[spelling](faces / f'{name}.png') for name in ('anna', 'dan')])
    dataset = MultiModalFaceDataset('train.csv', clean='test.csv')
    assert [dataset.get_data_info(i)['sample_id'] for i in range(len(dataset))] == plain_paths()[1:3]


def lines_of(**kwargs: Any) -> list[int]:
    """Return the lines of `train.csv` that a data set keeps."""
    dataset = MultiModalFaceDataset('train.csv', **kwargs)
    return [int(dataset.get_data_info(i)['source_line'].rpartition(':')[2]) for i in range(len(dataset))]


def test_clean_leaves_out_repeats_parts_and_on_request_copies(faces: Path) -> None:
    shutil.copy(faces / 'cleo.png', 'cleo_again.png')
    write_list('train.csv', ['faces/anna.png', 'link/anna.png', 'faces/cleo.png', 'faces/dan.png'])
    assert lines_of(clean=True) == [2, 4, 5]
    Path('test.csv').write_text('rgb,ir,label\nlink/anna.png,faces/ben.png,1\ncleo_again.png,,0\n')
    assert lines_of(clean='test.csv') == [4, 5]
    assert lines_of(clean=dict(lists='test.csv', by_content=True)) == [5]
    assert lines_of(clean=dict(by_content=True)) == [2, 4, 5]
    with pytest.raises(ValueError, match=r"clean knows the keys lists and by_content, but got \['list'\]"):
        lines_of(clean=dict(list='test.csv'))
    Path('train.csv').write_text('rgb,label\nfaces/anna.png,1\nlink/anna.png,0\n')
    with pytest.raises(ValueError, match=r'train\.csv:3: label 0, but train\.csv:2 says 1 of the same files'):
        lines_of(clean=True)


def test_dev_and_test_sets_may_not_share_files(faces: Path) -> None:
    dev = MultiModalFaceDataset(write_list('dev.csv', plain_paths()), domain='one')
    other = MultiModalFaceDataset(write_list('test.csv', ['link/ben.png', './faces/dan.png']), domain='other')
    assert {pair: len(lines) for pair, lines in shared_files({'a': dev, 'b': other}).items()} == {('a', 'b'): 2}
    loaders: dict[str, Any] = {
        name: SimpleNamespace(dataset=dataset) for name, dataset in (('dev', dev), ('test-x', other))
    }
    with pytest.raises(
        ScoreError, match=r'^2 samples are in both dev and test-x, the first: faces/ben\.png is in'
    ):
        _refuse_shared_files(loaders)
    _refuse_shared_files({'test': loaders['dev'], 'test-x': loaders['test-x']})
    apart = MultiModalFaceDataset(write_list('apart.csv', ['faces/../anna.png', 'x/faces/ben.png']))
    _refuse_shared_files({'dev': loaders['dev'], 'test': SimpleNamespace(dataset=apart)})  # type: ignore[dict-item]


def scores(names: list[str]) -> ScoreTable:
    """Return a table of these ids, alternately live and attack."""
    return ScoreTable.from_records(
        dict(sample_id=name, domain='d', label=at % 2, score=at / 10) for at, name in enumerate(names)
    )


@pytest.mark.parametrize('spelling', ['./faces/ben.png', 'faces//ben.png', 'faces/x/../ben.png', 'faces\\ben.png'])
def test_score_files_compare_ids_without_their_spelling(spelling: str) -> None:
    dev = scores(['faces/anna.png', 'faces/ben.png'])
    with pytest.raises(ValueError, match='1 samples are in both dev and test'):
        evaluate_scores(scores([spelling, 'faces/cleo.png']), dev=dev, num_bootstrap=0)
    evaluate_scores(scores(['ben.png', 'faces/cleo.png']), dev=dev, num_bootstrap=0)


def test_score_files_follow_the_links_of_absolute_ids(faces: Path) -> None:
    dev = scores([str(faces / 'anna.png'), str(faces / 'ben.png')])
    with pytest.raises(ValueError, match=r'1 samples are in both dev and test, among them .*link/ben\.png'):
        evaluate_scores(scores([str(faces.parent / 'link/ben.png'), '/gone.png']), dev=dev, num_bootstrap=0)


def test_protocols_know_links_and_on_request_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cpsw_lists(tmp_path)
    for seed, archive in enumerate(name for names in CPSW_ARCHIVES.values() for name, _ in names):
        write_padisi(tmp_path, archive, seed)
    train, test = (tmp_path / 'PADISI' / name for name in ('zc7db0ae.npz', 'zd6c8787.npz'))
    folder = str(tmp_path)

    def leaks(**kwargs: Any) -> list[str]:
        reports = verify_protocols(folder, data_root=folder, domains='P', **kwargs)
        return [text for report in reports for text in report.leaks]

    assert leaks() == leaks(by_content=True) == []
    shutil.copy(test, train)
    told = ['P-train.txt:1 is also P-test.txt:1: zc7db0ae.npz']
    assert leaks() == [] and leaks(by_content=True) == told
    assert leaks(by_content=True, clean=True) == []
    train.unlink()
    train.symlink_to(test)
    assert leaks() == told
    assert main(['verify_protocols', folder, '--domains', 'P', '--by-content']) == 2
    assert 'by_content reads the files of the lists: give data_root' in capsys.readouterr().err
