"""The linear probe: it finds what is there and nothing else, and looks at test samples last."""

from __future__ import annotations

import numpy as np
import pytest

from mmfas.analysis.linear_probe import STRENGTHS, ProbeSamples, fit_probe

pytestmark = pytest.mark.engine


def draw(seed: int, signal: float, *, domains: str = 'abc', count: int = 40) -> ProbeSamples:
    rng = np.random.default_rng(seed)
    size = count * len(domains)
    is_live = rng.random(size) < 0.4
    features = rng.normal(size=(size, 12))
    features[:, 3] += signal * is_live
    features *= np.geomspace(0.1, 30, 12)
    domain = np.repeat(list(domains), count)
    subject = np.arange(size) // 2
    return ProbeSamples(features, is_live, domain, np.array([f'{d} {s}' for d, s in zip(domain, subject)]))


def test_signal_and_no_signal() -> None:
    found = fit_probe(draw(0, 2.5), draw(1, 2.5, domains='xy'), num_replicates=200)
    assert 0.9 < found.auc <= 1 and found.interval.low <= found.auc <= found.interval.high
    assert found.strength in STRENGTHS
    nothing = fit_probe(draw(0, 0.0), draw(1, 0.0, domains='xy'), num_replicates=200)
    assert nothing.interval.low < 0.5 < nothing.interval.high


def test_strength_does_not_depend_on_the_samples_it_is_judged_by() -> None:
    fit = draw(0, 1.0)
    first, second = (fit_probe(fit, draw(seed, 1.0, domains='x'), num_replicates=20) for seed in (1, 2))
    assert first.strength == second.strength and first.auc != second.auc


def test_one_domain_is_divided_by_subject() -> None:
    assert fit_probe(draw(0, 2.5, domains='a'), draw(1, 2.5, domains='x'), num_replicates=20).auc > 0.85


def test_one_class_and_broken_features_are_refused() -> None:
    good, one = draw(0, 1.0), draw(1, 1.0)
    one.is_live[:] = True
    with pytest.raises(ValueError, match='what the probe is judged by has one class only'):
        fit_probe(good, one)
    broken = draw(2, 1.0)
    broken.features[3, 2] = np.nan
    with pytest.raises(ValueError, match='features that the probe is fitted on are not finite'):
        fit_probe(broken, good)
