"""Which differences between methods are real, and the tables at the threshold of the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_records import CURRENT, add_record, with_numbers
from scipy.stats import ttest_rel

from mmfas.benchmark.differences import differences, sentence
from mmfas.benchmark.markdown_tables import SITE_RESULTS, refresh_page
from mmfas.benchmark.plan import SPLITS, Cell
from mmfas.benchmark.records import read_records
from mmfas.benchmark.tables import RecordSelection, choose

METHODS = ('ama', 'concat', 'mmdg')
SEEDS = range(5)
NAME = '{}_mini-vit_1xb32-12e_synthfas-cps2w'
#: Method -> HTER by seed, before the split adds its own.
ERRORS = {
    'ama': (0.20, 0.22, 0.21, 0.19, 0.23),
    'concat': (0.30, 0.33, 0.31, 0.29, 0.335),
    'mmdg': (0.21, 0.20, 0.24, 0.18, 0.23),
}


def at_site(hter: float) -> dict[str, Any]:
    """What a record says of five live videos of the target, as far as tables read it."""
    return {'numbers': [{'domain': 'W', 'num_videos': 5, 'hter': {'value': hter}}], 'left_out': []}


@pytest.fixture(scope='module')
def chosen(tmp_path_factory: pytest.TempPathFactory) -> RecordSelection:
    """Records of three methods, five seeds, Protocol 1."""
    folder = tmp_path_factory.mktemp('records')
    names = [NAME.format(method) for method in METHODS]
    records = [
        add_record(
            folder,
            Cell(NAME.format(method), 1, split, seed),
            data=CURRENT,
            report=with_numbers(0.5, 0.9),
            site=at_site(ERRORS[method][seed] + 0.01 * number),
        )
        for method in METHODS
        for seed in SEEDS
        for number, split in enumerate(SPLITS[1])
    ]
    return RecordSelection(tuple(records), dict.fromkeys(names, 'Baselines'), ())


def test_p_values_are_those_of_scipy_with_the_correction_of_holm(chosen: RecordSelection) -> None:
    found = differences(chosen, 1, 'site_hter_5')
    assert [(pair.lower, pair.higher) for pair in found] == [
        ('ama_mini-vit', 'concat_mini-vit'),
        ('mmdg_mini-vit', 'concat_mini-vit'),
        ('ama_mini-vit', 'mmdg_mini-vit'),
    ]
    pairs = (('ama', 'concat'), ('mmdg', 'concat'), ('ama', 'mmdg'))
    raw = [ttest_rel(ERRORS[a], ERRORS[b]).pvalue for a, b in pairs]
    holm = np.maximum.accumulate(np.array(raw) * (3, 2, 1))
    assert [pair.p for pair in found] == pytest.approx(np.minimum(holm, 1))
    assert [pair.is_real for pair in found] == [True, True, False]
    assert found[0].gap == pytest.approx(np.mean(ERRORS['concat']) - np.mean(ERRORS['ama']))


def test_the_sentence_names_real_differences_only(chosen: RecordSelection) -> None:
    said = sentence(differences(chosen, 1, 'site_hter_5'))
    assert said == (
        'Differences of the means that chance does not explain (paired t test over seeds, Holm correction for 3 '
        'pairs, 5 %): `ama_mini-vit` below `concat_mini-vit` (by 10.3); `mmdg_mini-vit` below `concat_mini-vit` '
        '(by 10.1); all others may be chance.'
    )
    assert sentence(differences(chosen, 1, 'hter')).startswith('No difference between the means is larger')
    assert sentence(differences(chosen, 3, 'hter')).startswith('No two methods have two seeds in common')


def test_a_page_shows_intervals_and_compares_only_its_own_rows(chosen: RecordSelection) -> None:
    rule = f'|{" --- |" * (SITE_RESULTS.header.count("|") - 1)}'
    rows = ''.join(f'| `{name}_mini-vit` | old |\n' for name in ('concat', 'ama'))
    page = f'{SITE_RESULTS.header}\n{rule}\n{rows}\nNo two methods have two seeds yet.\n'
    lines = refresh_page(page, chosen).splitlines()
    assert lines[0] == '| HTER %, site (5 live videos) / AUC % | CPS→W | CPW→S | CSW→P | PSW→C | mean | seeds |'
    assert lines[2].split(' | ')[1] == '31.3 ± 2.4 / 90.0 ± 0.0'
    assert lines[3] == (
        '| `ama_mini-vit` | 21.0 ± 2.0 / 90.0 ± 0.0 | 22.0 ± 2.0 / 90.0 ± 0.0 | 23.0 ± 2.0 / 90.0 ± 0.0 | '
        '24.0 ± 2.0 / 90.0 ± 0.0 | 22.5 ± 2.0 / 90.0 ± 0.0 | 5 |'
    )
    assert 'Holm correction for 1 pair,' in lines[-1] and 'mmdg' not in lines[-1]
    assert refresh_page('\n'.join(lines) + '\n', chosen).splitlines() == lines


def test_a_pair_without_spread_is_decided_by_its_gap(tmp_path: Path) -> None:
    for method, hter in (('ama', 0.2), ('concat', 0.2), ('mmdg', 0.3)):
        for seed in (0, 1):
            for split in SPLITS[1]:
                add_record(tmp_path, Cell(NAME.format(method), 1, split, seed), report=with_numbers(hter, 0.9))
    found = {(pair.lower, pair.higher): pair.p for pair in differences(choose(read_records(tmp_path)), 1, 'hter')}
    assert found['ama_mini-vit', 'concat_mini-vit'] == 1.0
    assert found['ama_mini-vit', 'mmdg_mini-vit'] == 0.0
