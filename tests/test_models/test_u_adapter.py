"""Tests of the U-Adapter: published vectors, slow twins that loop over edges, absent modalities, ownership."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from golden_vectors import assert_near, difference, golden, largest
from naive_mmdg import adapt
from torch import Tensor

from mmfas.models import MultiModalFAS, UAdapterNeck
from mmfas.models.necks import GroupedUAdapter, TokenConfidence
from mmfas.structures import MODALITIES
from test_models.helpers import VIT, build, images, perturb

SPEC = dict(modalities=MODALITIES, embed_dims=8, token_dims=8, num_blocks=1, num_prefix=1, grid=(2, 3))
PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])
NECK = dict(type='UAdapterNeck', adapter_dims=4, num_heads=2, dropout=0.0)
#: Name in the released adapter -> ours; those of key and value are joined.
RELEASED = {
    'adapter_conv.conv.weight': 'conv.weight',
    'cross_attention.q_linear.weight': 'query.weight',
    'cross_attention.proj.weight': 'project.weight',
    'cross_attention.proj.bias': 'project.bias',
    'ln_before.weight': 'norm_weight',
    'ln_before.bias': 'norm_bias',
    'adapter_down_1.weight': 'down_own.weight',
    'adapter_down_1.bias': 'down_own.bias',
    'adapter_down_2.weight': 'down_partner.weight',
    'adapter_down_2.bias': 'down_partner.bias',
    'adapter_up.weight': 'up.weight',
    'adapter_up.bias': 'up.bias',
}

pytestmark = pytest.mark.engine


def released_adapter(data: dict[str, Any]) -> GroupedUAdapter:
    """Make the adapter of one edge, as released, with the published parameters."""
    adapter = GroupedUAdapter(
        [(0, 1)],
        num_streams=2,
        token_dims=32,
        adapter_dims=8,
        num_heads=8,
        theta=0.5,
        dropout=0.0,
        convolve_prefix=True,
    )
    state = {ours: data[f'param.{name}'][None] for name, ours in RELEASED.items()}
    pair = [data[f'param.cross_attention.{n}_linear.weight'] for n in 'kv']
    adapter.load_state_dict({**state, 'key_value.weight': torch.cat(pair)[None]})
    return adapter


def test_golden_mmdg_u_adapter() -> None:
    data = golden('mmdg_u_adapter')
    adapter = released_adapter(data)
    x = torch.stack([data['in.x_self'], data['in.x_other']]).requires_grad_(True)
    u = data['in.u_other'].clone().requires_grad_(True)
    trust = torch.stack([torch.ones(2, 197), u.mean(-1)])
    present = torch.ones(2, 2, dtype=torch.bool)
    out = adapter(x, trust, present=present, grid=(14, 14))
    assert (out[1] == 0).all(), 'nothing goes to a stream without partners'
    (out[0] * data['cotangent.0']).sum().backward()
    pairs = [
        (out[0], 'out.0'),
        (x.grad[0], 'grad_in.x_self'),
        (x.grad[1], 'grad_in.x_other'),
        (u.grad, 'grad_in.u_other'),
    ]
    named = dict(adapter.named_parameters())
    pairs += [(named[ours].grad[0], f'grad_param.{name}') for name, ours in RELEASED.items()]
    key, value = named['key_value.weight'].grad[0].chunk(2)
    pairs += [
        (key, 'grad_param.cross_attention.k_linear.weight'),
        (value, 'grad_param.cross_attention.v_linear.weight'),
    ]
    for ours, name in pairs:
        assert_near(ours, data[name], name)


@pytest.mark.parametrize('part', ['trust', 'bypass', 'conv', 'attention'])
def test_golden_mmdg_u_adapter_notices_each_part(part: str) -> None:
    data = golden('mmdg_u_adapter')
    adapter = released_adapter(data)
    trust = torch.stack([torch.ones(2, 197), data['in.u_other'].mean(-1)])
    if part == 'trust':
        trust = torch.ones_like(trust)
    elif part == 'bypass':
        adapter.convolve_prefix = False
    elif part == 'conv':
        adapter.conv.theta = 0.7
    else:
        adapter.num_heads = 4
    x = torch.stack([data['in.x_self'], data['in.x_other']])
    out = adapter(x, trust, present=torch.ones(2, 2, dtype=torch.bool), grid=(14, 14))
    assert difference(out[0], data['out.0']).abs().max() > 100 * 1e-5 * largest(data['out.0'])


def exact_moments(x: Tensor, count: int = 20, p: float = 0.3, rate: float = 2.25) -> list[Tensor]:
    """Sum over all outcomes of the binomial: mean and central moments 2 and 4 of the released estimate."""
    values, mass = [], []
    for kept in range(count + 1):
        copies = torch.cat([torch.ones(kept), torch.zeros(count - kept)]).double() / (1 - p)
        values.append(torch.exp(-rate * x.double().abs() * copies.std()))
        mass.append(math.comb(count, kept) * (1 - p) ** kept * p ** (count - kept))
    table, weights = torch.stack(values), torch.tensor(mass, dtype=torch.float64)[:, None]
    mean = (weights * table).sum(0)
    return [mean, *((weights * (table - mean) ** order).sum(0) for order in (2, 4))]


def assert_moments(mean: Tensor, std: Tensor, draws: int, x: Tensor) -> None:
    """Compare a sample mean and deviation with the exact ones, within 4.5 standard errors."""
    exact, second, fourth = exact_moments(x)
    assert ((mean - exact).abs() <= 4.5 * (second / draws).sqrt() + 1e-6).all()
    error = ((fourth - second**2).clamp(min=0) / draws).sqrt()
    assert ((std**2 - second).abs() <= 4.5 * error + 1e-8).all()


def test_golden_mmdg_uncertainty_moments() -> None:
    data = golden('mmdg_uncertainty_moments')
    x = data['activation'][0]
    assert_moments(data['mean'][0].double(), data['std'][0].double(), int(data['n_draws']), x)
    sampled = TokenConfidence('sampled')
    drawn = sampled(x[None, :, None].expand(100_000, -1, 1)).double()
    assert_moments(drawn.mean(0), drawn.std(0), 100_000, x)
    closed = TokenConfidence()(x[:, None]).double()
    exact = exact_moments(x)[0]
    # two estimators: the exp of the expected variance is not the expected exp
    torch.testing.assert_close(
        (exact / closed)[[3, 4]], torch.tensor([1.0267, 1.1008]).double(), rtol=0, atol=1e-4
    )
    assert (drawn.mean(0) - closed)[3:5].min() > 4.5 * drawn.std(0)[3:5].max() / 100_000**0.5


def test_sampled_variance_is_unbiased_and_draws_are_new() -> None:
    x = torch.tensor([0.5, 1.0, -2.0])[None, :, None].expand(100_000, -1, 1)
    sampled = TokenConfidence('sampled', spread='variance', rate=1.0)
    variance = -sampled(x).double().log().mean(0)
    torch.testing.assert_close(variance, x[0, :, 0].double().square() * 0.3 / 0.7, rtol=5e-3, atol=0)
    assert not torch.equal(sampled(x), sampled(x))


@pytest.mark.parametrize('mean_first', [False, True])
@pytest.mark.parametrize('spread', ['std', 'variance'])
def test_closed_form(spread: str, mean_first: bool) -> None:
    x = torch.randn(3, 2, 5, 16, dtype=torch.float64)
    variance = x**2 * 0.3 / 0.7
    values = variance.sqrt() if spread == 'std' else variance
    expected = torch.exp(-2.25 * values.mean(-1)) if mean_first else torch.exp(-2.25 * values).mean(-1)
    before = x.clone()
    torch.testing.assert_close(TokenConfidence(spread=spread, mean_first=mean_first)(x), expected)
    assert torch.equal(x, before)
    assert (TokenConfidence(rate=0.0)(x) == 1).all()


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(mode='drawn'), "mode must be one of .* but got 'drawn'"),
        (dict(spread='range'), "spread of .* and 'range'"),
        (dict(dropout=1.0), r'dropout in \(0, 1\)'),
        (dict(num_samples=1), 'num_samples at least 2'),
    ],
)
def test_uncertainty_refusals(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        TokenConfidence(**options)


@pytest.mark.parametrize('convolve_prefix', [False, True])
@pytest.mark.parametrize(
    'partners',
    [
        None,
        dict(rgb=('depth', 'ir'), depth=('rgb', 'ir'), ir=('rgb', 'depth')),
        dict(ir=('depth',)),
        dict(rgb=('ir', 'depth'), depth=('ir',)),
    ],
    ids=['default', 'full', 'one', 'lopsided'],
)
def test_grouped_adapters_equal_a_loop_with_gradients(partners: dict | None, convolve_prefix: bool) -> None:
    neck = UAdapterNeck(
        4, num_heads=2, dropout=0.0, partners=partners, convolve_cls=convolve_prefix, spec=SPEC
    ).double()
    adapter = perturb(neck).adapters[0]
    x = torch.randn(3, 3, 7, 8, dtype=torch.float64, requires_grad=True)
    trust, weights = torch.rand(3, 3, 7, dtype=torch.float64), torch.randn(3, 3, 7, 8, dtype=torch.float64)
    expected = torch.zeros_like(x)
    for e, (own, partner) in enumerate((MODALITIES.index(a), MODALITIES.index(b)) for a, b in neck.edges):
        delta = adapt(adapter, e, x[own], x[partner], trust[partner])
        there = PRESENT[:, partner, None, None]
        expected = expected + torch.stack(
            [delta * there if m == own else torch.zeros_like(delta) for m in range(3)]
        )
    grads = []
    for out in (adapter(x, trust, present=PRESENT, grid=(2, 3)), expected):
        torch.testing.assert_close(out, expected)
        grads.append(torch.autograd.grad((out * weights).sum(), [x, *adapter.parameters()]))
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_default_graph_is_a_star() -> None:
    assert UAdapterNeck(spec=SPEC).edges == (('rgb', 'depth'), ('rgb', 'ir'), ('depth', 'rgb'), ('ir', 'rgb'))
    assert UAdapterNeck(spec={**SPEC, 'modalities': ('depth', 'ir')}).edges == (('depth', 'ir'), ('ir', 'depth'))


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(partners=dict(rgb=('rgb',))), 'wrong is rgb <- rgb'),
        (dict(partners=dict(rgb=('thermal',))), 'wrong is rgb <- thermal'),
        (dict(partners=dict(nir=('rgb',))), 'wrong is nir <- rgb'),
        (dict(partners=dict(rgb=('ir', 'ir'))), 'wrong is rgb <- ir'),
        (dict(partners={}), 'there is none'),
        (dict(num_heads=3), 'num_heads must divide adapter_dims 8, but got 3'),
    ],
)
def test_refusals(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        UAdapterNeck(**options, spec=SPEC)


def model_with(**options: Any) -> MultiModalFAS:
    return build(neck={**NECK, **options})


def test_step_zero_equals_the_plain_trunk() -> None:
    adapted, plain = model_with().eval(), build().eval()
    plain.trunk.load_state_dict(adapted.trunk.state_dict())
    inputs = images(3)
    torch.testing.assert_close(
        adapted.extract_feat(inputs).fused, plain.extract_feat(inputs).fused, rtol=0, atol=1e-6
    )
    perturb(adapted.neck)
    assert (adapted.extract_feat(inputs).fused - plain.extract_feat(inputs).fused).abs().max() > 1e-3


def test_block_follows_the_equation() -> None:
    model = perturb(model_with().double()).eval()
    x = {m: image.double() for m, image in images(3).items()}
    streams = model.trunk.embed(torch.stack(list(x.values())))
    neck, trusts = model.neck, []
    for block, adapter in zip(model.trunk.blocks, neck.adapters, strict=True):
        y = block.attn(block.norm1(streams))
        hidden = block.norm2(streams + y)
        trust = torch.exp(-2.25 * math.sqrt(0.3 / 0.7) * y.abs()).mean(-1)
        trusts.append(trust)
        everyone = torch.ones(3, 3, dtype=torch.bool)
        streams = streams + y + block.mlp(hidden) + adapter(hidden, trust, present=everyone, grid=(4, 4))
    features = model.extract_feat(x)
    torch.testing.assert_close(features.per_modality, model.trunk.readout(streams))
    torch.testing.assert_close(features.confidence, trusts[-1][..., 0])
    torch.testing.assert_close(features.maps['confidence'], torch.stack(trusts)[..., 1:].unflatten(-1, (4, 4)))
    assert not features.maps['confidence'].requires_grad and not features.confidence.requires_grad
    assert features.maps['uncertainty'] is features.maps['confidence']  # the former name, for one release


@pytest.mark.parametrize('with_cls_token', [False, True])
def test_confidence_is_that_of_the_patches_where_they_are_read(with_cls_token: bool) -> None:
    vit = {**VIT['vit'], 'with_cls_token': with_cls_token}
    model = build(neck=NECK, trunk={**VIT, 'vit': vit, 'pooling': 'mean'}).eval()
    features = model.extract_feat(images(2))
    torch.testing.assert_close(features.confidence, features.maps['confidence'][-1].mean((-2, -1)))


def test_absent_partner_changes_nothing_for_the_others() -> None:
    model = perturb(model_with().double()).eval()
    inputs: dict[str, Tensor] = {m: image.double() for m, image in images(3).items()}
    masked = model.extract_feat({**inputs, 'present': PRESENT})
    assert (masked.per_modality[~PRESENT.t()] == 0).all()
    # ir has one partner, rgb: without it, it is the ir stream of a plain trunk
    plain = build().double().eval()
    plain.trunk.load_state_dict(model.trunk.state_dict())
    present = torch.tensor([[False, True, True]] * 3)
    alone = model.extract_feat({**inputs, 'present': present}).per_modality
    torch.testing.assert_close(alone[1:], plain.extract_feat(inputs).per_modality[1:])
    poisoned = {**inputs, 'rgb': torch.full_like(inputs['rgb'], 1e3), 'present': present}
    torch.testing.assert_close(model.extract_feat(poisoned).per_modality, alone, rtol=0, atol=1e-9)


def test_absent_images_can_be_looked_at_as_released() -> None:
    seeing, inputs = perturb(model_with(mask_absent=False)).eval(), images(3)
    everything = seeing.extract_feat(inputs).fused
    assert torch.equal(seeing.extract_feat({**inputs, 'present': PRESENT}).fused, everything)
    masking = model_with().eval()
    masking.load_state_dict(seeing.state_dict())
    torch.testing.assert_close(masking.extract_feat(inputs).fused, everything)
    assert (masking.extract_feat({**inputs, 'present': PRESENT}).fused - everything).abs().max() > 1e-2


@pytest.mark.parametrize('partners', [None, dict(rgb=('depth',), depth=('ir',), ir=('rgb',))])
def test_features_do_not_depend_on_neighbours(partners: dict | None) -> None:
    model = perturb(model_with(partners=partners).double()).eval()
    inputs = {m: image.double() for m, image in images(6).items()}
    present = PRESENT.repeat(2, 1)
    whole = model.extract_feat({**inputs, 'present': present}).fused
    for i in range(6):
        row = {m: image[i : i + 1] for m, image in inputs.items()}
        alone = model.extract_feat({**row, 'present': present[i : i + 1]}).fused
        torch.testing.assert_close(alone, whole[i : i + 1], rtol=0, atol=1e-9)


def test_adapters_belong_to_the_stream_they_add_to() -> None:
    model = perturb(model_with())
    owned = model.neck.modality_parameters()
    per_edge = 2 * (len(list(model.neck.adapters[0].parameters())) + 1)  # keys and values are two tensors
    assert {m: len(entries) for m, entries in owned.items()} == dict(rgb=2 * per_edge, depth=per_edge, ir=per_edge)
    model.extract_feat(images(2)).per_modality[2].square().sum().backward()
    last = model.neck.adapters[-1]  # only its class token is read, which bypasses the convolution
    reached = {id(p): p.grad[index].abs().sum() > 0 for p, index in owned['ir'] if p is not last.conv.weight}
    assert all(reached.values())
    assert (
        not last.conv.weight.requires_grad
        and model_with(convolve_cls=True).neck.adapters[-1].conv.weight.requires_grad
    )
    # nothing passes between modalities after it
    assert all((parameter.grad[:3] == 0).all() for parameter in last.parameters() if parameter.requires_grad)


@pytest.mark.parametrize('convolve_cls', [False, True])
def test_last_block_without_patches_equals_the_whole_one(convolve_cls: bool) -> None:
    """Where the class token is read, the last block leaves out its patches: same features, maps, gradients."""
    model = perturb(model_with(convolve_cls=convolve_cls).double())
    inputs: dict[str, Tensor] = {m: image.double() for m, image in images(3).items()}
    inputs['present'] = PRESENT
    seen: list[Tensor] = []
    finish = model.neck.finish
    model.neck.finish = lambda streams, *rest: (seen.append(streams), finish(streams, *rest))[1]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    results = []
    for is_short in (True, False):
        model.neck.spec = replace(model.neck.spec, reads_prefix_only=is_short)
        features = model.extract_feat(inputs)
        losses = features.per_modality.square().sum((1, 2)).unbind()
        grads = [torch.autograd.grad(loss, trained, retain_graph=True, materialize_grads=True) for loss in losses]
        outcome = [features.fused, features.maps['confidence']]
        results.append([*outcome, *(grad for row in grads for grad in row)])
    assert [streams.shape[2] for streams in seen] == [1, 17]
    for short, whole in zip(*results, strict=True):
        torch.testing.assert_close(short, whole, rtol=1e-10, atol=1e-12)
    assert sum(bool(grad.any()) for grad in results[0][2:]) > len(trained)


def test_trunk_that_reads_patches_gets_all_of_them() -> None:
    model = build(neck=NECK, trunk={**VIT, 'pooling': 'mean'})
    assert not model.neck.spec.reads_prefix_only
    assert model.neck.adapters[-1].conv.weight.requires_grad


def test_dropout_acts_in_training_only() -> None:
    model, inputs = perturb(model_with(dropout=0.5)), images(2)
    model.train()
    assert not torch.equal(model.extract_feat(inputs).fused, model.extract_feat(inputs).fused)
    model.eval()
    assert torch.equal(model.extract_feat(inputs).fused, model.extract_feat(inputs).fused)
