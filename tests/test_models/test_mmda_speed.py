"""MMDA at the size of CLIP ViT-B/16: what fusion costs at test, and what cached prompts save in training.

`MMFAS_TIMINGS=1 python -m pytest tests/test_models/test_mmda_speed.py -rP` prints the numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmfas.analysis.complexity import example_inputs, example_samples
from mmfas.analysis.speed import Timing, speed_candidates, time_side_by_side
from mmfas.models import MultiModalFAS
from mmfas.models.heads import TextTower, read_prompts
from mmfas.registry import MODELS

CONFIG = Path(__file__).parents[2] / 'configs' / 'mmda' / 'mmda_clip-vit-b16_1xb32-100e_cpsw-cps2w.py'
SIZE = (224, 224)
#: Samples of a step and process of the released code: a batch of 24 in 8 parts.
BATCH = 3

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    # A ratio near its bound says nothing beside other work, and the full size takes minutes.
    pytest.mark.skipif(
        'MMFAS_TIMINGS' not in os.environ, reason='needs minutes of a quiet machine: MMFAS_TIMINGS=1'
    ),
]


class EncodeEveryForward(nn.Module):
    """The naive way: no cache, the text tower runs whenever anchors are asked for.

    Args:
        is_trained: Let gradients flow into the tower, as the released code does.
    """

    def __init__(self, *, is_trained: bool) -> None:
        super().__init__()
        self.tower = TextTower([text for own in read_prompts().values() for text in own])
        self.num_anchors, self.dims, self.is_trained = (24, 24), self.tower.dims, is_trained

    def forward(self) -> Tensor:
        """Encode the prompts (K, C)."""
        with torch.set_grad_enabled(self.is_trained and torch.is_grad_enabled()):
            return self.tower()


@pytest.fixture(scope='module')
def model() -> MultiModalFAS:
    return MODELS.build(Config.fromfile(CONFIG).model)


def show(timings: list[Timing]) -> None:
    for timing in timings:
        print(f'{timing.name:<40} {timing.median_ms:9.0f} ms  {timing.ratio:.3f} x')


def test_a_score_costs_little_more_than_the_trunk(model: MultiModalFAS) -> None:
    candidates = speed_candidates('MMDA', model, batch_size=BATCH, is_training=False, image_size=SIZE)
    timings = time_side_by_side(candidates, num_rounds=7, num_warm_up=1)
    show(timings)
    assert timings[1].ratio <= 1.05


def test_a_step_with_cached_prompts_beats_the_naive_one(model: MultiModalFAS) -> None:
    pytest.importorskip('open_clip', reason="open_clip is missing: pip install 'mmfas[clip]'")
    inputs, labelled, cached = example_inputs(model, BATCH, size=SIZE), example_samples(BATCH), model.head.anchors
    model.train()

    def step_with(anchors: nn.Module) -> Callable[[], None]:
        def step() -> None:
            model.head.anchors = anchors
            optimizer.zero_grad()
            sum(model(inputs, labelled, mode='loss').values()).backward()
            optimizer.step()

        parameters = [*(p for p in model.parameters() if p.requires_grad), *anchors.parameters()]
        optimizer = torch.optim.SGD(parameters, lr=0.0)
        return step

    candidates = {
        'cached prompts': step_with(cached),
        'encoded every forward, tower frozen': step_with(EncodeEveryForward(is_trained=False)),
        'encoded every forward, as released': step_with(EncodeEveryForward(is_trained=True)),
    }
    timings = time_side_by_side(candidates, num_rounds=3, num_warm_up=1)
    model.head.anchors = cached
    show(timings)
    assert timings[1].ratio > 1.0
    assert timings[2].ratio >= 1.8
