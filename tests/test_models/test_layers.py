"""Tests of the shared layers: published vectors, and slow twins that loop over modalities."""

from __future__ import annotations

import copy

import pytest
import torch
from golden_vectors import assert_near, difference, golden
from torch import nn
from torch.nn import functional

from mmfas.models.backbones import MultiStreamViT
from mmfas.models.layers import (
    CentralDifferenceConv,
    RepeatableGELU,
    StackedLinear,
    attention,
    central_difference_kernel,
    feed_forward,
)
from mmfas.models.layers.attention import MAX_SHORT
from mmfas.registry import BACKBONES
from mmfas.structures import RepeatAware, expect_repeats


def test_golden_mmdg_cdc_conv() -> None:
    data = golden('mmdg_cdc_conv')
    conv = CentralDifferenceConv(8, 8, theta=0.5)
    conv.weight.data.copy_(data['param.conv.weight'][None])
    x = data['in.x'][None].requires_grad_(True)
    out = conv(x)
    (out[0] * data['cotangent.0']).sum().backward()
    for ours, theirs in (
        (out[0], data['out.0']),
        (x.grad[0], data['grad_in.x']),
        (conv.weight.grad[0], data['grad_param.conv.weight']),
    ):
        assert_near(ours, theirs)
    conv.theta = 0.7  # the vectors would notice another theta
    assert difference(conv(x)[0], data['out.0']).abs().max() > 1e-3


@pytest.mark.parametrize('theta', [0.0, 0.5, 1.0])
@pytest.mark.parametrize('kernel_size', [1, 3, 5])
def test_central_difference_equals_two_convolutions_per_copy(theta: float, kernel_size: int) -> None:
    conv = CentralDifferenceConv(4, 6, num_copies=3, kernel_size=kernel_size, theta=theta).double()
    x = torch.randn(3, 2, 4, 7, 5, dtype=torch.float64)
    for a in range(3):
        weight = conv.weight[a]
        plain = functional.conv2d(x[a], weight, padding=kernel_size // 2)
        centre = functional.conv2d(x[a], weight.sum((2, 3), keepdim=True))
        torch.testing.assert_close(conv(x)[a], plain - theta * centre)


def test_full_central_difference_ignores_constants() -> None:
    kernel = central_difference_kernel(torch.randn(2, 2, 3, 3, dtype=torch.float64), 1.0)
    torch.testing.assert_close(kernel.sum((2, 3)), torch.zeros(2, 2, dtype=torch.float64))


def test_central_difference_refuses_even_kernels() -> None:
    with pytest.raises(ValueError, match='kernel_size must be odd and theta in'):
        CentralDifferenceConv(2, 2, kernel_size=4)


@pytest.mark.parametrize('bias', [True, False])
def test_stacked_linear_equals_a_loop(bias: bool) -> None:
    stacked = StackedLinear(3, in_features=5, out_features=4, bias=bias)
    x = torch.randn(3, 2, 7, 5)
    for a in range(3):
        single = nn.Linear(5, 4, bias=bias)
        single.weight.data.copy_(stacked.weight[a].data)
        if bias:
            single.bias.data.copy_(stacked.bias[a].data)
        torch.testing.assert_close(stacked(x)[a], single(x[a]))


def test_stacked_linear_can_start_as_nothing() -> None:
    assert (StackedLinear(2, in_features=3, out_features=4).zero_()(torch.randn(2, 5, 3)) == 0).all()


@pytest.mark.parametrize('num_keys', [1, 17, MAX_SHORT, MAX_SHORT + 1])
def test_attention_equals_the_fused_kernel(num_keys: int) -> None:
    torch.manual_seed(0)
    shapes = (6, 4, 17, 8), (6, 4, num_keys, 8), (6, 4, num_keys, 8)
    ours = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    fused = [t.detach().clone().requires_grad_() for t in ours]
    out, expected = attention(*ours), functional.scaled_dot_product_attention(*fused)
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    out.backward(cotangent)
    expected.backward(cotangent)
    for a, b in zip(ours, fused, strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_attention_in_half_precision_is_that_of_the_fused_kernel() -> None:
    torch.manual_seed(0)
    query, key, value = (200 * torch.randn(2, 3, 5, 4) for _ in range(3))
    fused = functional.scaled_dot_product_attention(query.half(), key.half(), value.half())
    assert torch.equal(attention(query.half(), key.half(), value.half()), fused)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        fused = functional.scaled_dot_product_attention(query, key, value)
        assert torch.equal(attention(query, key, value), fused)


def test_attention_keeps_to_its_mask() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 5, 4) for _ in range(3))
    mask = torch.tensor([True, True, False, True, False])
    kept = attention(query, key[..., mask, :], value[..., mask, :])
    torch.testing.assert_close(attention(query, key, value, mask=mask[None, None, None]), kept)


