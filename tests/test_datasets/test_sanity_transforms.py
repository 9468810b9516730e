"""Random labels depend on sample and seed alone."""

import pytest

from mmfas.datasets.transforms import RandomLabel


def test_random_label_is_fixed_per_sample_and_has_the_asked_share() -> None:
    ids = [f'{i}.png' for i in range(400)]
    first = [RandomLabel(0.3)({'sample_id': i, 'gt_label': 1})['gt_label'] for i in ids]
    again = [RandomLabel(0.3)({'sample_id': i, 'gt_label': 0})['gt_label'] for i in reversed(ids)][::-1]
    other = [RandomLabel(0.3, seed=1)({'sample_id': i, 'gt_label': 1})['gt_label'] for i in ids]
    assert first == again
    assert first != other
    assert 0.2 < sum(first) / len(first) < 0.4


def test_random_label_refuses_a_share_out_of_range() -> None:
    with pytest.raises(ValueError, match='live_share must be in'):
        RandomLabel(1.5)
