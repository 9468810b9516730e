"""Tests of the necks: slow twins, absent modalities, step 0 of adapters, ownership."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mmfas.models import AMANeck, ConcatNeck, CrossAttentionNeck, MeanNeck, StreamSpec
from mmfas.models.necks import concat_streams, grid_of, zero_absent
from mmfas.registry import FUSION_NECKS
from mmfas.structures import FusionContext
from test_models.helpers import VIT, build, images, perturb

SPEC = dict(modalities=('rgb', 'depth', 'ir'), embed_dims=8, token_dims=8, num_blocks=2, num_prefix=1, grid=(2, 3))
PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])

pytestmark = pytest.mark.engine


def cls_of(streams: Tensor) -> Tensor:
    return streams[..., 0, :]


def test_zero_absent_replaces_even_nan() -> None:
    features = torch.full((3, 3, 2), float('nan'))
    features[PRESENT.t()] = 1.0
    assert torch.equal(zero_absent(features, PRESENT), PRESENT.t()[..., None].expand(3, 3, 2).float())


def test_begin_carries_grid_presence_and_domain() -> None:
    neck = ConcatNeck(spec=SPEC)
    ctx = FusionContext(torch.zeros(3, 3, 3, 8, 8), PRESENT, grid=(2, 3), num_prefix=1, domain=torch.arange(3))
    streams, state = neck.begin(torch.zeros(3, 3, 7, 8), ctx)
    assert grid_of(state) == (2, 3) and set(state) == {'present', 'grid', 'domain'}
    assert all(isinstance(value, Tensor) for value in state.values())
    assert 'domain' not in neck.begin(streams, FusionContext(ctx.images, PRESENT))[1]


def test_concat_lays_present_readouts_side_by_side() -> None:
    neck, streams = ConcatNeck(spec=SPEC), torch.randn(3, 3, 7, 8)
    features = neck.finish(streams, {'present': PRESENT}, cls_of)
    assert neck.out_dims == 24
    for sample in range(3):
        for m in range(3):
            expected = cls_of(streams)[m, sample] * PRESENT[sample, m]
            assert torch.equal(features.fused[sample, 8 * m : 8 * m + 8], expected)
            assert torch.equal(features.per_modality[m, sample], expected)


def test_concat_stands_in_for_absent_modalities() -> None:
    neck = ConcatNeck(presence_embedding=True, spec=SPEC)
    nn.init.normal_(neck.absent)
    fused = neck.finish(torch.randn(3, 3, 7, 8), {'present': PRESENT}, cls_of).fused
    assert torch.equal(fused[1, 8:16], neck.absent[1]) and torch.equal(fused[2, :8], neck.absent[0])
    owned = neck.modality_parameters()
    assert owned['ir'] == [(neck.absent, 2)]


def test_mean_is_over_present_modalities_alone_with_gradients() -> None:
    neck, streams = MeanNeck(spec=SPEC), torch.randn(3, 3, 7, 8)
    streams[~PRESENT.t()] = torch.nan
    streams.requires_grad_(True)
    features = neck.finish(streams, {'present': PRESENT}, cls_of)
    assert neck.out_dims == 8 and not list(neck.parameters())
    for sample in range(3):
        there = [m for m in range(3) if PRESENT[sample, m]]
        expected = torch.stack([cls_of(streams)[m, sample] for m in there]).mean(0)
        torch.testing.assert_close(features.fused[sample], expected)
        torch.testing.assert_close(features.per_modality[there, sample], cls_of(streams)[there, sample])
    (grad,) = torch.autograd.grad(features.fused.sum(), streams)
    expected = PRESENT.t() / PRESENT.sum(1)
    torch.testing.assert_close(cls_of(grad), expected[..., None].expand(3, 3, 8))


def reference_cross_attention(neck: CrossAttentionNeck, streams: Tensor, present: Tensor) -> Tensor:
    """Loop over samples, modalities and heads."""
    num, batch = streams.shape[:2]
    width = neck.spec.embed_dims // neck.num_heads
    fused = torch.zeros(batch, num, neck.spec.embed_dims, dtype=streams.dtype)
    for b in range(batch):
        for m in (m for m in range(num) if present[b, m]):
            readout = streams[m, b, 0]
            fused[b, m] = readout
            partners = [streams[n, b] for n in range(num) if n != m and present[b, n]]
            if not partners:
                continue
            key, value = neck.key_value(neck.token_norm(torch.cat(partners))).chunk(2, dim=-1)
            query = neck.query(neck.query_norm(readout))
            heads = []
            for h in range(neck.num_heads):
                cut = slice(h * width, (h + 1) * width)
                weights = torch.softmax(key[:, cut] @ query[cut] / width**0.5, dim=0)
                heads.append(weights @ value[:, cut])
            fused[b, m] += neck.project(torch.cat(heads))
    return fused.flatten(1)


def test_cross_attention_equals_a_loop_with_gradients() -> None:
    neck = CrossAttentionNeck(num_heads=2, spec=SPEC).double()
    streams = torch.randn(3, 3, 7, 8, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 24, dtype=torch.float64)
    grads = []
    for fused in (
        neck.finish(streams, {'present': PRESENT}, cls_of).fused,
        reference_cross_attention(neck, streams, PRESENT),
    ):
        grads.append(torch.autograd.grad((fused * weights).sum(), [streams, *neck.parameters()]))
        torch.testing.assert_close(fused, reference_cross_attention(neck, streams, PRESENT))
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_cross_attention_refusals() -> None:
    with pytest.raises(ValueError, match='num_heads must divide the readout width 8, but got 3'):
        CrossAttentionNeck(num_heads=3, spec=SPEC)
    with pytest.raises(
        ValueError, match=r"CrossAttentionNeck needs at least 2 modalities, but ViT yields \('ir',\)"
    ):
        CrossAttentionNeck(spec={**SPEC, 'modalities': ('ir',), 'trunk': 'ViT'})
    with pytest.raises(ValueError, match='CrossAttentionNeck works on tokens, but CNN yields feature maps'):
        CrossAttentionNeck(spec={**SPEC, 'token_dims': None, 'trunk': 'CNN'})


def test_ama_step_zero_equals_the_plain_trunk_exactly() -> None:
    adapted = build(neck=dict(type='AMANeck', adapter_dims=4)).eval()
    plain = build().eval()
    plain.trunk.load_state_dict(adapted.trunk.state_dict())
    inputs = images(3)
    assert torch.equal(adapted.extract_feat(inputs).fused, plain.extract_feat(inputs).fused)
    perturb(adapted.neck)
    assert (adapted.extract_feat(inputs).fused - plain.extract_feat(inputs).fused).abs().max() > 1e-3


def test_ama_adapter_equals_a_loop_over_modalities() -> None:
    neck = perturb(AMANeck(adapter_dims=4, spec=SPEC).double())
    adapter, x = neck.adapters[0], torch.randn(3, 3, 7, 8, dtype=torch.float64)
    down, maps = [], []
    for m in range(3):
        z = nn.functional.gelu(x[m] @ adapter.down.weight[m].t() + adapter.down.bias[m])
        image = z[:, 1:].transpose(1, 2).unflatten(2, (2, 3))
        weight = adapter.conv.weight[m]
        centre = nn.functional.conv2d(image, weight.sum((2, 3), keepdim=True))
        maps.append(nn.functional.conv2d(image, weight, padding=1) - adapter.conv.theta * centre)
        down.append(z)
    pooled = [maps[m].mean((2, 3)) * PRESENT[:, m : m + 1] for m in range(3)]
    gate = torch.sigmoid(adapter.gate(torch.cat(pooled, dim=1)))
    delta, weight = adapter(x, PRESENT, (2, 3))
    for m in range(3):
        z = torch.cat([down[m][:, :1], maps[m].flatten(2).transpose(1, 2)], dim=1) * gate[:, m, None, None]
        expected = nn.functional.gelu(z) @ adapter.up.weight[m].t() + adapter.up.bias[m]
        torch.testing.assert_close(delta[m], expected)
    torch.testing.assert_close(weight, gate.t())


def test_ama_adapter_slices_belong_to_their_modality() -> None:
    model = perturb(build(neck=dict(type='AMANeck', adapter_dims=4)))
    features = model.extract_feat(images(2))
    features.per_modality[2].square().sum().backward()
    owned = model.neck.modality_parameters()
    assert [len(owned[m]) for m in ('rgb', 'depth', 'ir')] == [2 * 5] * 3
    assert all(parameter.grad[index].abs().sum() > 0 for parameter, index in owned['ir'])
    last = model.neck.adapters[-1].up.weight  # nothing passes between modalities after it
    slices = {m: [index for parameter, index in owned[m] if parameter is last] for m in owned}
    assert slices == {'rgb': [0], 'depth': [1], 'ir': [2]}
    assert (last.grad[:2] == 0).all()
    assert features.maps['modality_weight'].shape == (3, 2) and not features.maps['modality_weight'].requires_grad


def test_state_is_never_changed_in_place() -> None:
    model = build(neck=dict(type='AMANeck', adapter_dims=4))
    state = {'present': PRESENT, 'grid': torch.empty(0, 4, 4)}
    before = dict(state)
    streams = model.trunk.embed(torch.randn(3, 3, 3, 32, 32))
    kept = streams.clone()
    _, after = model.neck.block(0, model.trunk.blocks[0], streams, state)
    assert state == before and 'weight' in after and torch.equal(streams, kept)


def test_spec_comes_from_the_trunk() -> None:
    model = build(modalities=('rgb', 'ir'), trunk={**VIT, 'proj_dims': 12})
    assert model.neck.spec == StreamSpec(
        ('rgb', 'ir'), 12, token_dims=16, num_blocks=2, num_prefix=1, reads_prefix_only=True,
        grid=(4, 4), image_size=(32, 32), trunk='MultiStreamViT',
    )  # fmt: skip
    assert concat_streams(torch.zeros(2, 5, 12)).shape == (5, model.neck.out_dims)
    with pytest.raises(ValueError, match='modalities must be one or more of'):
        FUSION_NECKS.build(dict(type='ConcatNeck'), spec=dict(modalities=('ir', 'rgb'), embed_dims=4))
