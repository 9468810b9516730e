"""Tests of the shared training step and of the distributed wrapper, in one process."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor
from torch import distributed as dist

from mmfas.models import FASDistributedDataParallel, MultiModalFAS
from mmfas.registry import MODEL_WRAPPERS
from mmfas.structures import LossTerms
from test_models.helpers import build, samples

pytestmark = pytest.mark.engine


class RecordingWrapper(OptimWrapper):
    """Asks for the loss terms and keeps them."""

    needs_loss_terms = True

    def update_params(self, loss: Tensor, *, loss_terms: LossTerms) -> None:
        self.seen = loss_terms
        super().update_params(loss)


def make(seed: int = 0) -> tuple[MultiModalFAS, dict[str, Any]]:
    torch.manual_seed(seed)
    model = build(head=dict(type='LinearFASHead', modality_loss_weight=0.3))
    raw = {m: torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8) for m in ('rgb', 'depth', 'ir')}
    given = samples(4)
    given[0].present = torch.tensor([True, False, True])
    return model, dict(inputs=raw, data_samples=given)


def sgd(model: torch.nn.Module, kind: type = OptimWrapper, **kwargs: Any) -> OptimWrapper:
    return kind(torch.optim.SGD(model.parameters(), lr=0.1), **kwargs)


def test_with_a_stock_wrapper_it_is_the_step_of_mmengine() -> None:
    model, batch = make()
    twin = copy.deepcopy(model)
    ours, theirs = sgd(model, accumulative_counts=2), sgd(twin, accumulative_counts=2)
    for _ in range(4):
        log = model.train_step(batch, ours)
        expected = BaseModel.train_step(twin, batch, theirs)
        assert list(log) == list(expected) == ['loss', 'loss_cls', 'loss_rgb', 'loss_depth', 'loss_ir']
        assert all(torch.equal(log[name], expected[name]) for name in log)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_wrapper_that_asks_gets_the_terms() -> None:
    model, batch = make()
    wrapper = sgd(model, RecordingWrapper)
    log = model.train_step(batch, wrapper)
    assert set(wrapper.seen.per_modality) == {'rgb', 'depth', 'ir'}
    counts = [int(count) for _, count in wrapper.seen.per_modality.values()]
    assert counts == [4, 3, 4]
    total, count = wrapper.seen.per_modality['depth']
    torch.testing.assert_close(log['loss_depth'], total / count)
    torch.testing.assert_close(log['loss'], sum(log[f'loss_{n}'] for n in ('cls', 'rgb', 'depth', 'ir')))


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group('gloo', init_method=f'file://{tmp_path / "store"}', rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures('one_process')
@pytest.mark.parametrize('kind', [OptimWrapper, RecordingWrapper])
def test_distributed_wrapper_equals_the_model(kind: type) -> None:
    model, batch = make()
    twin = copy.deepcopy(model)
    cfg = dict(type='FASDistributedDataParallel', module=twin, device_ids=[0])  # mmengine always gives device_ids
    wrapped = MODEL_WRAPPERS.build(cfg)
    assert isinstance(wrapped, FASDistributedDataParallel) and not wrapped.broadcast_buffers
    for _ in range(3):
        log = model.train_step(batch, sgd(model, kind))
        expected = wrapped.train_step(batch, sgd(twin, kind))
        assert log.keys() == expected.keys()
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    scores = [[s.pred_score for s in m.test_step(batch)] for m in (model.eval(), wrapped.eval())]
    assert scores[0] == pytest.approx(scores[1])


@pytest.mark.usefixtures('one_process')
def test_distributed_wrapper_refuses_what_it_does_not_do() -> None:
    with pytest.raises(ValueError, match='detect_anomalous_params is not supported'):
        FASDistributedDataParallel(make()[0], detect_anomalous_params=True)
