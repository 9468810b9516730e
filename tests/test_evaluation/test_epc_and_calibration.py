"""Expected performance curve, calibration error, temperature and Platt scaling, and their way into reports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmfas.cli.scores import eval as scores_eval
from mmfas.evaluation import FASMetric, ScoreRules, ScoreTable, evaluate_scores
from mmfas.evaluation.functional import ScoreCalibration, epc, fit_calibration, reliability

from . import rate_twins
from .tables import make_table


def test_epc_equals_a_search_over_all_thresholds() -> None:
    dev_score, dev_live, _ = rate_twins.random_case(1, num=50)
    test_score, test_live, _ = rate_twins.random_case(2, num=50)
    curve = epc((dev_score, dev_live), (test_score, test_live), num_points=11)
    for number, alpha in enumerate(np.linspace(0, 1, 11)):
        rates = []
        for threshold in rate_twins.candidates(dev_score):
            far, frr = (float(rate(dev_score, dev_live, threshold)) for rate in (rate_twins.far, rate_twins.frr))
            rates.append((round(alpha * far + (1 - alpha) * frr, 12), abs(far - frr)))
        chosen = curve.thresholds[number]
        found = [float(rate(dev_score, dev_live, chosen)) for rate in (rate_twins.far, rate_twins.frr)]
        cost = alpha * found[0] + (1 - alpha) * found[1]
        assert (round(cost, 12), abs(found[0] - found[1])) == pytest.approx(min(rates))
        assert curve.far[number] == float(rate_twins.far(test_score, test_live, chosen))
        assert curve.frr[number] == float(rate_twins.frr(test_score, test_live, chosen))
    assert curve.hter[5] == pytest.approx(curve.weighted[5]), 'at equal prices both are HTER'
    at_least = evaluate_scores(
        *(ScoreTable.from_records(_rows(s, y, d)) for s, y, d in [(test_score, test_live, 'W')]),
        dev=ScoreTable.from_records(_rows(dev_score, dev_live, 'C')),
        criterion='min-hter',
        num_bootstrap=0,
    )
    assert at_least.operating.hter.value == pytest.approx(curve.hter[5])
    with pytest.raises(ValueError, match='num_points must be at least 2'):
        epc((dev_score, dev_live), (test_score, test_live), num_points=1)


def _rows(score: np.ndarray, is_live: np.ndarray, domain: str) -> list[dict[str, object]]:
    return [
        dict(sample_id=str(i), domain=domain, label=int(y), score=s)
        for i, (s, y) in enumerate(zip(score, is_live))
    ]


def test_reliability_equals_scikit_learn_and_ece_a_loop() -> None:
    calibration = pytest.importorskip('sklearn.calibration')
    table = make_table(300, 1)
    bins = reliability(table.score, table.is_live, num_bins=15)
    filled = bins.counts > 0
    fraction, mean = calibration.calibration_curve(table.is_live, table.score, n_bins=15)
    np.testing.assert_allclose(bins.fraction_live[filled], fraction)
    np.testing.assert_allclose(bins.mean_score[filled], mean)
    ece = 0.0
    for low in np.arange(15) / 15:
        inside = (table.score >= low) & ((table.score < low + 1 / 15) | (low + 1 / 15 > 0.999))
        if inside.any():
            ece += inside.mean() * abs(table.is_live[inside].mean() - table.score[inside].mean())
    assert bins.ece == pytest.approx(ece)
    assert reliability([0.0, 1.0], [0, 1]).ece == 0
    with pytest.raises(ValueError, match=r'scores in \[0, 1\], got 1.5'):
        reliability([0.2, 1.5], [0, 1])


def test_platt_is_that_of_scikit_learn_and_temperature_a_fine_search() -> None:
    sigmoid = pytest.importorskip('sklearn.calibration')._sigmoid_calibration
    table = make_table(300, 1, shift=1.0)
    logits = np.log(table.score / (1 - table.score))
    a, b = sigmoid(logits, table.label)
    fitted = fit_calibration(table.score, table.is_live, method='platt')
    assert (fitted.slope, fitted.intercept) == pytest.approx((-a, -b), rel=1e-3, abs=1e-3)
    num_live, num_spoof = table.num_live, table.num_spoof
    targets = np.where(table.is_live, (num_live + 1) / (num_live + 2), 1 / (num_spoof + 2))
    slopes = np.linspace(0.1, 4, 4001)
    losses = [np.mean(np.logaddexp(0, s * logits) - targets * s * logits) for s in slopes]
    temperature = fit_calibration(table.score, table.is_live, method='temperature')
    assert temperature.slope == pytest.approx(slopes[int(np.argmin(losses))], abs=1e-3)
    assert temperature.intercept == 0


@pytest.mark.parametrize('method', ['temperature', 'platt'])
def test_no_decision_changes_and_dev_gets_better_calibrated(method: str) -> None:
    dev, test = make_table(400, 0, domain='C', shift=1.5), make_table(400, 1, shift=1.5)
    plain = evaluate_scores(test, dev=dev, num_bootstrap=0)
    report = evaluate_scores(test, dev=dev, calibration=method, num_bootstrap=0)
    assert report.operating == plain.operating and report.auc == plain.auc
    part = report.calibration
    losses = [
        -np.mean(np.log(np.where(dev.is_live, score, 1 - score))) for score in (dev.score, part.fitted(dev.score))
    ]
    assert losses[1] < losses[0]
    assert method == 'temperature' or part.ece_dev[1] < part.ece_dev[0], 'a factor alone cannot undo a shift'
    for table in (dev, test):
        calibrated = part.fitted(table.score) >= part.threshold.value
        assert (calibrated == (table.score >= plain.operating.threshold.value)).all()
    assert part.threshold.origin == f'dev-eer, {method}'
    assert set(report.to_dict()) - set(plain.to_dict()) == {'calibration'}
    assert 'no decision changes' in report.table()


@pytest.mark.parametrize(('centre', 'spread'), [(8.4, 0.05), (-16.0, 0.03), (0.0, 3.0)])
def test_platt_finds_the_minimum_where_scores_hardly_differ(centre: float, spread: float) -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(200) < 0.4
    plain = rng.normal(size=200) + 3 * labels
    here, wide = (fit_calibration(1 / (1 + np.exp(-z)), labels) for z in (centre + spread * plain, plain))
    # the same data on another scale: the same line, on that scale
    assert here.slope * spread == pytest.approx(wide.slope, rel=1e-3)
    assert here.intercept + here.slope * centre == pytest.approx(wide.intercept, abs=1e-2)


def test_decisions_that_run_together_are_counted_instead_of_denied() -> None:
    dev = ScoreTable.from_records(
        dict(sample_id=f'd{i}', label=int(s > 0.5), score=s) for i, s in enumerate([0.4, 0.45, 0.55, 0.6])
    )
    test = ScoreTable.from_records(
        dict(sample_id=f't{i}', label=i % 2, score=s) for i, s in enumerate([0.1, 0.5, 1 - 1e-9, 1 - 1e-10])
    )
    report = evaluate_scores(test, dev=dev, criterion=f'fixed={1 - 5e-10}', calibration='temperature')
    assert report.calibration.num_changed == 1
    assert '1 decisions differ, as probabilities run together: take the score' in report.table()


def test_thresholds_beyond_the_scores_and_scores_of_zero_and_one_decide_as_before() -> None:
    fitted = ScoreCalibration('platt', slope=2.0, intercept=-1.0)
    scores = np.array([0.0, 1e-9, 0.3, 0.5, 0.999, 1.0])
    for threshold in (-0.5, 0.0, 0.3, 0.4, 1.0, float(np.nextafter(1.0, 2.0))):
        expected = scores >= threshold
        assert (fitted(scores) >= fitted.threshold(threshold)).tolist() == expected.tolist(), threshold


def test_separated_dev_scores_have_a_finite_slope() -> None:
    fitted = fit_calibration([0.0, 0.0, 0.0, 1.0, 1.0], [0, 0, 0, 1, 1], method='temperature')
    assert 0 < fitted.slope < 100


@pytest.mark.parametrize(
    ('scores', 'method', 'text'),
    [
        ([0.9, 0.1], 'platt', 'do not rank live above attacks'),
        ([0.1, 1.2], 'platt', r'scores in \[0, 1\]'),
        ([0.1, 0.9], 'isotonic', 'one of temperature, platt'),
    ],
)
def test_what_cannot_be_calibrated_is_refused(scores: list[float], method: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        fit_calibration(scores, [0, 1], method=method)


def test_a_temperature_cannot_lower_scores_that_are_all_too_high() -> None:
    scores, labels = [0.6, 0.8, 0.8, 0.9], [0, 0, 0, 1]
    with pytest.raises(ValueError, match='no positive slope.*take platt'):
        fit_calibration(scores, labels, method='temperature')
    assert fit_calibration(scores, labels, method='platt').slope > 0


def test_calibration_needs_dev_scores() -> None:
    with pytest.raises(ValueError, match="calibration 'platt' is fitted on dev scores"):
        evaluate_scores(make_table(60, 1), threshold=0.5, calibration='platt')
    with pytest.raises(ValueError, match='calibration must be one of none, temperature, platt'):
        ScoreRules(calibration='isotonic')
    with pytest.raises(ValueError, match='slope > 0'):
        ScoreCalibration('platt', slope=-1.0)


@pytest.mark.engine
def test_metric_and_command_report_the_calibration_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is fitted on dev_scores: give them with split='test'"):
        FASMetric('test', threshold=0.5, calibration='platt')
    dev, test = make_table(200, 0, domain='C', shift=1.0), make_table(200, 1)
    dev.to_csv(tmp_path / 'dev.csv')
    test.to_csv(tmp_path / 'W.csv')
    metric = FASMetric('test', dev_scores=str(tmp_path / 'dev.csv'), calibration='platt')
    rows = [{**row, 'gt_label': row['label'], 'pred_score': row['score']} for row in test.to_records()]
    metric.process(None, rows)
    found = metric.evaluate(len(rows))
    part = evaluate_scores(test, dev=dev, calibration='platt', num_bootstrap=0).calibration
    assert (found['test/ece'], found['test/ece_calibrated']) == part.ece_test
    assert found['test/threshold_calibrated'] == part.threshold.value
    out = tmp_path / 'out.json'
    options = ['--calibration', 'platt', '--bootstrap', '0', '--out', str(out)]
    assert scores_eval.main([str(tmp_path / 'W.csv'), '--dev', str(tmp_path / 'dev.csv'), *options]) == 0
    assert json.loads(out.read_text(encoding='utf-8'))['reports'][0]['calibration'] == part.to_dict()
