"""Published vectors of the modules of BIG-MoE: prompt, bypass and adapter, as released; each part is noticed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from golden_vectors import assert_near, difference, golden
from torch import Tensor

from mmfas.models.necks import (
    IsolatedGatingAdapter,
    PromptBypass,
    PromptGenerator,
    PromptOptions,
    ReleasedBlockOptions,
)
from mmfas.models.specs import StreamSpec
from mmfas.structures import MODALITIES

AS_RELEASED = PromptOptions(residual=False, swap_grid=True)
#: The release has the order rgb, ir, depth.
TO_OURS = [0, 2, 1]
CODES = [0, 1, 4, 5, 2, 3, 6, 7]

pytestmark = pytest.mark.engine


def swap(x: Tensor, dim: int = -1) -> Tensor:
    """Swap depth and ir, which are the second and third of three equal parts of an axis."""
    return torch.cat([x.chunk(3, dim)[i] for i in TO_OURS], dim)


def assert_golden(pairs: dict[str, Tensor], data: dict[str, Any]) -> None:
    for name, ours in pairs.items():
        assert_near(ours, data[name], name)


def test_golden_big_moe_prompt_generator() -> None:
    data = golden('bigmoe_prompt_learner')
    spec = StreamSpec(MODALITIES, embed_dims=8, grid=(3, 3), image_size=(48, 48))
    generator = PromptGenerator(spec, PromptOptions())
    generator.load_state_dict(
        {
            'mix.weight': swap(data['param.conv_d.conv.weight'], 1)[None],
            'by_code': data['param.modality_prompt'][CODES],
            'shared': data['param.P_s'],
            'project.weight': data['param.conv_proj.weight'],
            'project.bias': data['param.conv_proj.bias'],
        }
    )
    pictures = torch.stack([data[f'in.{m}'] for m in MODALITIES]).requires_grad_(True)
    code = torch.tensor([CODES[int(c)] for c in data['in.modality_code']])
    assert code.tolist() == [0, 3], 'rgb and depth: bits 1 and 4 of the release, 1 and 2 here'
    out = generator(pictures, code, (3, 3))
    (out * data['cotangent.0']).sum().backward()
    named = {name: p.grad for name, p in generator.named_parameters()}
    pairs = {
        'out.0': out,
        **{f'grad_in.{m}': pictures.grad[i] for i, m in enumerate(MODALITIES)},
        'grad_param.conv_d.conv.weight': swap(named['mix.weight'][0], 1),
        'grad_param.modality_prompt': named['by_code'][CODES],
        'grad_param.P_s': named['shared'],
        'grad_param.conv_proj.weight': named['project.weight'],
        'grad_param.conv_proj.bias': named['project.bias'],
    }
    assert_golden(pairs, data)


def load_bypass(bypass: PromptBypass, data: dict[str, Any], prefix: str) -> PromptBypass:
    bypass.load_state_dict(
        {
            'conv_prompt.weight': data[f'{prefix}conv_VP.conv.weight'][None],
            'conv_gate.weight': data[f'{prefix}conv_gate.conv.weight'][None],
            'attention.weight': data[f'{prefix}attn.conv.weight'],
            'conv_out.weight': data[f'{prefix}conv_compose.conv.weight'][None],
        }
    )
    return bypass


def bypass_gradients(bypass: PromptBypass, prefix: str) -> dict[str, Tensor]:
    return {
        f'{prefix}conv_VP.conv.weight': bypass.conv_prompt.weight.grad[0],
        f'{prefix}conv_gate.conv.weight': bypass.conv_gate.weight.grad[0],
        f'{prefix}attn.conv.weight': bypass.attention.weight.grad,
        f'{prefix}conv_compose.conv.weight': bypass.conv_out.weight.grad[0],
    }


def test_golden_big_moe_prompt_bypass() -> None:
    data = golden('bigmoe_prompt_block_asreleased')
    bypass = load_bypass(PromptBypass(16, options=AS_RELEASED, dropout=0.0), data, 'param.')
    prompt, gate = (data[f'in.{name}'].requires_grad_(True) for name in ('prompt', 'gate'))
    out = bypass(prompt, gate, (14, 14))
    (out * data['cotangent.0']).sum().backward()
    pairs = {'out.0': out, 'grad_in.prompt': prompt.grad, 'grad_in.gate': gate.grad}
    assert_golden(pairs | bypass_gradients(bypass, 'grad_param.'), data)


#: Name in the released adaptor -> ours, and whether its last axis has the modalities.
ADAPTER = {
    'C_down.weight': ('down.weight', False),
    'C_down.bias': ('down.bias', False),
    'G_down.weight': ('gate_features.weight', True),
    'G_down.bias': ('gate_features.bias', False),
    'conv_VP.weight': ('gate_prompt.weight', False),
    'conv_VP.bias': ('gate_prompt.bias', False),
    'adaptor.norm.gamma': ('experts.norm.weight', True),
    'adaptor.norm_gate.gamma': ('experts.norm_gate.weight', False),
    'adaptor.weight_down_embed.weight': ('experts.table.down', True),
    'adaptor.weight_up_embed.weight': ('experts.table.up', True),
    'adaptor.to_queries.0.weight': ('experts.router.query.weight', False),
    'conv_up.weight': ('up.weight', False),
    'conv_up.bias': ('up.bias', False),
}


def released_adapter(data: dict[str, Any]) -> IsolatedGatingAdapter:
    """Make one adaptor as released, with the published parameters."""
    adapter = IsolatedGatingAdapter(
        StreamSpec(MODALITIES, embed_dims=32, token_dims=32),
        adapter_dims=8,
        experts=dict(num_experts=64),
        prompt=AS_RELEASED,
        arithmetic=ReleasedBlockOptions(activate_up=True),
        isolated=True,
        dropout=0.0,
        makes_prompt=True,
    )
    given = {name: data[f'param.{name}'] for name in ADAPTER}
    state = {ours: swap(given[name]) if by else given[name] for name, (ours, by) in ADAPTER.items()}
    state['experts.router.keys'] = data['param.adaptor.keys'].permute(2, 0, 1, 3)
    missing, unexpected = adapter.load_state_dict(state, strict=False)
    assert not unexpected and all(name.startswith('bypass.') for name in missing)
    load_bypass(adapter.bypass, data, 'param.VP_block.')
    return adapter


def run_released(adapter: IsolatedGatingAdapter, x: Tensor, prompt: Tensor) -> tuple[Tensor, Tensor]:
    """Adapt tokens in the released order; the class token comes out twice."""
    tokens = torch.cat([x[:, :1], swap(x[:, 1:], 1)], dim=1)
    present = torch.ones(len(x), 3, dtype=torch.bool)
    delta, after, _ = adapter(tokens, torch.zeros_like(x), prompt, present=present, grid=(14, 14))
    return x + torch.cat([x[:, :1], swap(delta[:, 1:], 1)], dim=1), after


def test_golden_big_moe_adapter() -> None:
    data = golden('bigmoe_adaptor_asreleased')
    adapter = released_adapter(data)
    x, prompt = (data[f'in.{name}'].requires_grad_(True) for name in ('x', 'prompt'))
    out, after = run_released(adapter, x, prompt)
    ((out * data['cotangent.0']).sum() + (after * data['cotangent.1']).sum()).backward()
    named = {name: p.grad for name, p in adapter.named_parameters()}
    pairs = {f'grad_param.{n}': swap(named[o]) if by else named[o] for n, (o, by) in ADAPTER.items()}
    pairs |= {
        'out.0': out,
        'out.1': after,
        'grad_in.x': x.grad,
        'grad_in.prompt': prompt.grad,
        'grad_param.adaptor.keys': named['experts.router.keys'].permute(1, 2, 0, 3),
        **bypass_gradients(adapter.bypass, 'grad_param.VP_block.'),
    }
    assert_golden(pairs, data)


@pytest.mark.parametrize('part', ['swap_grid', 'residual', 'bypass', 'experts', 'activate_up', 'order'])
def test_golden_big_moe_adapter_notices_each_part(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = golden('bigmoe_adaptor_asreleased')
    adapter, x, prompt = released_adapter(data), data['in.x'], data['in.prompt']
    whole, prompt_after = run_released(adapter, x, prompt)
    # of the tokens, what the adapter adds to the patches
    scales = (whole - x)[:, 1:].abs().max(), prompt_after.abs().max()
    if part in ('swap_grid', 'residual'):
        adapter.bypass.options = PromptOptions(swap_grid=part != 'swap_grid', residual=part == 'residual')
    elif part == 'bypass':
        adapter.bypass = None
    elif part == 'experts':
        monkeypatch.setattr(adapter.experts.table, 'forward', lambda rows, routing: torch.zeros_like(rows))
    elif part == 'activate_up':
        adapter.activate_up = False
    else:
        x = torch.cat([x[:, :1], swap(x[:, 1:], 1)], dim=1)
    out, after = run_released(adapter, x, prompt)
    which = 1 if part in ('swap_grid', 'residual', 'bypass') else 0
    moved = difference((out, after)[which], data[f'out.{which}']).abs().max()
    assert moved > 100 * 1e-5 * scales[which]
