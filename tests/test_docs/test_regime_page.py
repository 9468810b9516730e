"""What the page on pretraining says of the regimes on the four targets is computed from the records."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import pytest

from mmfas.benchmark.markdown_tables import SITE_VIDEOS
from mmfas.benchmark.plan import SPLITS
from mmfas.benchmark.records import Record, read_records
from mmfas.benchmark.site import site_hter
from mmfas.evaluation.tables import mean_interval

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / 'docs' / language / 'pretraining.md' for language in ('en', 'zh_CN')]
NAME = '{}_mini-vit_1xb32-12e_synthfas-cps2w'
DEFAULT = '_pretrained-finetuned'
SEEDS = (0, 1, 2)

pytestmark = pytest.mark.records


def at_site(record: Record) -> float:
    return 100 * site_hter(record.site or {}, SITE_VIDEOS)


def auc(record: Record) -> float:
    return 100 * record.report['auc']['value']


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.parent.name)
@pytest.mark.parametrize(('short', 'name'), [('concat', 'ConcatNeck'), ('mmdg', 'MMDG')])
@pytest.mark.parametrize('other', ['scratch', 'pretrained-frozen'])
def test_the_default_minus_another_regime(short: str, name: str, other: str, page: Path) -> None:
    records = {(r.method, r.split, r.seed): r for r in read_records(ROOT / 'benchmarks') if r.protocol == 1}
    ours = NAME.format(short) + DEFAULT
    theirs = NAME.format(short) + ('' if other == 'scratch' else f'_{other}')
    cells = []
    for splits in (*((split,) for split in SPLITS[1]), SPLITS[1]):
        found = []
        for measure in (at_site, auc):
            by_seed = [
                mean(
                    measure(records[ours, split, seed]) - measure(records[theirs, split, seed]) for split in splits
                )
                for seed in SEEDS
            ]
            centre, half = mean_interval(by_seed)
            found.append(f'{centre:+.1f} ± {half:.1f}')
        cells.append(' / '.join(found))
    assert f'| {name}, {other} | {" | ".join(cells)} |' in page.read_text(encoding='utf-8')
