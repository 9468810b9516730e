"""The page about the four data sets gives the counts of the lists that the code knows, and commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmfas.cli.commands import COMMANDS
from mmfas.cli.data.convert import DATA_SETS
from mmfas.datasets.conversion import KINDS
from mmfas.datasets.protocol_lists import PUBLISHED_LISTS

REPO = Path(__file__).parents[2]
PAGE = (REPO / 'docs' / 'en' / 'datasets.md').read_text(encoding='utf-8')


def cells(first: str) -> list[str]:
    """The cells after the first of the one row that begins with it."""
    rows = re.findall(rf'^\| {re.escape(first)} \|(.*)\|$', PAGE, re.MULTILINE)
    assert len(rows) == 1, (first, rows)
    return [cell.strip() for cell in rows[0].split('|')]


@pytest.mark.parametrize('name', PUBLISHED_LISTS)
def test_counts_of_the_lists(name: str) -> None:
    counts = PUBLISHED_LISTS[name]
    assert [int(cell) for cell in cells(name)[:4]] == [counts.lines, *counts[:3]]


def test_counts_of_the_protocols() -> None:
    rows = re.findall(r'^\| [13] \| (.+) \| (.+) \| (\d+) / (\d+) \|$', PAGE, re.MULTILINE)
    assert len(rows) == 6
    for sources, targets, train, test in rows:
        letters = [re.findall(r'\b[CPSW]\b', text) for text in (sources, targets)]
        assert sorted(letters[0] + letters[1]) == sorted('CPSW')
        expected = zip(letters, ('train', 'test'))
        sums = [sum(PUBLISHED_LISTS[f'{d}-{split}'].lines for d in domains) for domains, split in expected]
        assert sums == [int(train), int(test)]


def test_every_kind_of_oddity_is_explained_and_every_command_exists() -> None:
    explained = {word for row in re.findall(r'^\| (`.+?) \|', PAGE, re.MULTILINE) for word in row.split(', ')}
    assert {f'`{kind}`' for kind in KINDS} <= explained
    named = set(re.findall(r'mmfas (data \w+)', PAGE))
    assert {'data convert', 'data verify', 'data protocols'} <= named <= set(COMMANDS)
    assert set(re.findall(r'mmfas data convert (\w+)', PAGE)) == set(DATA_SETS)
