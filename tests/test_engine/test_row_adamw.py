"""RowAdamW against AdamW where both do the same, and against a loop where they do not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import Tensor, nn
from torch.nn import functional

from mmfas.analysis.complexity import example_inputs, example_samples
from mmfas.apis.building import build_model
from mmfas.config.check import check_config
from mmfas.engine.optimizers import RowAdamW

CONFIG = Path(__file__).parents[2] / 'configs' / 'big_moe' / 'big-moe_mini-vit_1xb32-12e_synthfas-cps2w.py'
OPTIONS = dict(lr=0.1, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.3)

pytestmark = pytest.mark.engine


def read(table: nn.Parameter, index: list[int], slope: Tensor, *, sparse: bool) -> None:
    """Give a table the gradient of reading some rows, repeated ones included."""
    table.grad = None
    rows = functional.embedding(torch.tensor(index), table, sparse=sparse)
    (rows * slope).sum().backward()


def test_equals_adamw_where_every_row_is_read() -> None:
    start, other = torch.randn(4, 3, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    made = []
    for build, sparse in ((RowAdamW, True), (RowAdamW, False), (torch.optim.AdamW, False)):
        table, bias = nn.Parameter(start.clone()), nn.Parameter(other.clone())
        optimizer = build([dict(params=[table]), dict(params=[bias], weight_decay=0.0)], **OPTIONS)
        generator = torch.Generator().manual_seed(1)
        for _ in range(4):
            slope = torch.randn(6, 3, dtype=torch.float64, generator=generator)
            read(table, [0, 2, 1, 3, 2, 2], slope, sparse=sparse)
            bias.grad = slope.flatten()[:5].clone()
            optimizer.step()
            assert table.grad.is_sparse == sparse, 'the gradient is left as it was'
        made.append(torch.cat([table.detach().flatten(), bias.detach()]))
    torch.testing.assert_close(made[0], made[2], rtol=1e-12, atol=1e-12)
    assert torch.equal(made[1], made[2])


def test_rows_that_are_not_read_stay_and_the_others_follow_the_rule() -> None:
    start = torch.randn(5, 2, dtype=torch.float64)
    table = nn.Parameter(start.clone())
    optimizer = RowAdamW([table], **OPTIONS)
    mean, square, expected = torch.zeros(5, 2).double(), torch.zeros(5, 2).double(), start.clone()
    for step, index in enumerate([[1, 3], [3, 3], [0], [1, 0, 3]], start=1):
        slope = torch.randn(len(index), 2, dtype=torch.float64)
        read(table, index, slope, sparse=True)
        optimizer.step()
        for row in set(index):
            gradient = sum(slope[i] for i, each in enumerate(index) if each == row)
            mean[row] = 0.8 * mean[row] + 0.2 * gradient
            square[row] = 0.9 * square[row] + 0.1 * gradient**2
            expected[row] *= 1 - 0.1 * 0.3
            size = (square[row] / (1 - 0.9**step)).sqrt() + 1e-6
            expected[row] -= 0.1 * mean[row] / (1 - 0.8**step) / size
        torch.testing.assert_close(table.detach(), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(table.detach()[[2, 4]], start[[2, 4]])


def test_continues_from_its_state() -> None:
    start, slopes = torch.randn(3, 2), torch.randn(2, 2, 2)
    whole, broken = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    one, two = RowAdamW([whole], **OPTIONS), RowAdamW([broken], **OPTIONS)
    for optimizer, table in ((one, whole), (two, broken)):
        read(table, [0, 2], slopes[0], sparse=True)
        optimizer.step()
    resumed = RowAdamW([broken], **OPTIONS)
    resumed.load_state_dict(two.state_dict())
    for optimizer, table in ((one, whole), (resumed, broken)):
        read(table, [2, 1], slopes[1], sparse=True)
        assert optimizer.step(lambda: torch.tensor(7.0)) == 7.0
    assert torch.equal(whole, broken)


def test_clipping_sees_sparse_gradients_as_dense_ones() -> None:
    start, slope = torch.randn(4, 3), 10 * torch.randn(3, 3)
    tables = [nn.Parameter(start.clone()) for _ in range(2)]
    norms = []
    for table, sparse in zip(tables, (True, False), strict=True):
        read(table, [1, 1, 2], slope, sparse=sparse)
        norms.append(float(nn.utils.clip_grad_norm_([table], 1.0)))
    assert math.isclose(*norms, rel_tol=1e-5) and norms[0] > 1
    torch.testing.assert_close(tables[0].grad.to_dense(), tables[1].grad)


def test_big_moe_trains_with_sparse_tables_from_its_config() -> None:
    """The documented override, with the clipping of the schedule: only experts that were taken move."""
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(
        {
            'model.neck.experts': dict(num_experts=4096, sparse_gradients=True),
            'model.neck.arithmetic': dict(zero_up=False),
            'optim_wrapper.optimizer.type': 'RowAdamW',
            'optim_wrapper.optimizer.fused': True,
        }
    )
    assert check_config(cfg) == []
    model = build_model(cfg).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    assert type(wrapper.optimizer) is RowAdamW
    before = {name: value.clone() for name, value in model.state_dict().items()}
    taken: list[Tensor] = []
    model.neck.adapters[0].experts.router.register_forward_hook(lambda _, args, out: taken.append(out.index))
    inputs, samples = example_inputs(model, 2, size=(64, 64)), example_samples(2)
    wrapper.update_params(sum(model(inputs, samples, mode='loss').values()))
    after, name = model.state_dict(), 'neck.adapters.0.experts.table.up'
    moved = (after[name] != before[name]).any(1)
    assert 0 < int(moved.sum()) < 2 * 16 * 4 + 1
    assert set(moved.nonzero().flatten().tolist()) == set(taken[0].flatten().tolist())
    assert (after['head.classifier.weight'] != before['head.classifier.weight']).any()
