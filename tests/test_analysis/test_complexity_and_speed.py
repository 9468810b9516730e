"""Counts against hand-made numbers, timings against sleeping functions."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmfas.analysis.complexity import example_inputs, example_samples, image_size_of, measure_complexity
from mmfas.analysis.gradient_speed import gradient_candidates, peak_bytes
from mmfas.analysis.speed import Timing, median_interval, plain_trunk, speed_candidates, time_side_by_side
from mmfas.registry import MODELS, register_all_modules
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
    assert first.ratio == first.ratio_low == first.ratio_high == 1.0
    assert second.ratio_low <= second.ratio <= second.ratio_high
    assert second.ratio > 1.5
    assert second.median_ms >= second.fastest_ms >= 30
    assert calls == ['short', 'long'] * 2 + ['long', 'short'] + ['short', 'long'] + ['long', 'short']


def test_the_interval_of_a_median_is_that_of_the_bootstrap() -> None:
    """Of three values the smallest is the median of 7 of 27 resamples, more than 2.5 %: it is the end."""
    assert median_interval([1.0, 2.0, 4.0]) == (1.0, 4.0)
    rng = np.random.default_rng(1)
    values = rng.normal(1.0, 0.1, 400)
    low, high = median_interval(values)
    # the deviation of a median of n normal values is 1.2533 sigma / sqrt(n)
    assert high - low == pytest.approx(2 * 1.96 * 1.2533 * 0.1 / 20, rel=0.2)
    assert low < np.median(values) < high
    assert median_interval(values) == (low, high)


@pytest.mark.parametrize(
    ('low', 'high', 'rounds', 'expected'),
    [
        (1.01, 1.04, 15, 'met'),
        (1.01, 1.05, 15, 'met'),
        (1.06, 1.09, 15, 'missed'),
        (1.04, 1.06, 15, 'no verdict: 1.05 lies in the interval'),
        (1.0, 1.0, 4, 'no verdict: 4 round(s), 5 are needed'),
    ],
)
def test_no_verdict_where_the_interval_has_the_bound_inside(
    low: float, high: float, rounds: int, expected: str
) -> None:
    timing = Timing('x', 1.0, 1.0, (low + high) / 2, rounds, ratio_low=low, ratio_high=high)
    assert timing.judge(1.05).startswith(expected)


def test_cpu_time_does_not_count_sleep() -> None:
    def work() -> None:
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass

    calls = {'work': work, 'sleep': lambda: time.sleep(0.05)}
    worked, slept = time_side_by_side(calls, num_rounds=3, num_warm_up=0, clock='cpu')
    assert worked.median_ms >= 20 and slept.median_ms < 10


def test_nothing_to_time_is_refused() -> None:
    with pytest.raises(ValueError, match='expected candidates and at least one round'):
        time_side_by_side({})


def test_peak_memory_is_that_of_the_hand() -> None:
    def run() -> None:
        first, second = torch.zeros(1 << 20), torch.zeros(1 << 20)
        del first
        third = torch.ones(1 << 20)
        third + second

    assert peak_bytes(run, torch.device('cpu')) == 3 * 4 * 2**20


TINY = dict(
    type='mmfas.MultiModalFAS',
    trunk=dict(
        type='MultiStreamViT',
        vit=dict(
            type='mmpretrain.VisionTransformer',
            arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
            img_size=32,
            patch_size=8,
        ),
        per_modality=('cls', 'pos'),
    ),
    neck=dict(type='AMANeck', adapter_dims=4),
)
REGRAD = dict(
    type='mmfas.GradientModulationOptimWrapper',
    modulator=dict(type='ReGrad'),
    optimizer=dict(type='SGD', lr=0.1),
)


@pytest.mark.engine
def test_the_joint_reference_is_what_big_moe_runs_without_its_experts() -> None:
    """The experts start at zero, so the model is its plain trunk on the joint sequence, in training as well."""
    register_all_modules()
    neck = dict(type='IsolatedGatingMoENeck', adapter_dims=4, experts=dict(num_experts=16), dropout=0.0)
    model = MODELS.build(dict(TINY, neck=neck, head=dict(type='LinearFASHead'))).eval()
    inputs = example_inputs(model, 2, size=(32, 32))
    joint = plain_trunk(model, inputs, is_joint=True)
    assert joint.shape == (1, 2, 16) and plain_trunk(model, inputs).shape == (3, 2, 16)
    torch.testing.assert_close(model.extract_feat(inputs).fused, joint[0], rtol=1e-5, atol=1e-6)
    lengths: list[int] = []
    model.trunk.vit.layers[0].ln1.register_forward_hook(lambda module, args, out: lengths.append(out.shape[-2]))
    for is_training in (False, True):
        candidates = speed_candidates('tiny', model, batch_size=2, is_training=is_training, is_joint=True)
        assert list(candidates) == ['tiny: trunk, joint', 'tiny: model']
        for run in candidates.values():
            run()
    assert lengths == [1 + 3 * 16] * 4


@pytest.mark.engine
def test_a_trunk_without_tokens_has_no_joint_sequence() -> None:
    register_all_modules()
    trunk = MODELS.get('MultiStreamCNN').example_cfg()
    model = MODELS.build(dict(TINY, trunk=trunk, neck=dict(type='ConcatNeck'), head=dict(type='LinearFASHead')))
    with pytest.raises(ValueError, match='yields feature maps, so there is no joint sequence to time'):
        speed_candidates('tiny', model, batch_size=2, is_training=False, is_joint=True)


@pytest.mark.engine
def test_gradients_are_measured_beside_a_floor() -> None:
    """One forward and M + 1 backward passes each; the weights stay, and no gradient is left behind."""
    register_all_modules()
    model = MODELS.build(dict(TINY, head=dict(type='LinearFASHead', modality_loss_weight=0.3)))
    candidates = gradient_candidates('tiny', model, Config(dict(optim_wrapper=REGRAD)), batch_size=2)
    assert list(candidates) == ['tiny: floor', 'tiny: step']
    before = {name: value.clone() for name, value in model.state_dict().items()}
    passes: list[str] = []
    layer = model.trunk.vit.layers[0].ln1
    layer.register_forward_hook(lambda *_: passes.append('forward'))
    layer.register_full_backward_hook(lambda *_: passes.append('backward'))
    for run in candidates.values():
        passes.clear()
        run()
        assert passes == ['forward'] + ['backward'] * 4
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.engine
def test_gradients_that_are_not_modulated_are_refused() -> None:
    register_all_modules()
    stock = Config(dict(optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))))
    model = MODELS.build(dict(TINY, head=dict(type='LinearFASHead')))
    with pytest.raises(ValueError, match='OptimWrapper, which modulates nothing; .*set optim_wrapper.type='):
        gradient_candidates('tiny', model, stock, batch_size=2)
    with pytest.raises(ValueError, match='no losses per modality to modulate'):
        gradient_candidates('tiny', model, Config(dict(optim_wrapper=REGRAD)), batch_size=2)
