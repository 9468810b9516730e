"""The file of published numbers is whole, its means are those of its cells, and pages and READMEs repeat it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmfas.cli.__main__ import main
from mmfas.evaluation.leaderboard import leaderboard_page
from mmfas.evaluation.published import PUBLISHED, PublishedPair, read_published

REPO = Path(__file__).resolve().parents[2]
NUMBERS = read_published()
METHODS = {method.name: method for method in NUMBERS.methods}
#: Folder of configs -> collection whose published row its README shows.
READMES = {
    'mmdg': 'MMDG',
    'mmda': 'MMDA',
    'big_moe': 'BIG-MoE',
    'cmfl': 'CMFL',
    'flip': 'FLIP',
    'dadm': 'DADM',
    'safas': 'SA-FAS',
}

#: Methods whose mean in protocol 1 is misprinted in the table of MMDA.
WRONG_IN_MMDA = [
    'SSDG',
    'SSAN',
    'IADG',
    'ViT',
    'ViT+AMA',
    'VP-FAS',
    'ViTAF',
    'MM-CDCN',
    'CMFL',
    'CLIP',
    'MMDA',
    'MMDG',
]


def test_every_table_is_there() -> None:
    rows = {p: [m.rows[p] for m in NUMBERS.methods if p in m.rows] for p in NUMBERS.columns}
    assert {protocol: len(found) for protocol, found in rows.items()} == {1: 20, 2: 18, 3: 18}
    assert {protocol: list(columns) for protocol, columns in NUMBERS.columns.items()} == {
        1: ['cps2w', 'cpw2s', 'csw2p', 'psw2c'],
        2: ['no-depth', 'no-ir', 'no-depth-ir'],
        3: ['cw2ps', 'ps2cw'],
    }
    assert not METHODS['BIG-MoE'].rows
    assert set(METHODS['MMDA'].rows) == {1}
    assert len(NUMBERS.ablations) == 14


@pytest.mark.parametrize(
    ('method', 'protocol', 'column', 'expected'),
    [
        ('MMDG', 1, 'psw2c', (29.93, 76.52)),
        ('MMDG', 2, 'no-ir', (23.39, 83.82)),
        ('MMDG', 3, 'ps2cw', (36.60, 70.35)),
        ('MMDA', 1, 'cps2w', (1.22, 99.99)),
        ('DADM', 2, 'no-depth-ir', (22.61, 84.04)),
        ('Qwen2.5-VL-3B SFT', 2, 'no-depth', (23.25, 79.32)),
    ],
)
def test_cells(method: str, protocol: int, column: str, expected: tuple[float, float]) -> None:
    assert METHODS[method].rows[protocol].cells[column] == PublishedPair(*expected)


def test_misprints_are_those_of_the_notes() -> None:
    found = {
        (name, protocol, source)
        for name, method in METHODS.items()
        for protocol, row in method.rows.items()
        for source in row.misprints
    }
    assert found == {(name, 1, 'mmda') for name in WRONG_IN_MMDA} | {
        ('MMDGFAS', 1, 'mmdgfas'),
        ('SA-FAS', 3, 'pa_fas'),
        ('SSDG', 3, 'pa_fas'),
        ('Qwen2.5-VL-3B zero-shot', 3, 'pa_fas'),
    }
    swapped = METHODS['SA-FAS'].rows[3]
    assert str(swapped.misprints['pa_fas']) == '61.79 / 30.89'
    assert str(swapped.mean) == '30.90 / 75.55'


def broken(tmp_path: Path, place: tuple[Any, ...], value: Any) -> Path:
    """Write the file with one value replaced; None deletes it."""
    content = yaml.safe_load(PUBLISHED.read_text(encoding='utf-8'))
    node = content
    for key in place[:-1]:
        node = node[key]
    if value is None:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    path = tmp_path / 'broken.yml'
    path.write_text(yaml.safe_dump(content), encoding='utf-8')
    return path


@pytest.mark.parametrize(
    ('place', 'value', 'message'),
    [
        (('methods', 0, 'protocol_1', 'mean'), [34.24, 70.20], 'SSDG, protocol_1: the mean is written as 34.24'),
        (('methods', 0, 'protocol_1', 'mean'), None, r"SSDG, protocol_1: .*lacks \['mean'\]"),
        (('methods', 0, 'protocol_4'), {}, r"SSDG has unknown keys \['protocol_4'\]"),
        (('methods', 0, 'protocol_2', 'source'), 'gossip', "SSDG, protocol_2: there is no source 'gossip'"),
        (('methods', 0, 'protocol_3', 'cells'), {'cw2ps': [1, 2]}, r"the columns are \['cw2ps', 'ps2cw'\]"),
        (('methods', 0, 'protocol_3', 'cells', 'cw2ps'), [101, 2], r'expected \[HTER, AUC\] in percent'),
        (('ablations', 0, 'mean'), '3 / 4', r'expected \[HTER, AUC\] in percent'),
        (('sources', 'mmdg', 'colour'), 'red', 'colour'),
        (('scoring',), None, r"the file .*lacks \['scoring'\]"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, place: tuple[Any, ...], value: Any, message: str) -> None:
    file = broken(tmp_path, place, value)
    with pytest.raises(ValueError, match=message) as caught:
        read_published(file)
    assert str(file) in str(caught.value)


def test_rows_of_our_collections() -> None:
    metafiles = [yaml.safe_load(path.read_text('utf-8')) for path in (REPO / 'configs').glob('*/metafile.yml')]
    papers = {c['Name']: c.get('Paper', {}).get('URL') for content in metafiles for c in content['Collections']}
    ours = [method for method in NUMBERS.methods if method.collection]
    assert {method.collection for method in ours} == {
        *('AMA', 'BIG-MoE', 'CMFL', 'DADM', 'FLIP', 'MMDA', 'MMDG', 'SA-FAS')
    }
    for method in ours:
        assert papers[method.collection] == method.paper


def published_numbers(page: str) -> list[str]:
    """Return the cells of the row that shows the paper's numbers."""
    row = re.search(r'^\| paper\b[^|]*\|(.*)\|$', page, re.MULTILINE)
    assert row, 'no row with the numbers of the paper'
    return [cell.strip() for cell in row[1].split('|')]


