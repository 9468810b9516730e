"""Gradient checkpointing: the same losses and gradients, also where several backward passes go through a graph."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from modulated_step import Keeper, batches, fit, tiny_model
from torch import Tensor

from mmfas.models.fas import blocks
from mmfas.registry import MODELS

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures('small_and_quiet')]


def gradients(rule: str, *, recompute: bool) -> list[dict[str, Tensor]]:
    model = tiny_model('u_adapter')
    model.recompute = recompute
    wrapper = Keeper(torch.optim.SGD(model.parameters(), lr=0.05), dict(type=rule))
    torch.manual_seed(0)
    fit(model, wrapper, batches(2))
    return wrapper.kept


@pytest.mark.parametrize('rule', ['ReGrad', 'Sum'])
def test_gradients_are_the_same(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    original = blocks.checkpoint
    monkeypatch.setattr(blocks, 'checkpoint', lambda *args, **kw: calls.append(args) or original(*args, **kw))
    plain = gradients(rule, recompute=False)
    assert not calls
    again = gradients(rule, recompute=True)
    assert calls
    for one, two in zip(plain, again, strict=True):
        assert one.keys() == two.keys()
        for name, gradient in one.items():
            torch.testing.assert_close(two[name], gradient, rtol=1e-5, atol=1e-7, msg=name)


def test_batch_norm_would_see_every_batch_twice() -> None:
    cfg = dict(
        type='mmfas.MultiModalFAS',
        trunk=dict(
            type='MultiStreamCNN', cnn=dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8)
        ),
        neck=dict(type='ConcatNeck'),
        head=dict(type='LinearFASHead'),
        recompute=True,
    )
    with pytest.raises(
        ValueError, match='recompute=True runs every block twice, but MultiStreamCNN has batch norm'
    ):
        MODELS.build(cfg)
