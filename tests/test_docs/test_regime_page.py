"""What the page on pretraining says of the default regime on one target is computed from the records."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmfas.benchmark.records import Record, read_records
from mmfas.benchmark.site import site_hter
from mmfas.evaluation.tables import mean_interval, percent_cell

ROOT = Path(__file__).parents[2]
NAME = 'mmdg_mini-vit_1xb32-12e_synthfas-cps2w'

pytestmark = pytest.mark.records


def of(name: str) -> list[Record]:
    """Records of CPS to W on the renderer of today, by seed."""
    records = [r for r in read_records(ROOT / 'benchmarks') if r.method == name]
    return sorted(
        (r for r in records if r.data['renderer_version'] == '1.1.0' and r.cell.name.startswith('p1_cps2w_')),
        key=lambda record: record.seed,
    )[:3]


def test_the_default_regime_on_w() -> None:
    page = (ROOT / 'docs/en/pretraining.md').read_text(encoding='utf-8')
    at_site = {}
    for regime, name in (('scratch', NAME), ('pretrained-finetuned', f'{NAME}_pretrained-finetuned')):
        records = of(name)
        assert [record.seed for record in records] == [0, 1, 2]
        at_site[regime] = [site_hter(record.site, 5) for record in records]
        columns = [
            [record.report['hter']['value'] for record in records],
            at_site[regime],
            [record.report['oracle']['eer']['value'] for record in records],
            [record.report['auc']['value'] for record in records],
        ]
        assert f'| {regime} | {" | ".join(map(percent_cell, columns))} |' in page
    gaps = [after - before for before, after in zip(at_site['scratch'], at_site['pretrained-finetuned'])]
    centre, half = mean_interval(gaps)
    ends = f'95 % interval {100 * (centre - half):.1f} to {100 * (centre + half):.1f}'
    assert f'by {100 * centre:.1f} points' in page and ends in page
