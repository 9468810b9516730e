"""Wilson and bootstrap intervals."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest

from mmfas.evaluation import functional as F
from mmfas.evaluation.functional import resampling
from mmfas.evaluation.functional.resampling import Areas, Clusters, weighted_sums

from . import bootstrap_twins, rate_twins


@pytest.mark.parametrize(('errors', 'total'), [(0, 5), (10, 10), (62, 300), (1, 2), (245, 2287)])
@pytest.mark.parametrize('confidence', [0.9, 0.95])
def test_wilson_ends_solve_the_score_equation(errors: int, total: int, confidence: float) -> None:
    interval = F.wilson_interval(errors, total, confidence=confidence)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    for end in (interval.low, interval.high):
        assert abs(errors / total - end) == pytest.approx(z * sqrt(end * (1 - end) / total), abs=1e-12)
    assert 0 <= interval.low <= errors / total <= interval.high <= 1


@pytest.mark.parametrize(('errors', 'total'), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_impossible_counts(errors: int, total: int) -> None:
    with pytest.raises(ValueError, match='total >= 1'):
        F.wilson_interval(errors, total)


@pytest.mark.parametrize('confidence', [0, 1, 95])
def test_confidence_must_be_a_fraction(confidence: float) -> None:
    with pytest.raises(ValueError, match=r'confidence must lie in \(0, 1\)'):
        F.wilson_interval(1, 2, confidence=confidence)


@pytest.mark.parametrize(('first', 'second'), [((0, 20), (0, 30)), ((10, 10), (245, 2287)), ((3, 40), (12, 50))])
def test_half_sum_lies_between_its_parts_and_covers(first: tuple[int, int], second: tuple[int, int]) -> None:
    interval = F.half_sum_interval(first, second)
    parts = [F.wilson_interval(*counts) for counts in (first, second)]
    value = (first[0] / first[1] + second[0] / second[1]) / 2
    assert sum(part.low for part in parts) / 2 <= interval.low <= value <= interval.high
    assert interval.high <= sum(part.high for part in parts) / 2
    # If one rate is known exactly, half of the other's interval is left.
    exact = F.half_sum_interval(first, (0, 10**9))
    assert (exact.low, exact.high) == pytest.approx((parts[0].low / 2, parts[0].high / 2), abs=1e-7)
    rng = np.random.default_rng(0)
    draws = [rng.binomial(total, max(errors, 0.5) / total, 500) for errors, total in (first, second)]
    truth = sum(min(1, max(errors, 0.5) / total) for errors, total in (first, second)) / 2
    hits = [
        found.low <= truth <= found.high
        for found in (
            F.half_sum_interval((a, first[1]), (b, second[1])) for a, b in zip(*map(np.ndarray.tolist, draws))
        )
    ]
    assert np.mean(hits) > 0.9


def _case(num: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    is_live = np.arange(num) % 4 == 0
    return rng.normal(is_live * 2.0), is_live


def test_weighted_area_equals_the_area_of_the_resampled_list() -> None:
    scores, is_live, _ = rate_twins.random_case(7, num=30)
    weights = np.random.default_rng(0).integers(0, 4, size=(3, 30))
    live, spoof = (np.arange(mask.sum()) for mask in (is_live, ~is_live))
    areas = Areas(scores[is_live], scores[~is_live], live_cluster=live, spoof_cluster=spoof)
    for row, area in zip(weights, areas.of(weights[:, is_live], weights[:, ~is_live])):
        repeated = np.repeat(np.arange(30), row)
        assert area == pytest.approx(float(rate_twins.auc(scores[repeated], is_live[repeated])), abs=1e-12)


@pytest.mark.parametrize('cells', [1, 70, 2**20])
@pytest.mark.parametrize('is_clustered', [False, True])
def test_draws_and_areas_are_bit_for_bit_those_of_the_plain_way(
    monkeypatch: pytest.MonkeyPatch, cells: int, is_clustered: bool
) -> None:
    monkeypatch.setattr(resampling, '_CELLS', cells)  # however many replicates are handled at once
    rng = np.random.default_rng(4)
    live, spoof = rng.integers(0, 9, 40) / 8 + 0.3, rng.integers(0, 9, 70) / 8
    index = [rng.integers(0, 12, n) if is_clustered else rng.permutation(n) for n in (40, 70)]
    clusters = [Clusters(own, int(own.max()) + 1) for own in index]
    areas = Areas(live, spoof, live_cluster=index[0], spoof_cluster=index[1])
    ours, plain = np.random.default_rng(1), np.random.default_rng(1)
    counts = [own.draw_R(64, ours) for own in clusters]
    expected = [bootstrap_twins.draw(own.num, 64, plain) for own in clusters]
    for own, twin in zip(counts, expected):
        np.testing.assert_array_equal(own, twin)
    weights = [twin[:, own] for own, twin in zip(index, expected)]
    np.testing.assert_array_equal(areas.of(*counts), bootstrap_twins.areas(live, spoof, *weights))
    wrong = live < 0.7
    np.testing.assert_array_equal(weighted_sums(counts[0], clusters[0].count(wrong)), weights[0] @ wrong)
    rates = clusters[0].rates_R(wrong, 100, ours)
    drawn = bootstrap_twins.draw(clusters[0].num, 100, plain)[:, index[0]]
    np.testing.assert_array_equal(rates, (drawn @ wrong) / drawn.sum(axis=1))


def test_hter_interval_has_the_width_of_two_binomials() -> None:
    scores, is_live = _case()
    far, frr = F.far(scores, is_live, threshold=1.0), F.bpcer(scores, is_live, threshold=1.0)
    interval = F.bootstrap_hter(scores, is_live, threshold=1.0, rng=np.random.default_rng(0), num_replicates=4000)
    variance = sum(rate.value * (1 - rate.value) / rate.total for rate in (far, frr)) / 4
    half = NormalDist().inv_cdf(0.975) * sqrt(variance)
    centre = (far.value + frr.value) / 2
    assert interval.low == pytest.approx(centre - half, abs=0.1 * half)
    assert interval.high == pytest.approx(centre + half, abs=0.1 * half)


def test_area_interval_agrees_with_explicit_resampling() -> None:
    scores, is_live = _case(80)
    rng = np.random.default_rng(1)
    live, spoof = scores[is_live], scores[~is_live]
    areas = []
    for _ in range(600):
        draw = np.concatenate([rng.choice(live, live.size), rng.choice(spoof, spoof.size)])
        areas.append(F.auc(draw, np.arange(draw.size) < live.size))
    low, high = np.quantile(areas, [0.025, 0.975])
    interval = F.bootstrap_auc(scores, is_live, rng=np.random.default_rng(2), num_replicates=2000)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.015)


@pytest.mark.parametrize('function', [F.bootstrap_hter, F.bootstrap_auc])
def test_same_seed_same_interval_and_copied_frames_do_not_narrow_it(function: object) -> None:
    scores, is_live = _case(100)
    fixed = {'threshold': 1.0} if function is F.bootstrap_hter else {}
    single = function(scores, is_live, rng=np.random.default_rng(3), **fixed)
    assert single == function(scores, is_live, rng=np.random.default_rng(3), **fixed)
    order = np.random.default_rng(4).permutation(100)
    assert single == function(scores[order], is_live[order], rng=np.random.default_rng(3), **fixed)
    frames, labels, video = np.repeat(scores, 9), np.repeat(is_live, 9), np.repeat(np.arange(100), 9)
    naive = function(frames, labels, rng=np.random.default_rng(3), **fixed)
    clustered = function(frames, labels, rng=np.random.default_rng(3), cluster=video, **fixed)
    width = single.high - single.low
    assert (clustered.low, clustered.high) == pytest.approx((single.low, single.high), abs=0.2 * width)
    assert (naive.high - naive.low) < 0.5 * (clustered.high - clustered.low)


def test_too_few_clusters_are_refused() -> None:
    with pytest.raises(ValueError, match='at least 2 samples .* got 1 live and 2 spoof'):
        F.bootstrap_auc([0.9, 0.8, 0.1, 0.2], [1, 1, 0, 0], rng=np.random.default_rng(0), cluster=list('aabc'))
    with pytest.raises(ValueError, match='one cluster name per sample'):
        F.bootstrap_auc([0.9, 0.8, 0.1, 0.2], [1, 1, 0, 0], rng=np.random.default_rng(0), cluster=['a'])
    with pytest.raises(ValueError, match='num_replicates must be at least 1'):
        F.bootstrap_auc([0.9, 0.8, 0.1, 0.2], [1, 1, 0, 0], rng=np.random.default_rng(0), num_replicates=0)
