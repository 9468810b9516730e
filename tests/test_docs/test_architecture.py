"""The architecture page draws the arrows that the style test enforces, and the README's tour is short."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GROUPS = {
    'the rooms': {'datasets', 'synthfas', 'models', 'engine', 'evaluation'},
    'the bottom': {'config', 'registry', 'structures', 'utils', 'version'},
}


def enforced_arrows(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Read the table of the style test."""
    folder = ROOT / 'tests' / 'test_style'
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location('arrows_for_docs', folder / 'test_arrows.py')
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module.ARROWS


def drawn_arrows() -> dict[str, set[str]]:
    """Read the table of the page: room -> rooms it may import."""
    text = (ROOT / 'docs' / 'en' / 'architecture.md').read_text(encoding='utf-8')
    table = text[text.index('| layer | room |') :].split('\n\n')[0]
    arrows = {}
    for line in table.splitlines()[2:]:
        _, rooms, targets = (cell.strip() for cell in line.strip('|').split('|'))
        allowed = set(re.findall(r'`(\w+)`', targets))
        allowed |= set().union(*(names for group, names in GROUPS.items() if group in targets))
        arrows.update(dict.fromkeys(re.findall(r'`(\w+)`', rooms), allowed))
    return arrows


def test_the_page_draws_the_arrows_that_are_enforced(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = drawn_arrows()
    assert drawn.pop('tools') == {'cli'}
    rooms = {name: allowed for name, allowed in enforced_arrows(monkeypatch).items() if name in drawn}
    assert len(rooms) == 16
    assert drawn == rooms


def test_the_guided_tour_has_seven_short_files() -> None:
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    tour = re.findall(r'^\d\. `([^`]+)`', text[text.index('## Guided tour') :], re.MULTILINE)
    assert len(tour) == 7
    for name in tour:
        assert len((ROOT / name).read_text(encoding='utf-8').splitlines()) < 200, name
