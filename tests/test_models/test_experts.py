"""The mixture of experts and differential attention: released vectors, and loops that say the same slowly."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from golden_vectors import Sketch, assert_near, difference, golden, largest
from torch import Tensor
from torch.nn import functional

from mmfas.models.layers import DifferentialAttention, ExpertMixture, GatedExperts
from mmfas.models.weights.mmda import _entries
from test_models.helpers import perturb


def released(data: dict[str, Any], ours: str, theirs: str, kind: str = 'param') -> dict[str, Any]:
    """Parameters or gradients of one released module in our names; `theirs` is its place in the whole release.

    What is stacked of sketches is a list.
    """
    named = {}
    for entry in _entries(0):
        if entry.ours.startswith(ours + '.') and all(name.startswith(theirs + '.') for name in entry.theirs):
            parts = [data[f'{kind}.{name[len(theirs) + 1 :]}'] for name in entry.theirs]
            join = torch.stack if entry.join == 'stack' else torch.cat
            is_sketch = any(isinstance(part, Sketch) for part in parts)
            assert not is_sketch or entry.join == 'stack'
            named[entry.ours[len(ours) + 1 :]] = parts if is_sketch else join(parts)
    return named


def test_golden_mmda_ffn_expert() -> None:
    data = golden('mmda_ffn_expert')
    layers = {'expand': 'net.1', 'contract': 'net.3'}
    names = {f'{ours}.{kind}': f'{net}.{kind}' for ours, net in layers.items() for kind in ('weight', 'bias')}
    names |= {'norm_weight': 'net.0.weight', 'scale': 'net.2.mult_bias'}
    expert = GatedExperts(1, 32)
    expert.load_state_dict({ours: data[f'param.{name}'][None] for ours, name in names.items()})
    x = data['in.x'].clone().requires_grad_(True)
    out = expert(x.flatten(0, 1), torch.ones(6, 1)).view_as(x)
    (out * data['cotangent.0']).sum().backward()
    assert_near(out, data['out.0'], 'out')
    assert_near(x.grad, data['grad_in.x'], 'grad_in')
    for ours, name in names.items():
        assert_near(expert.get_parameter(ours).grad[0], data[f'grad_param.{name}'], name)


def test_golden_mmda_moe() -> None:
    data = golden('mmda_moe_second_expert_always_kept')
    mixture = ExpertMixture(32)
    mixture.load_state_dict(released(data, 'neck.experts', 'fusion.net'))
    x = data['in.x'].clone().requires_grad_(True)
    out = mixture(x).out
    (out * data['cotangent.0']).sum().backward()
    assert_near(out, data['out.0'], 'out')
    assert_near(x.grad, data['grad_in.x'], 'grad_in')
    expected = released(data, 'neck.experts', 'fusion.net', 'grad_param')
    assert set(expected) == dict(mixture.named_parameters()).keys()
    for name, parameter in mixture.named_parameters():
        assert_near(parameter.grad, expected[name], name)


@pytest.mark.parametrize('part', ['second', 'constants', 'router'])
def test_golden_mmda_moe_notices_each_part(part: str) -> None:
    data = golden('mmda_moe_second_expert_always_kept')
    mixture = ExpertMixture(32, sampled_second=part == 'second')
    mixture.load_state_dict(released(data, 'neck.experts', 'fusion.net'))
    if part == 'second':
        mixture.SECOND_THRESHOLD = 1e9  # never kept
    else:
        torch.nn.init.zeros_(mixture.constants if part == 'constants' else mixture.router.weight)
    moved = difference(mixture(data['in.x']).out, data['out.0']).abs().max()
    assert moved > 100 * 1e-5 * largest(data['out.0'])


def test_golden_mmda_md2a_attention() -> None:
    data = golden('mmda_md2a_attention')
    attention = DifferentialAttention(32, num_heads=16, dropout=0.0)
    attention.load_state_dict(released(data, 'neck.attention', 'fusion.attn'))
    x, reference = (data[f'in.{name}'].clone().requires_grad_(True) for name in ('x', 'x_domain'))
    out = attention(x, reference).out
    (out * data['cotangent.0']).sum().backward()
    pairs = [(out, data['out.0']), (x.grad, data['grad_in.x']), (reference.grad, data['grad_in.x_domain'])]
    expected = released(data, 'neck.attention', 'fusion.attn', 'grad_param')
    assert set(expected) == dict(attention.named_parameters()).keys()
    pairs += [(parameter.grad, expected[name]) for name, parameter in attention.named_parameters()]
    for i, (ours, theirs) in enumerate(pairs):
        assert_near(ours, theirs, str(i))


@pytest.mark.parametrize('part', ['reference', 'lambda', 'heads'])
def test_golden_mmda_md2a_attention_notices_each_part(part: str) -> None:
    data = golden('mmda_md2a_attention')
    attention = DifferentialAttention(32, num_heads=8 if part == 'heads' else 16)
    attention.load_state_dict(released(data, 'neck.attention', 'fusion.attn'))
    if part == 'lambda':
        torch.nn.init.zeros_(attention.lambdas)
    reference = data['in.x'] if part == 'reference' else data['in.x_domain']
    moved = difference(attention.eval()(data['in.x'], reference).out, data['out.0']).abs().max()
    assert moved > 100 * 1e-5 * largest(data['out.0'])


def mixture_by_loop(mixture: ExpertMixture, x: Tensor) -> Tensor:
    """Row by row, only the two experts that are chosen: (N, C)."""
    rows, ffn = [], mixture.experts
    for row in x:
        chances = torch.softmax(mixture.router.weight @ row, dim=0)
        order = chances.argsort(descending=True)[:2]
        total, out = chances[order].sum(), torch.zeros_like(row)
        for e in order.tolist():
            if e < mixture.num_ffn:
                normed = row / (row.square().mean() + 1e-6).sqrt() * ffn.norm_weight[e]
                value, gate = (ffn.expand.weight[e] @ normed + ffn.expand.bias[e]).chunk(2)
                hidden = functional.gelu(gate) * value * ffn.scale[e]
                answer = ffn.contract.weight[e] @ hidden + ffn.contract.bias[e]
            else:
                answer = mixture.constants[e - mixture.num_ffn]
            out = out + chances[e] / total * answer
        rows.append(out)
    return torch.stack(rows)


@pytest.mark.parametrize(('num_ffn', 'num_constant'), [(4, 3), (2, 0), (1, 1)])
def test_mixture_equals_a_loop_with_gradients(num_ffn: int, num_constant: int) -> None:
    mixture = perturb(ExpertMixture(12, num_ffn=num_ffn, num_constant=num_constant).double())
    torch.nn.init.normal_(mixture.router.weight)
    x, weights = (torch.randn(20, 12, dtype=torch.float64, requires_grad=True) for _ in range(2))
    grads = []
    for out in (mixture(x.view(4, 5, 12)).out.view(20, 12), mixture_by_loop(mixture, x)):
        grads.append([out, *torch.autograd.grad((out * weights).sum(), [x, *mixture.parameters()])])
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs)
    gates = mixture(x).gates
    torch.testing.assert_close(gates.sum(1), torch.ones(20, dtype=torch.float64))
    assert ((gates > 0).sum(1) == 2).all()


def test_second_expert_is_kept_as_often_as_it_says() -> None:
    mixture = ExpertMixture(2, num_ffn=1, num_constant=1, sampled_second=True).eval()
    mixture.router.weight.data = torch.tensor([[math.log(9.0), 0.0], [0.0, 0.0]])
    gates = mixture(torch.tensor([[1.0, 0.0]]).expand(20_000, 2)).gates
    kept = (gates[:, 1] > 0).double().mean()  # g_2 = 0.1, so half of them
    assert abs(kept - 0.5) < 4.5 * 0.5 / 20_000**0.5
    torch.testing.assert_close(gates[:, 0], torch.full((20_000,), 0.9))  # what is left is not scaled up


def router_loss_by_loop(logits: Tensor, valid: Tensor, per_sample: bool) -> Tensor:
    """Both router losses with their factors, token by token."""
    num_experts = logits.shape[-1]
    groups = [sample[mask] for sample, mask in zip(logits, valid)] if per_sample else [logits[valid]]
    balance = 0.0
    for group in groups:
        for e in range(num_experts):
            first = sum(float(token.argmax() == e) for token in group) / len(group)
            balance = balance + first * group.softmax(-1)[:, e].mean() * num_experts / len(groups)
    z = torch.stack([token.exp().sum().log() ** 2 for token in logits[valid]]).mean()
    return 1e-2 * balance + 1e-3 * z


@pytest.mark.parametrize('per_sample', [False, True])
def test_router_loss_equals_a_loop(per_sample: bool) -> None:
    mixture = ExpertMixture(4, balance_per_sample=per_sample)
    logits = torch.randn(5, 3, 7, dtype=torch.float64, requires_grad=True)
    valid = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1]]).bool()
    ours, theirs = mixture.router_loss(logits, valid), router_loss_by_loop(logits, valid, per_sample)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(value, logits)[0] for value in (ours, theirs)))
    everything = torch.ones_like(valid)
    torch.testing.assert_close(mixture.router_loss(logits), mixture.router_loss(logits, everything))


@pytest.mark.parametrize('options', [{}, dict(fixed_lambda=0.5), dict(shared_projections=True)])
def test_differential_attention_equals_a_loop(options: dict) -> None:
    attention = perturb(DifferentialAttention(8, num_heads=2, dropout=0.0, **options).double())
    x, reference = (torch.randn(3, 3, 8, dtype=torch.float64) for _ in range(2))
    present = torch.tensor([[True, True, True], [True, False, True], [False, False, True]])
    result = attention(x, reference, present)
    own, other = attention.query_key, attention.reference_query_key or attention.query_key
    weight = 0.5
    if 'fixed_lambda' not in options:
        q1, k1, q2, k2 = attention.lambdas.detach()
        weight = math.exp(q1 @ k1) - math.exp(q2 @ k2) + 0.8 - 0.6 * math.exp(-3.6)
    for b in range(3):
        value, keys = attention.value(x[b]), present[b]
        heads = []
        for cut in (slice(0, 4), slice(4, 8)):
            maps = []
            for layer, tokens in ((own, x[b]), (other, reference[b])):
                query, key = layer(tokens).chunk(2, dim=-1)
                maps.append(torch.softmax(query[:, cut] @ key[keys][:, cut].t() / math.sqrt(8), dim=-1))
            heads.append((maps[0] - weight * maps[1]) @ value[keys][:, cut])
        out = torch.cat(heads, dim=-1)
        out = out / (out.square().mean(-1, keepdim=True) + 1e-5).sqrt() * attention.norm.weight
        torch.testing.assert_close(result.out[b], out * 0.6 * math.exp(-3.6) + 0.2 * out)
        assert (result.maps[:, b, :, :, ~keys] == 0).all()
    assert math.isclose(float(result.noise_weight.detach()), weight)


def test_refusals() -> None:
    with pytest.raises(ValueError, match='num_heads must divide the width 8, but got 3'):
        DifferentialAttention(8, num_heads=3)
    with pytest.raises(ValueError, match='two experts in all, but got num_ffn=1, num_constant=0'):
        ExpertMixture(8, num_ffn=1, num_constant=0)
