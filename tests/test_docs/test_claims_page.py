"""The pages on the claims of the papers show what the records say."""

from __future__ import annotations

from pathlib import Path

import pytest

from projects.claims.page import PAGES, claims_tables, read_values, refresh_page
from projects.claims.plan import REGIME, cells_of, read_claims

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.records


def without_seed(name: str) -> str:
    head, _, tail = name.partition('_seed')
    return head + tail.lstrip('0123456789')


@pytest.mark.parametrize('language', PAGES)
def test_the_tables_are_made_of_the_records(language: str) -> None:
    values = read_values(ROOT / 'projects/claims/records' / REGIME)
    page = (ROOT / PAGES[language]).read_text(encoding='utf-8')
    assert page == refresh_page(page, claims_tables(read_claims(), values, language))


def test_every_record_is_that_of_a_cell() -> None:
    values = read_values(ROOT / 'projects/claims/records' / REGIME)
    known = {without_seed(cell.name) for cell in cells_of(read_claims(), [0])}
    assert not [name for name in values if without_seed(name) not in known]


@pytest.mark.parametrize('language', PAGES)
def test_the_page_names_the_regime_of_its_tables(language: str) -> None:
    assert f'`{REGIME}`' in (ROOT / PAGES[language]).read_text(encoding='utf-8')
