"""Weights of the released BIG-MoE code in the names and shapes of mmfas, and back; both ways lose nothing.

The release has the modalities in the order rgb, ir, depth, ours is rgb, depth, ir: everything with a modality axis
is permuted, the missing-modality code (bits 1, 2, 4 in their order) included.

Legend: M = 3 modalities, N blocks, P positions, H heads, K keys per half, d key width, C token width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmfas.models.weights.names import BLOCK_NAMES, check_names, count_names

_ADAPTER = {
    'down.weight': ('C_down.weight', 'same'),
    'down.bias': ('C_down.bias', 'same'),
    'gate_features.weight': ('G_down.weight', 'last'),
    'gate_features.bias': ('G_down.bias', 'same'),
    'gate_prompt.weight': ('conv_VP.weight', 'same'),
    'gate_prompt.bias': ('conv_VP.bias', 'same'),
    'experts.norm.weight': ('adaptor.norm.gamma', 'last'),
    'experts.norm_gate.weight': ('adaptor.norm_gate.gamma', 'same'),
    'experts.router.keys': ('adaptor.keys', 'keys'),
    'experts.router.query.weight': ('adaptor.to_queries.0.weight', 'same'),
    'experts.table.down': ('adaptor.weight_down_embed.weight', 'last'),
    'experts.table.up': ('adaptor.weight_up_embed.weight', 'last'),
    'up.weight': ('conv_up.weight', 'same'),
    'up.bias': ('conv_up.bias', 'same'),
    'bypass.conv_prompt.weight': ('VP_block.conv_VP.conv.weight', 'stacked'),
    'bypass.conv_gate.weight': ('VP_block.conv_gate.conv.weight', 'stacked'),
    'bypass.attention.weight': ('VP_block.attn.conv.weight', 'same'),
    'bypass.conv_out.weight': ('VP_block.conv_compose.conv.weight', 'stacked'),
}
_REST = {
    'trunk.embedding.cls_token': ('class_token', 'same'),
    'trunk.embedding.pos_embed': ('pos_embedding', 'positions'),
    'trunk.embedding.patch_weight': ('conv_proj.weight', 'stacked'),
    'trunk.embedding.patch_bias': ('conv_proj.bias', 'stacked'),
    'neck.generator.mix.weight': ('VP_learner.conv_d.conv.weight', 'channels'),
    'neck.generator.by_code': ('VP_learner.modality_prompt', 'codes'),
    'neck.generator.shared': ('VP_learner.P_s', 'same'),
    'neck.generator.project.weight': ('VP_learner.conv_proj.weight', 'same'),
    'neck.generator.project.bias': ('VP_learner.conv_proj.bias', 'same'),
    'head.classifier.weight': ('fc.0.weight', 'same'),
    'head.classifier.bias': ('fc.0.bias', 'same'),
}


@dataclass(frozen=True)
class _Change:
    """How a tensor of the release becomes ours, and back."""

    forth: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]


def _swap(x: Tensor, dim: int) -> Tensor:
    """Swap depth and ir along an axis of three equal parts; its own inverse."""
    rgb, second, third = x.chunk(3, dim=dim)
    return torch.cat([rgb, third, second], dim=dim)


def _swap_codes(x: Tensor) -> Tensor:
    """Swap bits 1 and 2 of the code along the first axis (8, ...); its own inverse."""
    return x[[0, 1, 4, 5, 2, 3, 6, 7]]


def _split_positions(x: Tensor) -> Tensor:
    """Make positions (M, 1 + P, C), each with that of the class token, of the joint ones (1, 1 + M*P, C)."""
    patches = _swap(x[0, 1:].unflatten(0, (3, -1)), 0)
    return torch.cat([x[:, :1].expand(3, -1, -1), patches], dim=1)


def _join_positions(x: Tensor) -> Tensor:
    """Undo `_split_positions`; the joint sequence has the class token of the first modality."""
    return torch.cat([x[:1, :1], _swap(x[:, 1:], 0).flatten(0, 1)[None]], dim=1)


_CHANGES = {
    'same': _Change(torch.clone, torch.clone),
    'last': _Change(lambda x: _swap(x, -1), lambda x: _swap(x, -1)),
    'stacked': _Change(lambda x: x[None].clone(), lambda x: x[0].clone()),
    'channels': _Change(lambda x: _swap(x, 1)[None], lambda x: _swap(x[0], 1)),
    'codes': _Change(_swap_codes, _swap_codes),
    # theirs (H, K, 2, d), ours (2, H, K, d)
    'keys': _Change(lambda x: x.permute(2, 0, 1, 3).contiguous(), lambda x: x.permute(1, 2, 0, 3).contiguous()),
    'positions': _Change(_split_positions, _join_positions),
}


def _entries(num_blocks: int) -> Iterator[tuple[str, str, _Change]]:
    """List (our name, their name, change) of all tensors of a model with N blocks."""
    for ours, (theirs, change) in _REST.items():
        yield ours, theirs, _CHANGES[change]
    for i in range(num_blocks):
        for ours, theirs in BLOCK_NAMES.items():
            for kind in ('weight', 'bias'):
                yield f'trunk.vit.layers.{i}.{ours}{kind}', f'ViT_Encoder.{i}.{theirs}{kind}', _CHANGES['same']
        for ours, (theirs, change) in _ADAPTER.items():
            yield f'neck.adapters.{i}.{ours}', f'adaptors.{i}.{theirs}', _CHANGES[change]


def released_big_moe_to_mmfas(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a state dict of the released BIG-MoE model to one of ours.

    It fits a `MultiModalFAS` with `MultiStreamViT(per_modality=('pos',))` without final norm,
    `IsolatedGatingMoENeck(prompt=dict(last_bypass=True))` and `LinearFASHead`, such as
    `configs/_base_/models/big_moe_vit_base_p16_released.py`.

    Args:
        state_dict: Names -> tensors of the release, any number of blocks.

    Returns:
        Names -> tensors of ours.

    Raises:
        ValueError: If names are missing or left over.
    """
    entries = list(_entries(count_names(state_dict, r'ViT_Encoder\.(\d+)\.ln_1\.weight')))
    check_names(state_dict, {theirs for _, theirs, _ in entries}, 'released BIG-MoE')
    return {ours: change.forth(state_dict[theirs]) for ours, theirs, change in entries}


def mmfas_to_released_big_moe(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a state dict of ours to one of the released BIG-MoE model.

    Args:
        state_dict: Names -> tensors of a model as `released_big_moe_to_mmfas` describes it.

    Returns:
        Names -> tensors of the release.

    Raises:
        ValueError: If names are missing or left over.
    """
    entries = list(_entries(count_names(state_dict, r'trunk\.vit\.layers\.(\d+)\.ln1\.weight')))
    check_names(state_dict, {ours for ours, _, _ in entries}, 'BIG-MoE of mmfas, as released')
    return {theirs: change.back(state_dict[ours]) for ours, theirs, change in entries}
