"""The claims: every cell once, the rule that decides, and pages that say what the rule says."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from scipy import stats

from mmfas.apis.model_index import configs_folder
from mmfas.benchmark.methods import config_hash
from mmfas.utils.runs import write_run_record
from projects.claims.__main__ import main
from projects.claims.page import claims_tables, plan_table, read_values, refresh_page
from projects.claims.plan import REGIME, REGIMES, Arm, Claims, by_training, cells_of, read_claims
from projects.claims.runs import domain_part
from projects.claims.verdicts import FAILS, HOLDS, UNDECIDED, complete_seeds, effects_of, make_effect

CLAIMS = read_claims()


def of(name: str) -> Any:
    return CLAIMS.select([name]).claims[0]


def test_every_cell_is_planned_once_and_trainings_are_shared() -> None:
    cells = cells_of(CLAIMS, CLAIMS.seeds)
    assert len({cell.name for cell in cells}) == len(cells) == 588
    trainings = by_training(cells)
    assert len({training.name for training in trainings}) == len(trainings) == 19 * 12
    assert sum(map(len, trainings.values())) == len(cells)
    seeds = [cell.training.seed for cell in cells]
    assert seeds == sorted(seeds), 'a whole seed is done before the next'
    needed = {cell.name for claim in CLAIMS.claims for cell in cells_of(CLAIMS.select([claim.name]), CLAIMS.seeds)}
    assert needed == {cell.name for cell in cells}
    more = cells_of(CLAIMS, [0, 1, 2, 3])
    assert more[: len(cells)] == cells, 'more seeds leave the planned ones as they are'


@pytest.mark.parametrize('regime', ['pretrained-frozen', 'pretrained-finetuned'])
@pytest.mark.parametrize('config', ['mmdg/mmdg', 'baselines/ama'])
def test_a_regime_is_that_of_the_shipped_configs(config: str, regime: str) -> None:
    stem = f'{config}_mini-vit_1xb32-12e_synthfas-cps2w'
    shipped = Config.fromfile(configs_folder() / f'{stem}_{regime}.py')
    assert config_hash(Arm('any', f'{stem}.py').load(regime)) == config_hash(shipped)
    assert config_hash(Arm('any', f'{stem}.py').load('scratch')) != config_hash(shipped)


def test_every_text_is_there_in_both_languages() -> None:
    for claim in CLAIMS.claims:
        assert [set(text) for text in claim.texts.values()] == [{'en', 'zh'}] * 3, claim.name


def test_arms_differ_and_all_have_the_regime() -> None:
    arms = {arm.name: arm for claim in CLAIMS.claims for arm in claim.arms}
    loaded = {name: arm.load(REGIME) for name, arm in arms.items()}
    assert len({config_hash(cfg) for cfg in loaded.values()}) == len(arms) == 15
    assert all(cfg.model.trunk.frozen == ('patch', 'blocks') for cfg in loaded.values())
    assert loaded['mmdg_no-suppression-no-regrad'].model.neck.uncertainty == dict(rate=0.0)
    assert loaded['mmdg_no-u-adapter-no-regrad'].optim_wrapper.modulator == dict(type='Sum')
    assert loaded['mmda_one-anchor'].model.head.anchors.num_anchors == [1, 1]
    assert loaded['mmda_no-subtraction'].model.neck.fixed_lambda == 0.0


@pytest.mark.parametrize(
    ('centre', 'claimed', 'verdict'),
    [(0.2, 'higher', HOLDS), (-0.2, 'higher', FAILS), (-0.2, 'lower', HOLDS), (0.2, 'lower', FAILS)]
    + [(0.01, side, UNDECIDED) for side in ('higher', 'lower')],
)
def test_the_side_of_the_interval_decides(centre: float, claimed: str, verdict: str) -> None:
    rng = np.random.default_rng(0)
    pairs = list(product(CLAIMS.splits, CLAIMS.seeds))
    differences = {pair: float(value) for pair, value in zip(pairs, rng.normal(centre, 0.1, len(pairs)))}
    effect = make_effect(differences, claimed, confidence=CLAIMS.confidence)
    assert effect.verdict == verdict
    twin = stats.ttest_1samp(list(differences.values()), 0.0).confidence_interval(CLAIMS.confidence)
    assert (effect.low, effect.high) == pytest.approx((twin.low, twin.high))


def test_one_pair_has_no_interval() -> None:
    with pytest.raises(ValueError, match='needs two pairs of seed and split at least, got 1'):
        make_effect({('cps2w', 0): 0.1}, 'higher', confidence=0.95)


def values_of(claims: Claims, seeds: tuple[int, ...] = (0, 1, 2)) -> dict[str, dict[str, float]]:
    """Values drawn for all cells of claims."""
    rng = np.random.default_rng(1)
    return {cell.name: dict(zip(('auc', 'hter', 'domain'), rng.random(3))) for cell in cells_of(claims, seeds)}


@pytest.mark.parametrize('name', ['regrad-more', 'isolation', 'ssp', 'md2a-domain'])
def test_effects_are_what_a_loop_over_cells_gives(name: str) -> None:
    claim = of(name)
    values = values_of(CLAIMS.select([name]))
    effects = effects_of(claim, CLAIMS, values, CLAIMS.seeds)
    assert list(effects) == (['domain'] if name == 'md2a-domain' else ['auc', 'hter'])
    for measure, effect in effects.items():
        arms: list[list[float]] = [[], []]
        for (split, seed), (own, arm) in product(product(CLAIMS.splits, CLAIMS.seeds), zip(arms, claim.arms)):
            found = {}
            for train, test in claim.all_conditions:
                slugs = [text.replace('=', '-').replace(',', '+') for text in (train, test)]
                found[train, test] = values[f'{arm.name}_{slugs[0]}_{split}_seed{seed}_on_{slugs[1]}'][measure]
            own.append(mean(found[key] for key in claim.conditions))
            own[-1] -= found[claim.against] if claim.against else 0.0
        twin = stats.ttest_rel(*arms).confidence_interval(CLAIMS.confidence)
        assert (effect.low, effect.high) == pytest.approx((twin.low, twin.high))
        assert effect.value == pytest.approx(mean(arms[0]) - mean(arms[1]))
    if len(effects) == 2:
        assert (effects['auc'].claimed, effects['hter'].claimed) == ('higher', 'lower')


def test_targets_on_the_claimed_side_are_counted() -> None:
    differences = dict(zip(product(CLAIMS.splits, (0, 1)), (0.1, 0.1, -0.1, 0.0, 0.3, -0.1, -0.2, 0.1)))
    assert make_effect(differences, 'higher', confidence=0.95).num_splits_as_claimed == 2
    assert make_effect(differences, 'lower', confidence=0.95).num_splits_as_claimed == 2


def test_a_seed_counts_only_with_all_its_cells() -> None:
    claims = CLAIMS.select(['ssp'])
    values = values_of(claims, (0, 1, 2, 7))
    assert complete_seeds(of('ssp'), claims, values) == [0, 1, 2, 7]
    del values['mmdg_no-ssp_clean_cpw2s_seed1_on_clean']
    assert complete_seeds(of('ssp'), claims, values) == [0, 2, 7]


def test_rows_say_the_same_in_both_languages_and_not_run_where_cells_are_missing() -> None:
    claims = CLAIMS.select(['ssp', 'md2a-domain', 'u-dsa'])
    values = values_of(CLAIMS.select(['ssp', 'md2a-domain']))
    english, chinese = (claims_tables(claims, values, language) for language in ('en', 'zh'))
    assert list(english) == list(chinese) == ['MMDG', 'MMDA']
    assert english['MMDA'].splitlines()[-1].endswith('| not run | - | - | 0 | not run |')
    assert chinese['MMDA'].splitlines()[-1].endswith('| 未运行 | - | - | 0 | 未运行 |')
    effect = effects_of(of('ssp'), claims, values, CLAIMS.seeds)['auc']
    low, high = (f'{100 * value:+.1f}' for value in (effect.low, effect.high))
    for row in (english['MMDG'].splitlines()[-1], chinese['MMDG'].splitlines()[-1]):
        assert f'| {100 * effect.value:+.1f} [{low}, {high}] |' in row
        assert f'| {effect.num_splits_as_claimed} / 4 | 3 |' in row
    del values['mmdg_clean_cps2w_seed2_on_clean']
    assert claims_tables(claims, values, 'en')['MMDG'].endswith('| not run | - | - | 2 | not run |')


def test_tables_go_between_the_marks_of_a_page() -> None:
    page = 'a\n<!-- claims of X -->\nold\n<!-- end -->\nb\n'
    new = refresh_page(page, {'X': '| t |'})
    assert new == 'a\n<!-- claims of X -->\n\n| t |\n\n<!-- end -->\nb\n'
    assert refresh_page(new, {'X': '| t |'}) == new
    with pytest.raises(ValueError, match="needs one line '<!-- claims of Y -->'"):
        refresh_page(page, {'Y': '| t |'})


def test_records_of_two_configs_or_data_make_no_table(tmp_path: Path) -> None:
    record = {'arm': 'a', 'regime': 'r', 'data': 1, 'perturbations_version': 2, 'config_hash': 'x', 'values': {}}
    write_run_record(tmp_path / 'a1.json', record)
    write_run_record(tmp_path / 'b1.json', {**record, 'arm': 'b', 'config_hash': 'y'})
    assert set(read_values(tmp_path)) == {'a1', 'b1'}
    write_run_record(tmp_path / 'a2.json', {**record, 'config_hash': 'y'})
    with pytest.raises(ValueError, match='records of different config_hash of a: x and y'):
        read_values(tmp_path)
    write_run_record(tmp_path / 'a2.json', {**record, 'data': 2})
    with pytest.raises(ValueError, match='records of different data of all arms: 1 and 2'):
        read_values(tmp_path)


def test_the_plan_counts_what_is_left_with_measured_seconds() -> None:
    cells = cells_of(CLAIMS.select(['ssp', 'md2a-domain']), [0])
    unknown = plan_table(cells, cells, {})
    assert '16 of 16 cells left; no cell has been timed yet' in unknown and '| not measured |' in unknown
    records = {'x.json': {'arm': 'mmdg', 'seconds': {'train': 3600.0, 'score': 0.0}}}
    # 4 trainings of MMDG took an hour each, the 12 others are counted like it
    assert '16.0 hours of one process, 12 trainings of which by the mean' in plan_table(cells, cells, records)
    assert plan_table(cells, cells[:4], records).endswith('4 of 16 cells left, 4.0 hours of one process')
    assert plan_table(cells, [], records).endswith('0 of 16 cells left')


def test_the_part_between_domains_ignores_scale_and_place() -> None:
    rng = np.random.default_rng(0)
    domain = np.array(['a'] * 8 + ['b'] * 4)
    features = rng.normal(size=(12, 3)) + 2.0 * (domain == 'b')[:, None]
    part = domain_part(features, domain)
    assert part == pytest.approx(domain_part(7 * features + 3, domain)) and 0 < part < 1
    assert part == pytest.approx(
        domain_part(np.concatenate([features, features[:8]]), np.append(domain, ['a'] * 8))
    )
    assert domain_part(np.array([[1.0], [1.0], [2.0]]), np.array(['a', 'a', 'b'])) == 1.0


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--only', 'nothing'], "there is no claim 'nothing'"),
        (['--regime', 'none'], "there is no regime 'none'; choose from scratch"),
        (['--data-root', 'nowhere'], "'nowhere' holds no SynthFAS; render it: mmfas data render nowhere"),
    ],
)
def test_mistakes_are_told_before_anything_is_done(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, '--records', str(tmp_path), '--work-dir', str(tmp_path / 'work')]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_every_regime_is_known_to_the_configs() -> None:
    names = {path.stem.replace('_', '-') for path in (configs_folder() / '_base_/regimes').glob('*.py')}
    assert set(REGIMES) - {'scratch'} == names
