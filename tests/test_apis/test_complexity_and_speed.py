"""Counts against hand-made numbers, timings against sleeping functions."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from mmfas.apis.complexity import example_inputs, example_samples, image_size_of, measure_complexity
from mmfas.apis.speed import time_side_by_side
from mmfas.structures import LIVE, SPOOF


class Tiny(nn.Module):
    """One linear layer on the pixels of one modality, and a frozen scale."""

    modalities = ('rgb', 'ir')

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 4 * 6, 5)
        self.scale = nn.Parameter(torch.ones(5), requires_grad=False)

    def forward(self, inputs: Mapping[str, Tensor], mode: str = 'tensor') -> Tensor:
        return self.linear(inputs['rgb'].flatten(1)) * self.scale


def test_counts_are_those_of_the_hand() -> None:
    result = measure_complexity(Tiny(), image_size=(4, 6))
    assert result.flops == 2 * 72 * 5
    assert (result.trainable, result.total) == (72 * 5 + 5, 72 * 5 + 10)
    assert result.parts == {'linear': (365, 365)}
    assert result.to_dict()['image_size'] == (4, 6)


def test_example_inputs_are_seeded_and_complete() -> None:
    one, two = (example_inputs(Tiny(), 3, size=(4, 6)) for _ in range(2))
    assert list(one) == ['rgb', 'ir', 'present']
    assert one['ir'].shape == (3, 3, 4, 6)
    assert one['present'].shape == (3, 2)
    assert torch.equal(one['rgb'], two['rgb'])
    with pytest.raises(TypeError, match='expected a model with `modalities`'):
        example_inputs(nn.Linear(1, 1), 1, size=(4, 4))


def test_image_size_comes_from_the_caller_the_trunk_or_is_224() -> None:
    model = Tiny()
    assert image_size_of(model) == (224, 224)
    model.trunk = nn.Identity()
    model.trunk.image_size = (64, 48)
    assert image_size_of(model) == (64, 48)
    assert image_size_of(model, (8, 8)) == (8, 8)


def test_example_samples_have_both_labels_and_two_domains() -> None:
    samples = example_samples(4)
    assert [sample.gt_label for sample in samples] == [LIVE, SPOOF, LIVE, SPOOF]
    assert [sample.domain for sample in samples] == ['C', 'C', 'S', 'S']


def test_ratio_of_two_sleepers() -> None:
    calls: list[str] = []

    def sleeper(name: str, seconds: float) -> None:
        calls.append(name)
        time.sleep(seconds)

    first, second = time_side_by_side(
        {'short': lambda: sleeper('short', 0.01), 'long': lambda: sleeper('long', 0.03)},
        num_rounds=4,
        num_warm_up=1,
    )
    assert first.ratio == 1.0
    assert second.ratio > 1.5
    assert second.median_ms >= second.fastest_ms >= 30
    assert calls == ['short', 'long'] * 2 + ['long', 'short'] + ['short', 'long'] + ['long', 'short']


def test_nothing_to_time_is_refused() -> None:
    with pytest.raises(ValueError, match='expected candidates and at least one round'):
        time_side_by_side({})