@pytest.mark.parametrize('folder', READMES)
def test_readmes_repeat_the_numbers(folder: str) -> None:
    found = published_numbers((REPO / 'configs' / folder / 'README.md').read_text(encoding='utf-8'))
    row = NUMBERS.row_of(READMES[folder], 1)
    expected = [''] * 5 if row is None else [*map(str, row.cells.values()), str(row.mean)]
    assert found == expected


@pytest.mark.parametrize('folder', READMES)
def test_metafiles_hold_no_other_numbers(folder: str) -> None:
    """A `Metrics` entry about the paper must be the published mean or cell; measured ones are named otherwise."""
    content = yaml.safe_load((REPO / 'configs' / folder / 'metafile.yml').read_text(encoding='utf-8'))
    results = [result for model in content['Models'] for result in model['Results']]
    assert results
    row = NUMBERS.row_of(READMES[folder], 1)
    allowed = set() if row is None else {value for c in row.cells.values() for value in (c.hter, c.auc)}
    claimed = {v for r in results for key, v in r.get('Metrics', {}).items() if 'paper' in key.lower()}
    assert claimed <= allowed


def test_page_is_what_the_command_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (REPO / 'docs' / 'en' / 'leaderboard.md').read_text(encoding='utf-8')
    assert main(['scores', 'leaderboard', str(tmp_path / 'page.md')]) == 0
    assert '21 methods' in capsys.readouterr().out
    assert (tmp_path / 'page.md').read_text(encoding='utf-8') == page == leaderboard_page(NUMBERS)


def test_page_names_a_broken_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = broken(tmp_path, ('methods', 0, 'name'), None)
    assert main(['scores', 'leaderboard', str(tmp_path / 'page.md'), '--published', str(file)]) != 0
    assert 'lacks' in capsys.readouterr().err
    assert not (tmp_path / 'page.md').exists()
