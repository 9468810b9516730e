"""Threshold records and the criteria that choose them."""

from __future__ import annotations

import pytest

from mmfas.evaluation import functional as F

from . import rate_twins


@pytest.mark.parametrize(
    ('text', 'kind', 'value'),
    [
        ('eer', 'eer', None),
        (' min-hter ', 'min-hter', None),
        ('bpcer@apcer=0.01', 'bpcer@apcer', 0.01),
        ('apcer@bpcer=1e-3', 'apcer@bpcer', 0.001),
        ('fixed=-2.5', 'fixed', -2.5),
    ],
)
def test_criteria_are_parsed(text: str, kind: str, value: float | None) -> None:
    assert F.parse_criterion(text) == F.Criterion(kind, value)


@pytest.mark.parametrize(
    'text', ['EER', 'eer=0.1', 'bpcer@apcer', 'bpcer@apcer=1 %', 'bpcer@apcer=2', 'fixed', 'fixed=inf', '', 'hter']
)
def test_unknown_criteria_list_the_valid_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r'valid are eer, min-hter, bpcer@apcer=RATE.*for example'):
        F.parse_criterion(text)


@pytest.mark.parametrize(
    ('criterion', 'origin'),
    [
        ('eer', 'dev-eer'),
        ('min-hter', 'dev-min-hter'),
        ('bpcer@apcer=0.10', 'dev-bpcer@apcer=0.1'),
        ('apcer@bpcer=0.2', 'dev-apcer@bpcer=0.2'),
        ('fixed=0.5', 'fixed'),
    ],
)
def test_origin_names_split_and_criterion(criterion: str, origin: str) -> None:
    scores, is_live, pai = rate_twins.random_case(1)
    assert F.select_threshold(scores, is_live, pai, criterion=criterion).origin == origin


def test_threshold_of_test_scores_is_an_oracle() -> None:
    scores, is_live, pai = rate_twins.random_case(1)
    oracle = F.select_threshold(scores, is_live, pai, criterion='eer', split='test')
    assert (oracle.origin, oracle.is_oracle) == ('test-eer (oracle)', True)
    assert not F.Threshold(0.5, 'dev-eer').is_oracle


def test_chosen_threshold_has_the_rates_of_its_point() -> None:
    scores, is_live, pai = rate_twins.random_case(2)
    threshold = F.select_threshold(scores, is_live, pai, criterion='bpcer@apcer=0.2')
    assert (
        F.bpcer(scores, is_live, threshold=threshold) == F.bpcer_at_apcer(scores, is_live, pai, target=0.2).bpcer
    )


def test_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="split must be 'dev' or 'test', got 'val'"):
        F.select_threshold([0.1, 0.9], [0, 1], ['print', 'live'], split='val')


def test_infinite_threshold_is_refused() -> None:
    with pytest.raises(ValueError, match='must be finite'):
        F.Threshold(float('inf'), 'fixed')
