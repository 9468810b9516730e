"""Tests of the product-key experts: published vectors, a twin that scores all experts, losses of the router."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from golden_vectors import assert_near, difference, golden, largest
from torch import Tensor
from torch.nn import functional

from mmfas.models.layers import (
    ProductKeyExperts,
    Routing,
    balance_loss,
    expert_usage,
    router_z_loss,
    usage_entropy,
)

#: Name in the released module -> ours; `keys` has its axes in another order.
RELEASED = {
    'norm.gamma': 'norm.weight',
    'norm_gate.gamma': 'norm_gate.weight',
    'weight_down_embed.weight': 'table.down',
    'weight_up_embed.weight': 'table.up',
    'to_queries.0.weight': 'router.query.weight',
}

pytestmark = pytest.mark.engine


def released_experts(data: dict[str, Tensor], *, unit_norm: bool = False) -> ProductKeyExperts:
    experts = ProductKeyExperts(24, 16, num_experts=64, unit_norm=unit_norm)
    state = {ours: data[f'param.{name}'] for name, ours in RELEASED.items()}
    experts.load_state_dict({**state, 'router.keys': data['param.keys'].permute(2, 0, 1, 3)})
    return experts


@pytest.mark.parametrize('unit_norm', [False, True])
def test_golden_big_moe_experts(unit_norm: bool) -> None:
    data = golden('bigmoe_peer')
    experts = released_experts(data, unit_norm=unit_norm)
    x, gate = (data[f'in.{name}'].clone().requires_grad_(True) for name in ('x', 'gate'))
    out, _ = experts(x, gate)
    (out * data['cotangent.0']).sum().backward()
    named = dict(experts.named_parameters())
    pairs = [(out, 'out.0'), (x.grad, 'grad_in.x'), (gate.grad, 'grad_in.gate')]
    pairs += [(named[ours].grad, f'grad_param.{name}') for name, ours in RELEASED.items()]
    pairs += [(named['router.keys'].grad.permute(1, 2, 0, 3), 'grad_param.keys')]
    for ours, name in pairs:
        assert_near(ours, data[name], name)


@pytest.mark.parametrize('part', ['norm', 'gate', 'top_k', 'heads'])
def test_golden_big_moe_experts_notice_each_part(part: str) -> None:
    data = golden('bigmoe_peer')
    experts, gate = released_experts(data), data['in.gate']
    if part == 'norm':
        experts.norm.weight.data.fill_(1)
    elif part == 'gate':
        gate = gate.flip(-1)
    elif part == 'top_k':
        experts.router.top_k = 1
    else:
        experts.router.keys.data = experts.router.keys.data.flip(1)
    out, _ = experts(data['in.x'], gate)
    assert difference(out, data['out.0']).abs().max() > 100 * 1e-5 * largest(data['out.0'])


def reference_experts(experts: ProductKeyExperts, x: Tensor, gate: Tensor) -> Tensor:
    """Score all E experts of every row and head one by one, sort, and run the best."""

    def rms(row: Tensor, weight: Tensor) -> Tensor:
        return row / row.square().mean().add(1e-8).sqrt() * weight

    router, table = experts.router, experts.table
    heads, num, out = router.num_heads, router.num_keys, []
    for row, gate_row in zip(x, gate, strict=True):
        seen, total = rms(row, experts.norm.weight), torch.zeros_like(row)
        query = (router.query.weight @ rms(gate_row, experts.norm_gate.weight)).view(2, heads, -1)
        for h in range(heads):
            first, second = (router.keys[half, h] @ query[half, h] for half in (0, 1))
            scores = torch.stack([first[e // num] + second[e % num] for e in range(num**2)])
            best = scores.argsort(descending=True)[: router.top_k]
            for weight, e in zip(torch.softmax(scores[best], dim=0), best, strict=True):
                total = total + weight * functional.gelu(seen @ table.down[e]) * table.up[e]
        out.append(total)
    return torch.stack(out)


@pytest.mark.parametrize(('num_experts', 'num_heads', 'top_k'), [(16, 2, 2), (9, 1, 3), (1, 2, 1), (25, 3, 4)])
def test_equals_a_loop_over_all_experts_with_gradients(num_experts: int, num_heads: int, top_k: int) -> None:
    experts = ProductKeyExperts(6, 5, num_experts=num_experts, num_heads=num_heads, top_k=top_k, key_dims=3)
    experts = experts.double()
    x, gate = (torch.randn(7, n, dtype=torch.float64, requires_grad=True) for n in (6, 5))
    weights = torch.randn(7, 6, dtype=torch.float64)
    inputs = [x, gate, *experts.parameters()]
    grads = []
    for out in (experts(x, gate)[0], reference_experts(experts, x, gate)):
        grads.append([out, *torch.autograd.grad((out * weights).sum(), inputs, allow_unused=True)])
    for ours, theirs in zip(*grads, strict=True):
        # the loop never touches keys that decide nothing: with one expert, none does
        torch.testing.assert_close(ours, torch.zeros_like(ours) if theirs is None else theirs)


def test_leading_dimensions_and_gate_by_default() -> None:
    experts = ProductKeyExperts(6, num_experts=16)
    x = torch.randn(2, 3, 4, 6)
    out, routing = experts(x)
    flat, flat_routing = experts(x.flatten(0, 2))
    torch.testing.assert_close(out.flatten(0, 2), flat)
    assert torch.equal(routing.index.flatten(0, 2), flat_routing.index)
    assert routing.scores.shape == (2, 3, 4, 2, 2, 4)
    torch.testing.assert_close(routing.weight.sum(-1), torch.ones(2, 3, 4, 2))
    assert torch.isfinite(experts(torch.zeros(1, 6))[0]).all(), 'a row of zeros does not divide by zero'


def test_sparse_gradients_equal_dense_ones() -> None:
    dense, sparse = (ProductKeyExperts(6, num_experts=64, sparse_gradients=s) for s in (False, True))
    sparse.load_state_dict(dense.state_dict())
    x = torch.randn(5, 6)
    for experts in (dense, sparse):
        experts(x)[0].square().sum().backward()
    for ours, theirs in ((sparse.table.down, dense.table.down), (sparse.table.up, dense.table.up)):
        assert ours.grad.is_sparse and ours.grad._nnz() <= 5 * 2 * 2
        torch.testing.assert_close(ours.grad.to_dense(), theirs.grad)


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(num_experts=1000), 'square of a number of keys, but got 1000; take 1024'),
        (dict(num_experts=0), 'but got 0; take 1'),
        (dict(num_experts=9, top_k=4), r'top_k must be 1 to 3 \(the root of 9 experts\)'),
        (dict(num_heads=0), 'num_heads and key_dims at least 1, but got 2, 0 and 8'),
    ],
)
def test_refusals(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ProductKeyExperts(6, **options)


def routing_of(scores: Tensor, top_k: int = 1) -> Routing:
    """Route rows whose scores (N, 2, 1, K) are given."""
    best, keys = scores.topk(top_k, dim=-1)
    num = scores.shape[-1]
    return Routing(keys[:, 0] * num + keys[:, 1], torch.softmax(best[:, 0], -1), scores)


def test_balance_loss_is_one_for_even_use_and_k_for_one_key() -> None:
    even = torch.eye(4)[:, None, None].expand(-1, 2, 1, -1) * 1e-3
    torch.testing.assert_close(balance_loss(routing_of(even)), torch.tensor(1.0))
    one = torch.tensor([50.0, 0, 0, 0]).expand(4, 2, 1, -1).clone().requires_grad_(True)
    loss = balance_loss(routing_of(one))
    torch.testing.assert_close(loss, torch.tensor(4.0))
    lopsided = torch.tensor([1.0, 0, 0, 0]).expand(4, 2, 1, -1).clone().requires_grad_(True)
    balance_loss(routing_of(lopsided)).backward()
    assert (lopsided.grad[..., 0] > 0).all() and (lopsided.grad[..., 1:] < 0).all()


def test_balance_loss_counts_in_half_precision() -> None:
    scores = torch.tensor([50.0, 0, 0, 0], dtype=torch.bfloat16).expand(4096, 2, 1, -1)
    torch.testing.assert_close(balance_loss(routing_of(scores)), torch.tensor(4.0))


def test_balance_loss_equals_a_loop() -> None:
    experts = ProductKeyExperts(6, num_experts=25, top_k=3)
    _, routing = experts(torch.randn(4, 5, 6))
    total, heads = 0.0, 2
    index, scores = routing.index.flatten(0, 1), routing.scores.flatten(0, 1)
    for half in (0, 1):
        for h in range(heads):
            keys = index[:, h] // 5 if half == 0 else index[:, h] % 5
            share = torch.softmax(scores[:, half, h], -1).mean(0)
            total += 5 * sum(float((keys == k).float().mean() * share[k].detach()) for k in range(5))
    assert math.isclose(float(balance_loss(routing)), total / (2 * heads), rel_tol=1e-5)


def test_router_z_loss() -> None:
    scores = torch.zeros(3, 2, 1, 4)
    torch.testing.assert_close(router_z_loss(routing_of(scores)), torch.tensor(math.log(4) ** 2))
    assert router_z_loss(routing_of(scores + 3)) > router_z_loss(routing_of(scores))


def test_usage_counts_and_entropy() -> None:
    index = torch.tensor([[[0, 3]], [[3, 3]]])
    counts = expert_usage(index, 4)
    assert counts.tolist() == [1, 0, 0, 3]
    expected = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(4)
    assert math.isclose(float(usage_entropy(counts)), expected)


def released_norm(x: Tensor, weight: Tensor) -> Tensor:
    """The norm of the public code, written out: unit length, then sqrt(D) and the weight."""
    return x / x.pow(2).sum(-1, keepdim=True).sqrt().clamp(min=1e-12) * x.shape[-1] ** 0.5 * weight


@pytest.mark.parametrize('size', [1.0, 1e-3, 1e-5, 1e-9])
def test_released_big_moe_norms_do_not_see_how_small_a_row_is(size: float) -> None:
    data = golden('bigmoe_peer')
    released, default = released_experts(data, unit_norm=True), released_experts(data)
    generator = torch.Generator().manual_seed(0)
    x, gate = (size * torch.randn(40, width, generator=generator) for width in (24, 16))
    shrunk = []
    for name, rows in (('norm', x), ('norm_gate', gate)):
        ours, plain = (getattr(experts, name) for experts in (released, default))
        given = [rows.clone().requires_grad_(True) for _ in range(2)]
        outs = [ours(given[0]), released_norm(given[1], ours.weight)]
        torch.testing.assert_close(*outs, rtol=1e-6, atol=1e-6)
        weights = torch.randn(outs[0].shape, generator=generator)
        grads = [torch.autograd.grad((out * weights).sum(), [one, ours.weight]) for out, one in zip(outs, given)]
        for ours_grad, theirs in zip(*grads, strict=True):
            torch.testing.assert_close(ours_grad, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))
        shrunk.append(float(1 - (plain(rows).norm() / outs[0].norm()).detach()))
    # the default adds 1e-8 to the mean square
    expected = 1 - (1 + 1e-8 / size**2) ** -0.5
    assert shrunk == pytest.approx([expected] * 2, rel=0.3, abs=1e-6)
    (out, routing), (whole, _) = released(x, gate), released(x / size, gate / size)
    torch.testing.assert_close(out, whole, rtol=1e-4, atol=1e-5)
    assert torch.isfinite(released(torch.zeros_like(x), gate)[0]).all() and routing.index.shape == (40, 2, 2)
