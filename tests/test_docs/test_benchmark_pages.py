r"""The benchmark's numbers on the pages are those of the records, and the records those of the configs.

After new records: `mmfas benchmark pack --scores first-seed`; for pages with results on SynthFAS 1.0.0
`mmfas benchmark report --records benchmarks --renderer 1.0.0 --out docs/en/benchmarks/synthfas_small \
    --pages README.md configs/{baselines,big_moe,mmda,mmdg}/README.md`
and for those with thresholds of the site, which are on 1.1.0,
`mmfas benchmark report --records benchmarks --renderer 1.1.0 \
    --pages docs/*/benchmark_plan.md configs/{cmfl,dadm,flip,safas}/README.md`
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from mmfas.benchmark.markdown_tables import SITE_RESULTS, refresh_page
from mmfas.benchmark.methods import config_hash, find_method
from mmfas.benchmark.packed_scores import LISTS
from mmfas.benchmark.records import read_records
from mmfas.benchmark.report import markdown_report
from mmfas.benchmark.tables import RecordSelection, choose
from mmfas.benchmark.verifying import verify_record

ROOT = Path(__file__).parents[2]
PACKS = ROOT / 'benchmarks'
REPORT = ROOT / 'docs/en/benchmarks/synthfas_small/report.md'
READMES = sorted(ROOT.glob('configs/*/README.md'))
PLANS = sorted(ROOT.glob('docs/*/benchmark_plan.md'))
PAGES = [
    page
    for page in (ROOT / 'README.md', *PLANS, *READMES)
    if re.search(r'^\| (?:method|HTER %, site.*) \| CPS→W', page.read_text(encoding='utf-8'), re.MULTILINE)
]

pytestmark = pytest.mark.records


@cache
def chosen(renderer: str = '1.0.0') -> RecordSelection:
    return choose(read_records(PACKS), data={'renderer_version': renderer})


def test_report_is_up_to_date() -> None:
    assert REPORT.read_text(encoding='utf-8') == markdown_report(chosen(), [1, 2, 3])


@pytest.mark.parametrize('renderer', ['1.0.0', '1.1.0'])
def test_records_are_of_the_configs_as_they_are_now(renderer: str) -> None:
    configs = {record.method: record.config for record in chosen(renderer).records}
    now = {name: config_hash(find_method(str(ROOT / config)).load()) for name, config in configs.items()}
    assert len(now) >= 2
    assert {record.method: record.config_hash for record in chosen(renderer).records} == now
    assert not any(record.dirty for record in chosen(renderer).records)


def test_numbers_of_records_are_those_of_their_scores() -> None:
    records = read_records(PACKS)
    assert len(records) >= 426
    verdicts = [verify_record(PACKS, record) for record in records]
    assert not [(verdict.record.cell, verdict.problems) for verdict in verdicts if verdict.problems]


def test_packs_are_the_only_files() -> None:
    names = {path.name.partition('.')[2] for path in PACKS.iterdir() if path.name != LISTS}
    assert names <= {'jsonl.xz', 'scores.npz'}


def test_pages_without_results_are_those_of_no_method() -> None:
    assert {page.parent.name for page in READMES if page not in PAGES} == {'pretrain'}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.parent.name)
def test_pages_are_up_to_date(page: Path) -> None:
    text = page.read_text(encoding='utf-8')
    is_at_site = SITE_RESULTS.header in text
    assert refresh_page(text, chosen('1.1.0' if is_at_site else '1.0.0')) == text
