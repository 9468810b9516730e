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
#: End of the names of the default regime, which is on another version of SynthFAS than the trunks from scratch.
DEFAULT = '_pretrained-finetuned'
SEEDS = (0, 1, 2)
SEEDS_OF_DEFAULT = (0, 1, 2, 3)
#: Of Protocols 2 and 2s on renderer 1.1.0, see the plan of the grid.
SEEDS_OF_SUBSETS = (1, 2, 3)
DOMAINS = SPLITS[1]
NO_S = tuple(split for split in DOMAINS if split != 'cpw2s')
NO_DEPTH = tuple(split for split in SPLITS[2] if split.endswith('_no-depth'))

pytestmark = pytest.mark.records


@cache
def recorded() -> dict[tuple[str, int, str, int], Record]:
    """Records by method, protocol, split and seed."""
    return {
        (record.method, record.protocol, record.split, record.seed): record
        for record in read_records(ROOT / 'benchmarks')
        if record.data['renderer_version'] == ('1.1.0' if record.method.endswith(DEFAULT) else '1.0.0')
    }


def percent(record: Record, measure: str) -> float:
    if measure == 'site':
        assert record.site is not None
        return 100 * site_hter(record.site, SITE_VIDEOS)
    return 100 * record.report[measure]['value']


def means(method: str, measure: str, protocol: int, splits: tuple[str, ...]) -> list[float]:
    """Mean over splits of every seed."""
    records = recorded()
    seeds = SEEDS_OF_DEFAULT if method.endswith(DEFAULT) else SEEDS
    return [mean(percent(records[method, protocol, split, seed], measure) for split in splits) for seed in seeds]


def paired(
    other: str, measure: str, protocol: int, splits: tuple[str, ...], variant: str = '', regime: str = ''
) -> str:
    """MMDG minus another method, mean over splits, paired by seed: mean and 95 % interval."""
    ours = means(NAME.format('mmdg') + regime, measure, protocol, splits)
    theirs = means(NAME.format(other) + variant + regime, measure, protocol, splits)
    centre, half = mean_interval([a - b for a, b in zip(ours, theirs, strict=True)])
    return f'{centre:+.1f} ± {half:.1f}'


@pytest.mark.parametrize('measure', ['auc', 'hter'])
def test_what_mmdg_gains_over_concatenation(measure: str) -> None:
    page = (ROOT / 'configs/mmdg/README.md').read_text(encoding='utf-8')
    (row,) = (line for line in page.splitlines() if line.startswith(f'| {measure.upper()} |'))
    asked = [(1, NO_S), (1, ('cpw2s',)), (1, DOMAINS), (2, NO_DEPTH), (2, SPLITS[2]), (3, SPLITS[3])]
    cells = [paired('concat', measure, protocol, splits) for protocol, splits in asked]
    if measure == 'hter':
        assert cells[1] == '+0.0 ± 0.0'
        cells[1] = '0 (50 for all)'
    assert [cell.strip() for cell in row.strip('|').split('|')][1:] == cells


@pytest.mark.parametrize(('other', 'name'), [('concat', 'ConcatNeck'), ('ama', 'AMANeck')])
@pytest.mark.parametrize(('measure', 'title'), [('auc', 'AUC'), ('site', 'HTER, site')])
def test_what_mmdg_gains_in_the_default_regime(other: str, name: str, measure: str, title: str) -> None:
    page = (ROOT / 'configs/mmdg/README.md').read_text(encoding='utf-8')
    cells = [paired(other, measure, 1, splits, regime=DEFAULT) for splits in (*((s,) for s in DOMAINS), DOMAINS)]
    assert f'| {title}, minus {name} | {" | ".join(cells)} |' in page


def test_other_numbers_of_mmdg() -> None:
    page = (ROOT / 'configs/mmdg/README.md').read_text(encoding='utf-8')
    keys = [
        [(NAME.format(m) + DEFAULT, 1, d, s) for d in DOMAINS for s in SEEDS_OF_DEFAULT]
        for m in ('mmdg', 'concat')
    ]
    ours, theirs = (mean(100 * site_hter(recorded()[key].site or {}, 50) for key in own) for own in keys)
    assert f'the mean HTER is {ours:.1f} for MMDG and {theirs:.1f} for ConcatNeck' in ' '.join(page.split())
    assert f'level on these three (AUC {paired("ama", "auc", 1, NO_S)})' in page
    assert f'ahead with depth missing ({paired("ama", "auc", 2, NO_DEPTH)})' in page


#: How the page calls the ablations.
ABLATIONS = {
    '': 'MMDG',
    '_no-u-adapter': 'without U-Adapters',
    '_no-regrad': 'without ReGrad',
    '_no-ssp': 'cross entropy for the SSP loss',
    '_no-ssp-no-regrad': 'neither SSP nor ReGrad',
}


def test_what_the_parts_of_mmdg_do() -> None:
    page = (ROOT / 'configs/mmdg/README.md').read_text(encoding='utf-8').splitlines()
    for variant, name in ABLATIONS.items():
        asked = [('auc', (split,)) for split in DOMAINS] + [('auc', DOMAINS), ('hter', DOMAINS)]
        found = [mean_interval(means(NAME.format('mmdg') + variant, m, 1, splits)) for m, splits in asked]
        cells = [f'{centre:.1f} ± {half:.1f}' for centre, half in found]
        assert f'| {name} | {" | ".join(cells)} |' in page
        if not variant:
            continue
        asked = [('auc', NO_S), ('auc', ('cpw2s',)), ('auc', DOMAINS), ('hter', NO_S), ('hter', DOMAINS)]
        cells = [paired('mmdg', m, 1, splits, variant) for m, splits in asked]
        assert f'| {name} | {" | ".join(cells)} |' in page


def test_what_the_code_of_big_moe_changes() -> None:
    page = ' '.join((ROOT / 'configs/big_moe/README.md').read_text(encoding='utf-8').split())
    name = NAME.format('big-moe')
    for measure in ('hter', 'auc'):
        changes = [
            abs(percent(record, measure) - percent(recorded()[(f'{name}_no-code', *key[1:])], measure))
            for key, record in recorded().items()
            if key[0] == name and key[1] == 2
        ]
        assert len(changes) == 36
        most, average = f'{max(changes):.2f}', f'{mean(changes):.2f}'
        sentences = dict(
            hter=f'HTER by {most} points at most and {average} on average', auc=f'AUC by {most} and {average}'
        )
        assert sentences[measure] in page


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
    page = (ROOT / 'configs/mmda/README.md').read_text(encoding='utf-8')
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
    for variant, name in (('_no-rs2', 'RS2'), ('_no-md2a', 'MD2A'), ('_no-u-dsa', 'U-DSA')):
        record = recorded()[NAME.format('mmda') + variant + DEFAULT, 1, 'cpw2s', 1]
        assert f'without {name} {percent(record, "auc"):.1f}' in page
    whole = recorded()[NAME.format('mmda') + DEFAULT, 1, 'cpw2s', 1]
    assert f'with all of them {percent(whole, "auc"):.1f}' in page
