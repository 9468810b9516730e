"""ROC, DET and AUC: exact ties, scikit-learn, loops."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import det_curve as sklearn_det
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc

from mmfas.evaluation import functional as F
from mmfas.evaluation.functional.curves import middle_of_gap

from . import rate_twins


def _case(seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    if ties:
        return rate_twins.random_case(seed, num=300, num_levels=9)[:2]
    rng = np.random.default_rng(seed)
    is_live = rng.random(300) < 0.4
    return rng.normal(is_live * 1.5), is_live


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('seed', range(5))
def test_curve_and_area_equal_scikit_learn(seed: int, ties: bool) -> None:
    scores, is_live = _case(seed, ties)
    curve = F.roc_curve(scores, is_live)
    fpr, tpr, thresholds = sklearn_roc(is_live, scores, drop_intermediate=False)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    np.testing.assert_allclose(curve.far, fpr, rtol=0, atol=1e-15)
    np.testing.assert_allclose(curve.tpr, tpr, rtol=0, atol=1e-15)
    assert F.auc(scores, is_live) == pytest.approx(roc_auc_score(is_live, scores), abs=1e-12)


@pytest.mark.parametrize('seed', range(5))
def test_det_curve_has_the_points_of_scikit_learn(seed: int) -> None:
    scores, is_live = _case(seed, True)
    ours = {(round(x, 9), round(y, 9)) for x, y in zip(*F.det_curve(scores, is_live))}
    fpr, fnr, _ = sklearn_det(is_live, scores)
    assert {(round(x, 9), round(y, 9)) for x, y in zip(F.probit(fpr), F.probit(fnr))} <= ours


@pytest.mark.parametrize('seed', range(6))
def test_counts_and_area_equal_their_loops(seed: int) -> None:
    scores, is_live, _ = rate_twins.random_case(seed)
    curve = F.roc_curve(scores, is_live)
    assert curve.thresholds.tolist() == rate_twins.candidates(scores)
    for threshold, far, frr in zip(curve.thresholds, curve.far, curve.frr):
        assert far == float(rate_twins.far(scores, is_live, threshold))
        assert frr == float(rate_twins.frr(scores, is_live, threshold))
    assert F.auc(scores, is_live) == float(rate_twins.auc(scores, is_live))


def test_threshold_of_a_candidate_keeps_its_rates() -> None:
    scores, is_live, _ = rate_twins.random_case(3)
    curve = F.roc_curve(scores, is_live)
    for index in range(curve.thresholds.size):
        threshold = curve.threshold_at(index)
        assert np.isfinite(threshold)
        assert F.far(scores, is_live, threshold=threshold).value == curve.far[index]
        assert F.bpcer(scores, is_live, threshold=threshold).value == curve.frr[index]


def test_all_scores_equal_is_one_step_and_half_the_area() -> None:
    curve = F.roc_curve([0.5] * 4, [0, 1, 0, 1])
    assert curve.far.tolist() == [0, 1]
    assert curve.tpr.tolist() == [0, 1]
    assert F.auc([0.5] * 4, [0, 1, 0, 1]) == 0.5


def test_area_is_polarity_aware() -> None:
    assert F.auc([0.1, 0.9], [0, 1]) == 1.0
    assert F.auc([0.9, 0.1], [0, 1]) == 0.0


@pytest.mark.parametrize('function', [F.roc_curve, F.auc, F.det_curve])
def test_one_class_is_refused(function: object) -> None:
    with pytest.raises(ValueError, match='undefined without live samples'):
        function([0.1, 0.2], [0, 0])


def test_order_of_samples_does_not_matter() -> None:
    scores, is_live, _ = rate_twins.random_case(4)
    order = np.random.default_rng(0).permutation(scores.size)
    assert F.auc(scores, is_live) == F.auc(scores[order], is_live[order])
    assert F.eer(scores, is_live) == F.eer(scores[order], is_live[order])


def test_middle_of_a_gap_between_neighbouring_floats_is_the_upper_one() -> None:
    upper = float(np.nextafter(0.5, 1))
    assert middle_of_gap(0.5, upper) == upper
    assert middle_of_gap(1.0, float('inf')) > 1.0
