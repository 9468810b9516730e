"""The tables of the studies are those of their records."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmfas.evaluation.tables import markdown_table
from projects.batch_leakage_study.study import leakage_table, read_leakage_records

ROOT = Path(__file__).parents[2]


@pytest.mark.records
def test_the_table_of_batch_leakage_is_made_from_its_records() -> None:
    records = read_leakage_records(ROOT / 'projects/batch_leakage_study/records')
    page = (ROOT / 'docs/en/studies/mmda_batch_leakage.md').read_text(encoding='utf-8')
    assert markdown_table(*leakage_table(records)) in page
    commits = {record['commit'] for record in records}
    assert all(f'`{commit}`' in page for commit in commits) and not any(commit.endswith('+') for commit in commits)
    assert {record['data']['size'] for record in records} == {'small'}
