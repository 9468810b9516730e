"""EER, minimum HTER, TPR@FPR, BPCER@APCER and APCER@BPCER against loops, and their corner cases."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from mmfas.evaluation import functional as F

from . import rate_twins

TARGETS = ['0', '1/100', '1/20', '1/10', '1/3', '1/2', '1']


@pytest.mark.parametrize('num', [2, 7, 60])
@pytest.mark.parametrize('seed', range(8))
def test_eer_and_min_hter_equal_their_loops(seed: int, num: int) -> None:
    scores, is_live, _ = rate_twins.random_case(seed, num=num)
    for ours, twin in ((F.eer, rate_twins.eer_rates), (F.min_hter, rate_twins.min_hter_rates)):
        point, (far, frr) = ours(scores, is_live), twin(scores, is_live)
        assert (point.far.value, point.frr.value) == (float(far), float(frr))
        assert point.value == pytest.approx(float((far + frr) / 2), abs=1e-15)
        assert F.hter(scores, is_live, threshold=point.threshold) == point.value


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize('seed', range(6))
def test_bounded_points_equal_their_loops(seed: int, target: str) -> None:
    scores, is_live, pai = rate_twins.random_case(seed)
    bound = Fraction(target)
    tpr = F.tpr_at_fpr(scores, is_live, target=float(bound))
    assert tpr.tpr.value == float(rate_twins.tpr_at_fpr(scores, is_live, bound))
    assert tpr.fpr.value == F.far(scores, is_live, threshold=tpr.threshold).value <= float(bound)
    lenient = F.bpcer_at_apcer(scores, is_live, pai, target=float(bound))
    assert lenient.bpcer.value == float(rate_twins.bpcer_at_apcer(scores, is_live, pai, bound))
    assert lenient.apcer.max.value <= float(bound)
    strict = F.apcer_at_bpcer(scores, is_live, pai, target=float(bound))
    expected = rate_twins.apcer_at_bpcer(scores, is_live, pai, bound)
    assert {name: rate.value for name, rate in strict.apcer.per_pai.items()} == {
        name: float(rate) for name, rate in expected.items()
    }
    assert strict.bpcer.value <= float(bound)


def test_threshold_lies_in_the_middle_of_the_gap() -> None:
    scores, is_live = [0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]
    assert F.eer(scores, is_live).threshold == 0.5
    assert F.min_hter(scores, is_live).threshold == 0.5
    assert F.bpcer_at_apcer(scores, is_live, ['print'] * 4, target=0).threshold == 0.5


def test_bound_means_at_most_and_not_nearest() -> None:
    # 100 attacks: exactly one may pass at 1 %, none at 0.99 %. 7/100 must count as 7 %.
    scores = np.concatenate([np.arange(100) / 100, [0.985, 0.925]])
    is_live = np.arange(102) >= 100
    assert str(F.tpr_at_fpr(scores, is_live, target=0.01).fpr) == '1/100'
    assert str(F.tpr_at_fpr(scores, is_live, target=0.0099).fpr) == '0/100'
    assert str(F.tpr_at_fpr(scores, is_live, target=0.07).tpr) == '2/2'
    assert str(F.tpr_at_fpr(scores, is_live, target=0.0699).tpr) == '1/2'


def test_too_few_attacks_to_resolve_the_target() -> None:
    scores, is_live = np.linspace(0, 1, 20), np.arange(20) >= 10
    assert not F.tpr_at_fpr(scores, is_live, target=0.01).is_resolved
    assert F.tpr_at_fpr(scores, is_live, target=0.1).is_resolved


def test_tied_attack_at_the_top_leaves_nothing_to_accept() -> None:
    point = F.tpr_at_fpr([0.9, 0.9, 0.1], [1, 0, 0], target=0.01)
    assert str(point.tpr) == '0/1'
    assert point.threshold > 0.9


def test_strictest_instrument_decides() -> None:
    scores = [0.9, 0.6, 0.8, 0.1, 0.2, 0.3]
    pai = ['live', 'live', 'mask3d', 'print', 'print', 'print']
    is_live = [1, 1, 0, 0, 0, 0]
    # Pooled, one of four attacks may pass at 25 %; per instrument the only mask must not.
    assert str(F.bpcer_at_apcer(scores, is_live, pai, target=0.25).bpcer) == '1/2'
    assert str(F.tpr_at_fpr(scores, is_live, target=0.25).tpr) == '2/2'


@pytest.mark.parametrize('function', [F.bpcer_at_apcer, F.apcer_at_bpcer])
@pytest.mark.parametrize('target', [-0.1, 1.5, float('nan')])
def test_targets_outside_the_unit_interval_are_refused(function: object, target: float) -> None:
    with pytest.raises(ValueError, match=r'must be a rate in \[0, 1\]'):
        function([0.1, 0.9], [0, 1], ['print', 'live'], target=target)


@pytest.mark.parametrize('function', [F.eer, F.min_hter])
def test_one_class_is_refused(function: object) -> None:
    with pytest.raises(ValueError, match='undefined without spoof samples'):
        function([0.1, 0.9], [1, 1])


def test_of_two_equally_unequal_points_the_smaller_sum_is_the_eer() -> None:
    """At 0.9 FAR is 1/4 and FRR 3/4, at 0.5 they are 2/4 and 0/4: both 1/2 apart."""
    scores = [0.9, 0.5, 0.5, 0.5, 0.9, 0.5, 0.1, 0.1]
    point = F.eer(scores, [1, 1, 1, 1, 0, 0, 0, 0])
    assert (str(point.far), str(point.frr), point.value) == ('2/4', '0/4', 0.25)
    assert point.threshold == 0.1 + (0.5 - 0.1) / 2
