r"""The benchmark's numbers on the pages are those of the records, and the records those of the configs.

After new records:
`mmfas benchmark report --renderer 1.0.0 --out docs/en/benchmarks/synthfas_small \
    --pages README.md configs/*/README.md`
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mmfas.benchmark.markdown_tables import HEADER, refresh_page, refresh_pages
from mmfas.benchmark.methods import config_hash, find_method
from mmfas.benchmark.records import RecordError, load_scores, read_records
from mmfas.benchmark.report import markdown_report
from mmfas.benchmark.tables import choose, values

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / 'docs/en/benchmarks/runs'
REPORT = ROOT / 'docs/en/benchmarks/synthfas_small/report.md'
CHOSEN = choose(read_records(RECORDS), data={'renderer_version': '1.0.0'})
PAGES = [ROOT / 'README.md', *sorted(ROOT.glob('configs/*/README.md'))]
CONCAT = 'concat_mini-vit_1xb32-12e_synthfas-cps2w'


def test_report_is_up_to_date() -> None:
    assert REPORT.read_text(encoding='utf-8') == markdown_report(CHOSEN, [1, 2, 3])


def test_records_are_of_the_configs_as_they_are_now() -> None:
    configs = {record.method: record.config for record in CHOSEN.records}
    now = {name: config_hash(find_method(str(ROOT / config)).load()) for name, config in configs.items()}
    assert len(now) >= 6
    assert {record.method: record.config_hash for record in CHOSEN.records} == now
    assert not any(record.dirty for record in CHOSEN.records)


def test_score_files_have_the_recorded_counts() -> None:
    for record in CHOSEN.records[::25]:
        report = record.report
        assert len(load_scores(RECORDS, record).score) == report['num_live'] + report['num_spoof'], record.cell


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.parent.name)
def test_pages_are_up_to_date(page: Path) -> None:
    text = page.read_text(encoding='utf-8')
    assert refresh_page(text, CHOSEN) == text


def test_rows_are_rewritten_and_all_else_stays(tmp_path: Path) -> None:
    page = tmp_path / 'page.md'
    rule = '| --- ' * (HEADER.count('|') - 1) + '|'
    page.write_text(f'before\n\n{HEADER}\n{rule}\n| `concat_mini-vit` | old | 1 |\n\nafter\n')
    refresh_pages([page], CHOSEN)
    before, header, rule_again, row, after = (line for line in page.read_text().splitlines() if line)
    assert (before, header, rule_again, after) == ('before', HEADER, rule, 'after')
    cells = [cell.strip() for cell in row.strip('|').split('|')]
    splits = ('cps2w', 'cpw2s', 'csw2p', 'psw2c')
    found = values(CHOSEN, CONCAT, 1, splits, 'hter')
    assert cells[0] == '`concat_mini-vit`' and len(cells) == HEADER.count('|') - 1
    assert cells[5].partition(' / ')[0] == f'{100 * sum(found) / len(found):.1f}' and cells[-1] == str(len(found))
    page.write_text(page.read_text().replace('concat', 'concord'))
    with pytest.raises(
        RecordError, match=r"page.md': no record of `concord_mini-vit`; there are some of ama_mini"
    ):
        refresh_pages([page], CHOSEN)
    page.write_text('nothing here\n')
    with pytest.raises(
        RecordError, match=r"page.md': there is no table of results; start one by the line \| method"
    ):
        refresh_pages([page], CHOSEN)
