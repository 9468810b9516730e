"""Training in bfloat16 on a CPU: coarser in the forward pass only, and every part takes it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from contracts.cases import PARTS, build_model, make_batch
from mmengine.optim import OptimWrapper

from mmfas.engine.optim_wrappers import BFloat16GradientModulationOptimWrapper, BFloat16OptimWrapper

pytestmark = pytest.mark.engine


def step(kind: type[OptimWrapper], neck: str, **options: Any) -> tuple[dict[str, Any], float]:
    """Train a fresh model for one step; return its weights and the loss."""
    torch.manual_seed(0)
    model = build_model(neck=neck)
    wrapper = kind(torch.optim.SGD(model.parameters(), lr=0.1), **options)
    found = model.train_step(make_batch(4), wrapper)
    return {name: value.clone() for name, value in model.state_dict().items()}, float(found['loss'].detach())


@pytest.mark.parametrize('neck', [name for slot, name in PARTS if slot == 'neck'])
def test_every_neck_trains(neck: str) -> None:
    weights, loss = step(BFloat16OptimWrapper, neck)
    _, exact = step(OptimWrapper, neck)
    assert loss == pytest.approx(exact, rel=0.05) and loss != exact
    assert all(value.isfinite().all() for value in weights.values())
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float32}


def test_modulation_is_that_of_its_wrapper() -> None:
    options = dict(clip_grad=dict(max_norm=0.1))
    plain, _ = step(BFloat16OptimWrapper, 'ConcatNeck', **options)
    summed, _ = step(BFloat16GradientModulationOptimWrapper, 'ConcatNeck', modulator=dict(type='Sum'), **options)
    for name, value in plain.items():
        torch.testing.assert_close(summed[name], value, rtol=0, atol=1e-4, msg=name)
