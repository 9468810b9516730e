r"""The benchmark's numbers on the pages are those of the records, and the records those of the configs.

After new records: `mmfas benchmark pack --scores first-seed`, and then the command of "The report" in
`docs/en/benchmark_runner.md`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from mmfas.benchmark.markdown_tables import SITE_RESULTS, refresh_page
from mmfas.benchmark.methods import config_hash, find_method
from mmfas.benchmark.packed_scores import LISTS
from mmfas.benchmark.packing import is_superseded
from mmfas.benchmark.plan import Protocol
from mmfas.benchmark.records import read_records
from mmfas.benchmark.report import markdown_report
from mmfas.benchmark.tables import RecordSelection, choose
from mmfas.benchmark.verifying import verify_record

ROOT = Path(__file__).parents[2]
PACKS = ROOT / 'benchmarks'
REPORT = ROOT / 'docs/en/benchmarks/synthfas_small/report.md'
#: Protocols of the committed report.
PROTOCOLS: tuple[Protocol, ...] = (1, '2s', 3)
READMES = sorted(ROOT.glob('configs/*/README.md'))
PAGES = [
    page
    for page in (*sorted(ROOT.glob('README*.md')), *READMES, *sorted(ROOT.glob('docs/*/pretraining.md')))
    if SITE_RESULTS.header in page.read_text(encoding='utf-8')
]

pytestmark = pytest.mark.records


@cache
def chosen() -> RecordSelection:
    return choose(read_records(PACKS))


def test_report_is_up_to_date() -> None:
    assert REPORT.read_text(encoding='utf-8') == markdown_report(chosen(), PROTOCOLS)


def test_records_are_of_the_configs_and_the_renderer_as_they_are_now() -> None:
    configs = {record.method: record.config for record in chosen().records}
    now = {name: config_hash(find_method(str(ROOT / config)).load()) for name, config in configs.items()}
    assert len(now) >= 2
    assert {record.method: record.config_hash for record in chosen().records} == now
    assert not any(record.dirty or is_superseded(record) for record in chosen().records)


def test_numbers_of_records_are_those_of_their_scores() -> None:
    records = read_records(PACKS)
    assert len(records) >= 974
    verdicts = [verify_record(PACKS, record) for record in records]
    assert not [(verdict.record.cell, verdict.problems) for verdict in verdicts if verdict.problems]


def test_packs_are_the_only_files() -> None:
    names = {path.name.partition('.')[2] for path in PACKS.iterdir() if path.name != LISTS}
    assert names <= {'jsonl.xz', 'scores.npz'}


def test_pages_without_results_are_those_of_no_method() -> None:
    assert {page.parent.name for page in READMES if page not in PAGES} == {'pretrain'}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: f'{page.parent.name}/{page.stem}')
def test_pages_are_up_to_date(page: Path) -> None:
    text = page.read_text(encoding='utf-8')
    assert refresh_page(text, chosen()) == text
