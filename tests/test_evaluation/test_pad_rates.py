"""APCER, BPCER, HTER and ACER at a given threshold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mmfas.evaluation import functional as F

from . import rate_twins

# A table small enough to count by hand, threshold 0.5; the 0.5 scores are ties with it and are accepted.
SCORES = [0.9, 0.5, 0.4, 0.7, 0.5, 0.1, 0.2, 0.6, 0.3]
IS_LIVE = [True, True, True, False, False, False, False, False, False]
PAI = ['live', 'live', 'live', 'print', 'print', 'print', 'print', 'mask3d', 'replay']


def test_hand_counted_table() -> None:
    attacks = F.apcer(SCORES, IS_LIVE, PAI, threshold=0.5)
    assert {name: str(rate) for name, rate in attacks.per_pai.items()} == {
        'mask3d': '1/1',
        'print': '2/4',
        'replay': '0/1',
    }
    assert (attacks.worst_pai, str(attacks.max), str(attacks.pooled)) == ('mask3d', '1/1', '3/6')
    assert str(F.bpcer(SCORES, IS_LIVE, threshold=0.5)) == '1/3'
    assert F.hter(SCORES, IS_LIVE, threshold=0.5) == (3 / 6 + 1 / 3) / 2
    both = F.acer(SCORES, IS_LIVE, PAI, threshold=0.5)
    assert (both.max, both.pooled) == ((1 + 1 / 3) / 2, (3 / 6 + 1 / 3) / 2)


@pytest.mark.parametrize('seed', range(8))
@pytest.mark.parametrize('threshold', [0.0, 0.25, 0.5, 0.51, 2.0])
def test_rates_equal_their_loops(seed: int, threshold: float) -> None:
    scores, is_live, pai = rate_twins.random_case(seed)
    attacks = F.apcer(scores, is_live, pai, threshold=threshold)
    expected = rate_twins.apcer(scores, is_live, pai, threshold)
    assert {name: rate.value for name, rate in attacks.per_pai.items()} == {
        k: float(v) for k, v in expected.items()
    }
    assert attacks.max.value == float(max(expected.values()))
    far, frr = (twin(scores, is_live, threshold) for twin in (rate_twins.far, rate_twins.frr))
    assert F.far(scores, is_live, threshold=threshold).value == attacks.pooled.value == float(far)
    assert F.bpcer(scores, is_live, threshold=threshold).value == float(frr)
    assert F.hter(scores, is_live, threshold=threshold) == pytest.approx(float((far + frr) / 2), abs=1e-15)
    both = F.acer(scores, is_live, pai, threshold=F.Threshold(threshold, 'fixed'))
    assert both.pooled == F.hter(scores, is_live, threshold=threshold)
    assert both.max >= both.pooled


def test_worst_pai_prefers_more_samples_then_the_name() -> None:
    rates = F.ApcerResult({'a': F.Rate(1, 2), 'b': F.Rate(2, 4), 'c': F.Rate(2, 4)})
    assert rates.worst_pai == 'b'


def test_a_single_species_is_both_max_and_pooled() -> None:
    attacks = F.apcer([0.1, 0.9], [0, 0], ['print', 'print'], threshold=0.5)
    assert attacks.max == attacks.pooled == F.Rate(1, 2)


def test_threshold_records_and_numbers_are_the_same_to_a_rate() -> None:
    record = F.Threshold(0.5, 'dev-eer')
    assert F.hter(SCORES, IS_LIVE, threshold=record) == F.hter(SCORES, IS_LIVE, threshold=0.5)


def test_one_class_is_enough_for_its_own_rate() -> None:
    assert str(F.bpcer([0.2, 0.8], [1, 1], threshold=0.5)) == '1/2'
    assert str(F.apcer([0.2, 0.8], [0, 0], ['print', 'replay'], threshold=0.5).max) == '1/1'


@pytest.mark.parametrize('rate', ['apcer', 'far', 'hter', 'acer'])
def test_missing_attacks_are_refused(rate: str) -> None:
    pai = (['live', 'live'],) if rate in ('apcer', 'acer') else ()
    with pytest.raises(ValueError, match='undefined without spoof samples: got 2 live and 0 spoof'):
        getattr(F, rate)([0.2, 0.8], [1, 1], *pai, threshold=0.5)


@pytest.mark.parametrize('rate', ['bpcer', 'hter', 'acer'])
def test_missing_live_samples_are_refused(rate: str) -> None:
    pai = (['print', 'print'],) if rate == 'acer' else ()
    with pytest.raises(ValueError, match='undefined without live samples: got 0 live and 2 spoof'):
        getattr(F, rate)([0.2, 0.8], [0, 0], *pai, threshold=0.5)


@pytest.mark.parametrize(
    ('scores', 'is_live', 'text'),
    [
        ([0.1, np.nan], [0, 1], 'score of sample 1 is nan'),
        ([np.inf, 0.1], [0, 1], 'score of sample 0 is inf'),
        ([0.1, 0.2], [0, 2], r'label of sample 1 must be 0 \(spoof\) or 1 \(live\), got 2'),
        ([0.1, 0.2, 0.3], [0, 1], r'one shape \(N,\), got \(3,\) and \(2,\)'),
        ([[0.1, 0.2]], [[0, 1]], r'one shape \(N,\)'),
    ],
)
def test_wrong_input_is_named(scores: list[float], is_live: list[int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        F.hter(scores, is_live, threshold=0.5)


def test_pai_names_must_cover_all_samples() -> None:
    with pytest.raises(ValueError, match='one PAI name per sample'):
        F.apcer([0.1, 0.2], [0, 1], ['print'], threshold=0.5)


@pytest.mark.parametrize(('errors', 'total'), [(1, 0), (-1, 3), (4, 3)])
def test_impossible_counts_are_refused(errors: int, total: int) -> None:
    with pytest.raises(ValueError, match='0 <= errors <= total'):
        F.Rate(errors, total)


@pytest.mark.parametrize('rate', [F.hter, F.bpcer, F.far])
def test_a_threshold_that_is_no_number_is_no_perfect_score(rate: Callable[..., object]) -> None:
    """Both `score < nan` and `score >= nan` are false, which would count as no error at all."""
    with pytest.raises(ValueError, match='the threshold is NaN'):
        rate(SCORES, IS_LIVE, threshold=np.nan)
    with pytest.raises(ValueError, match='the threshold is NaN'):
        F.apcer(SCORES, IS_LIVE, PAI, threshold=np.nan)
    with pytest.raises(ValueError, match='the threshold is NaN'):
        F.bootstrap_hter(SCORES, IS_LIVE, threshold=np.nan, rng=np.random.default_rng(0))
    assert F.hter(SCORES, IS_LIVE, threshold=np.inf) == F.hter(SCORES, IS_LIVE, threshold=-np.inf) == 0.5
