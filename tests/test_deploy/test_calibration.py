"""A calibration in a bundle: stored with its threshold, brought back, shown, and without a say in decisions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmfas.deploy.bundle import Bundle, json_of
from mmfas.deploy.bundle_file import read_bundle, write_bundle
from mmfas.deploy.bundle_making import make_bundle
from mmfas.deploy.card import card
from mmfas.deploy.decision import DecisionRule, rule_from_dev
from mmfas.deploy.verdict import Verdict, verdict_of
from mmfas.deploy.verdict_files import COLUMNS, row_of, table_line
from mmfas.evaluation import ScoreRules, ScoreTable, evaluate_scores

pytestmark = pytest.mark.engine


def scores(seed: int, domain: str = 'C') -> ScoreTable:
    """Scores that are too high for probabilities."""
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(120):
        live = index % 3 == 0
        score = 1 / (1 + np.exp(-rng.normal(3.5 if live else 0.0, 1.5)))
        rows.append(dict(sample_id=str(index), domain=domain, label=int(live), score=score))
    return ScoreTable.from_records(rows)


@pytest.mark.parametrize('criterion', ['eer', 'bpcer@apcer=0.1', 'fixed=0.9'])
@pytest.mark.parametrize('method', ['temperature', 'platt'])
def test_decisions_on_probabilities_are_those_on_scores(criterion: str, method: str) -> None:
    dev, test = scores(0), scores(1, 'W')
    plain = rule_from_dev(dev, ScoreRules(criterion), max_apcer=0.05, max_bpcer=0.02)
    rule = rule_from_dev(dev, ScoreRules(criterion, calibration=method), max_apcer=0.05, max_bpcer=0.02)
    assert replace(rule, calibration=None) == plain
    low, high = rule.probability_limits
    for score in [*test.score.tolist(), 0.0, 1.0, plain.threshold, *plain.limits]:
        assert rule.decide(score) == plain.decide(score)
        probability = rule.probability(score)
        by_probability = 'live' if probability >= high else 'spoof' if probability < low else 'undecided'
        assert by_probability == plain.decide(score)
    if criterion == 'eer':
        report = evaluate_scores(test, dev=dev, calibration=method, num_bootstrap=0)
        assert report.calibration.fitted == rule.calibration
        assert rule.to_dict()['calibration']['threshold'] == report.calibration.threshold.value


def test_a_band_that_dev_cannot_resolve_is_noted() -> None:
    rule = rule_from_dev(scores(0), ScoreRules(), max_apcer=0.001, max_bpcer=0.2)
    assert any('APCER 0.001 cannot be resolved on dev' in note for note in rule.notes)
    assert not any('BPCER' in note for note in rule.notes)


def test_a_rule_survives_its_record_and_one_without_calibration_is_as_before() -> None:
    rule = rule_from_dev(scores(0), ScoreRules(calibration='platt'))
    content = json.loads(json.dumps(rule.to_dict()))
    assert DecisionRule.from_dict(content) == rule
    assert set(content['calibration']) == {'method', 'slope', 'intercept', 'threshold', 'limits'}
    plain = rule_from_dev(scores(0), ScoreRules())
    assert 'calibration' not in plain.to_dict() and plain.probability(0.5) is None
    assert DecisionRule.from_dict(json.loads(json.dumps(plain.to_dict()))) == plain


def test_a_bundle_brings_its_calibration_back(bundle: Bundle, tmp_path: Path) -> None:
    rule = rule_from_dev(scores(0), ScoreRules(calibration='platt'))
    calibrated = replace(bundle, decision=rule)
    read = read_bundle(write_bundle(calibrated, tmp_path / 'model.mmfas.pth'))
    assert read.decision == rule and json_of(read.record()) == json_of(calibrated.record())
    assert 'probability' in card(read) and 'platt' in card(read) and 'probability' not in card(bundle)


def test_verdicts_show_the_probability() -> None:
    rule = rule_from_dev(scores(0), ScoreRules(calibration='platt'))
    verdict = verdict_of('a', 0.8, rule, modalities=('rgb',), elapsed_ms=1.0)
    assert verdict.score == 0.8 and verdict.probability == rule.probability(0.8)
    assert row_of(verdict)[COLUMNS.index('probability')] == str(verdict.probability)
    assert '% live, rgb' in table_line(verdict)
    content = verdict.to_dict()
    assert Verdict.from_dict(content) == verdict
    del content['probability']
    assert Verdict.from_dict(content).probability is None, 'journals of earlier versions have none'


def test_no_calibration_without_dev_scores(tmp_path: Path) -> None:
    from mmengine.config import Config

    rules = ScoreRules('fixed=0.5', calibration='platt')
    with pytest.raises(ValueError, match=r'calibration \(platt\) is fitted on dev scores: give --dev-scores'):
        make_bundle(Config(dict(model=dict(type='MultiModalFAS'))), tmp_path / 'none.pth', rules=rules)
