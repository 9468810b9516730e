"""What the READMEs of methods say of differences between rows is computed from the records."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from statistics import mean

import pytest

from mmfas.benchmark.markdown_tables import SITE_VIDEOS
from mmfas.benchmark.plan import SPLITS
from mmfas.benchmark.records import Record, read_records
from mmfas.benchmark.site import site_hter
from mmfas.evaluation.tables import mean_interval

ROOT = Path(__file__).parents[2]
NAME = '{}_mini-vit_1xb32-12e_synthfas-cps2w'
#: End of the names of the default regime.
DEFAULT = '_pretrained-finetuned'
#: Of the main methods in the default regime; of its ablations and of the other regimes.
SEEDS_OF_DEFAULT = (0, 1, 2, 3)
SEEDS = (0, 1, 2)
#: Of Protocols 2 and 2s, see the plan of the grid.
SEEDS_OF_SUBSETS = (1, 2, 3)
DOMAINS = SPLITS[1]
NO_S = tuple(split for split in DOMAINS if split != 'cpw2s')
#: Columns of the tables on the page of MMDG: every target, and all of them.
TARGETS = (*((split,) for split in DOMAINS), DOMAINS)

pytestmark = pytest.mark.records


@cache
def recorded() -> dict[tuple[str, int, str, int], Record]:
    """Records by method, protocol, split and seed."""
    return {(r.method, r.protocol, r.split, r.seed): r for r in read_records(ROOT / 'benchmarks')}


def percent(record: Record, measure: str) -> float:
    if measure == 'site':
        assert record.site is not None
        return 100 * site_hter(record.site, SITE_VIDEOS)
    return 100 * record.report[measure]['value']


def means(method: str, measure: str, splits: tuple[str, ...], seeds: tuple[int, ...]) -> list[float]:
    """Mean over splits of every seed, Protocol 1."""
    return [mean(percent(recorded()[method, 1, split, seed], measure) for split in splits) for seed in seeds]


def paired(ours: str, theirs: str, measure: str, splits: tuple[str, ...], seeds: tuple[int, ...]) -> str:
    """One method minus another, mean over splits, paired by seed: mean and 95 % interval."""
    both = [means(method, measure, splits, seeds) for method in (ours, theirs)]
    centre, half = mean_interval([a - b for a, b in zip(*both, strict=True)])
    return f'{centre:+.1f} ± {half:.1f}'


def page_of(method: str) -> str:
    return (ROOT / 'configs' / method / 'README.md').read_text(encoding='utf-8')


@pytest.mark.parametrize(('measure', 'title'), [('auc', 'AUC'), ('site', 'HTER, site')])
@pytest.mark.parametrize(
    ('other', 'name', 'regime', 'seeds'),
    [
        ('concat', 'minus ConcatNeck', DEFAULT, SEEDS_OF_DEFAULT),
        ('ama', 'minus AMANeck', DEFAULT, SEEDS_OF_DEFAULT),
        ('concat', 'trunk frozen', '_pretrained-frozen', SEEDS),
        ('concat', 'from scratch', '', SEEDS),
    ],
)
def test_what_mmdg_gains(
    other: str, name: str, regime: str, seeds: tuple[int, ...], measure: str, title: str
) -> None:
    ours, theirs = (NAME.format(method) + regime for method in ('mmdg', other))
    cells = [paired(ours, theirs, measure, splits, seeds) for splits in TARGETS]
    assert f'| {title}, {name} | {" | ".join(cells)} |' in page_of('mmdg')


def test_other_numbers_of_mmdg() -> None:
    keys = [
        [(NAME.format(m) + DEFAULT, 1, d, s) for d in DOMAINS for s in SEEDS_OF_DEFAULT]
        for m in ('mmdg', 'concat')
    ]
    ours, theirs = (mean(100 * site_hter(recorded()[key].site or {}, 50) for key in own) for own in keys)
    page = ' '.join(page_of('mmdg').split())
    assert f'the mean HTER is {ours:.1f} for MMDG and {theirs:.1f} for ConcatNeck' in page


#: How the page calls the ablations.
ABLATIONS = {
    '': 'MMDG',
    '_no-u-adapter': 'without U-Adapters',
    '_no-regrad': 'without ReGrad',
    '_no-ssp': 'cross entropy for the SSP loss',
    '_no-ssp-no-regrad': 'neither SSP nor ReGrad',
}


def test_what_the_parts_of_mmdg_do() -> None:
    page = page_of('mmdg').splitlines()
    methods = {NAME.format('mmdg') + variant + DEFAULT: name for variant, name in ABLATIONS.items()}
    whole, *parts = methods
    if not {key[0] for key in recorded()} & set(parts):
        assert any('In the default regime they have not been run yet' in line for line in page)
        return
    for method, name in methods.items():
        asked = [('auc', splits) for splits in TARGETS] + [('site', DOMAINS)]
        found = [mean_interval(means(method, measure, splits, SEEDS)) for measure, splits in asked]
        assert f'| {name} | {" | ".join(f"{centre:.1f} ± {half:.1f}" for centre, half in found)} |' in page
    for method in parts:
        asked = [('auc', NO_S), ('auc', ('cpw2s',)), ('auc', DOMAINS), ('site', NO_S), ('site', DOMAINS)]
        cells = [paired(whole, method, measure, splits, SEEDS) for measure, splits in asked]
        assert f'| {methods[method]} | {" | ".join(cells)} |' in page


def test_what_the_code_of_big_moe_changes() -> None:
    page, name = ' '.join(page_of('big_moe').split()), NAME.format('big-moe')
    cells = [key[1:] for key in recorded() if key[:2] == (name + DEFAULT, 2)]
    assert len(cells) == 36 and {seed for *_, seed in cells} == set(SEEDS_OF_SUBSETS)
    texts = {
        'hter': 'HTER at the dev threshold by {:.2f} points at most and {:.2f} on average',
        'auc': 'AUC by {:.2f} and {:.2f}',
    }
    for measure, text in texts.items():
        pairs = [[recorded()[(name + variant + DEFAULT, *cell)] for variant in ('', '_no-code')] for cell in cells]
        changes = [abs(percent(one, measure) - percent(other, measure)) for one, other in pairs]
        assert text.format(max(changes), mean(changes)) in page


#: What is left on S, as the page of MMDA heads its columns, and the split of Protocols 1, 2 and 2s.
LEFT = {
    'R+D+I': 'cpw2s',
    'R+D': 'cpw2s_no-ir',
    'R+I': 'cpw2s_no-depth',
    'D+I': 'cpw2s_no-rgb',
    'R': 'cpw2s_no-depth-ir',
    'D': 'cpw2s_no-rgb-ir',
    'I': 'cpw2s_no-rgb-depth',
}


def test_what_mmda_turns_round() -> None:
    page = page_of('mmda')
    aucs: dict[str, dict[str, list[float]]] = {}
    for (method, _, split, seed), record in recorded().items():
        if split in LEFT.values() and seed in SEEDS_OF_SUBSETS and method.endswith(f'synthfas-cps2w{DEFAULT}'):
            aucs.setdefault(method, {}).setdefault(split, []).append(percent(record, 'auc'))
    ours = aucs.pop(NAME.format('mmda') + DEFAULT)
    assert len(aucs) == 10 and all(len(found) == 3 for by_split in aucs.values() for found in by_split.values())
    cells = [f'{mean(ours[split]):.1f}' for split in LEFT.values()]
    assert f'| MMDA | {" | ".join(cells)} |' in page
    others = [[mean(by_split[split]) for by_split in aucs.values()] for split in LEFT.values()]
    assert f'| the ten others | {" | ".join(f"{min(o):.1f} to {max(o):.1f}" for o in others)} |' in page
    variants = {'_no-rs2': 'without RS2', '_no-md2a': 'without MD2A', '_no-u-dsa': 'without U-DSA', '': 'whole'}
    for variant, name in variants.items():
        centre, half = mean_interval(means(NAME.format('mmda') + variant + DEFAULT, 'auc', ('cpw2s',), SEEDS))
        assert f'{name} {centre:.1f} ± {half:.1f}' in page
    whole, without = (NAME.format('mmda') + variant + DEFAULT for variant in ('', '_no-rs2'))
    assert (
        f'the whole is {paired(whole, without, "auc", ("cpw2s",), SEEDS)} points from the one without it' in page
    )