def ffn_layers(approximate: str = 'none', drop: float = 0.0) -> nn.Sequential:
    """The layers of mmcv's FFN, tiny."""
    return nn.Sequential(
        nn.Sequential(nn.Linear(5, 7), nn.GELU(approximate), nn.Dropout(drop)), nn.Linear(7, 5), nn.Dropout(0.0)
    )


@pytest.mark.parametrize('approximate', ['none', 'tanh'])
@pytest.mark.parametrize('frozen', [False, True])
def test_feed_forward_for_several_passes_equals_the_layers(approximate: str, frozen: bool) -> None:
    torch.manual_seed(0)
    plain = ffn_layers(approximate).requires_grad_(not frozen)
    kept = copy.deepcopy(plain)
    RepeatableGELU.replace_in(kept)
    expect_repeats(kept)
    x = 4 * torch.randn(4, 2, 5)
    found = []
    for layers, run in ((plain, plain), (kept, lambda x: feed_forward(kept, x))):
        leaf = x.clone().requires_grad_()
        out = run(leaf)
        assert ('_GELULinear' in type(out.grad_fn).__name__) == (layers is kept)
        wanted = [leaf, *(p for p in layers.parameters() if p.requires_grad)]
        passes = [torch.autograd.grad(out[..., k].sum(), wanted, retain_graph=True) for k in range(3)]
        found.append([out, *(gradient for each in passes for gradient in each)])
    assert len(found[0]) == len(found[1]) == (4 if frozen else 16)
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    with torch.no_grad():
        assert torch.equal(plain(x), feed_forward(kept, x))


def test_feed_forward_leaves_everything_else_to_the_layers() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5, requires_grad=True)
    dropping = ffn_layers(drop=0.5)
    quick = nn.Sequential(nn.Sequential(nn.Linear(5, 7), nn.SiLU(), nn.Dropout(0.0)), nn.Linear(7, 5))
    single = ffn_layers()
    for layers in (dropping, quick, single):
        RepeatableGELU.replace_in(layers)
        expect_repeats(layers, layers is not single)
        assert '_GELULinear' not in type(feed_forward(layers, x).grad_fn).__name__
    expect_repeats(single)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert feed_forward(single, x).dtype == torch.bfloat16


def test_blocks_of_the_trunk_take_it() -> None:
    trunk = BACKBONES.build(MultiStreamViT.example_cfg())
    x = torch.randn(3, 2, 5, trunk.token_dims, requires_grad=True)
    out = {}
    for expected in (False, True):
        expect_repeats(trunk, expected)
        with torch.profiler.profile() as profiler:
            out[expected] = trunk.blocks[0].mlp(x)
        assert any(event.key == '_GELULinear' for event in profiler.key_averages()) == expected
    torch.testing.assert_close(out[True], out[False])


def test_every_layer_with_the_attribute_learns_of_repeated_passes() -> None:
    class Foreign(nn.Module):
        expects_repeats = False

    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(Foreign(), RepeatableGELU()))
    expect_repeats(model)
    foreign, gelu = model[1]
    assert isinstance(foreign, RepeatAware) and foreign.expects_repeats and gelu.expects_repeats
    assert not isinstance(model[0], RepeatAware) and not hasattr(model[0], 'expects_repeats')
    expect_repeats(model, False)
    assert not foreign.expects_repeats and not gelu.expects_repeats
