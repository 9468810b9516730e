"""Contracts of every registered loss."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config

from contracts.cases import LOSS_NAMES, example
from mmfas.registry import LOSSES

#: How many losses there were when this list was last looked at; raise it when one is added.
NUM_LOSSES = 3

pytestmark = pytest.mark.engine
each_loss = pytest.mark.parametrize('name', LOSS_NAMES)


def test_all_losses_are_found() -> None:
    assert len(LOSS_NAMES) >= NUM_LOSSES, LOSS_NAMES


@each_loss
def test_one_value_per_sample_with_gradient(name: str) -> None:
    torch.manual_seed(0)
    loss = LOSSES.build(example(LOSSES, name))
    logits = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 1, 1, 0, 1, 0])
    values = loss.double()(logits, targets)
    assert values.shape == (6,) and (values > 0).all()
    values.sum().backward()
    assert (logits.grad.abs().sum(1) > 0).all()
    # the loss of a sample does not depend on the others
    alone = torch.cat([loss(logits[i : i + 1], targets[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(alone, values, rtol=0, atol=1e-12)


@each_loss
def test_config_survives_text(name: str) -> None:
    cfg = Config(dict(loss=example(LOSSES, name)))
    again = Config.fromstring(cfg.pretty_text, '.py')
    assert again.pretty_text == cfg.pretty_text
    assert type(LOSSES.build(again.loss)).__name__ == name


@each_loss
def test_large_logits_stay_finite(name: str) -> None:
    loss = LOSSES.build(example(LOSSES, name))
    logits = torch.tensor([[80.0, -80.0], [-80.0, 80.0]], requires_grad=True)
    values = loss(logits, torch.tensor([1, 1]))
    values.sum().backward()
    assert torch.isfinite(values).all() and torch.isfinite(logits.grad).all()
