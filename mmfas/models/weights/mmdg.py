"""Weights of the released MMDG code in the names and shapes of mmfas, and back; both ways lose nothing.

Legend: M = 3 modalities (rgb, depth, ir), N blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from mmfas.models.weights.entries import Entry, joined, split, trunk_entries
from mmfas.models.weights.names import check_names, count_names

#: The adapters of the release, in the order of our edges: own branch, partner; 1 rgb, 2 depth, 3 ir.
_ADAPTERS = ('adapter_1_2_2', 'adapter_1_3_2', 'adapter_2_1_2', 'adapter_3_1_2')
_ADAPTER = {
    'down_own.weight': ('adapter_down_1.weight',),
    'down_own.bias': ('adapter_down_1.bias',),
    'down_partner.weight': ('adapter_down_2.weight',),
    'down_partner.bias': ('adapter_down_2.bias',),
    'query.weight': ('cross_attention.q_linear.weight',),
    'key_value.weight': ('cross_attention.k_linear.weight', 'cross_attention.v_linear.weight'),
    'project.weight': ('cross_attention.proj.weight',),
    'project.bias': ('cross_attention.proj.bias',),
    'norm_weight': ('ln_before.weight',),
    'norm_bias': ('ln_before.bias',),
    'conv.weight': ('adapter_conv.conv.weight',),
    'up.weight': ('adapter_up.weight',),
    'up.bias': ('adapter_up.bias',),
}
#: What only our head has: the first refresh makes it again.
_PROTOTYPES = ('head.prototypes', 'head.seen')


def _entries(num_blocks: int) -> Iterator[Entry]:
    """List all tensors of a model with N blocks."""
    yield from trunk_entries(num_blocks)
    for kind in ('weight', 'bias'):
        yield Entry(f'head.classifier.{kind}', ((f'fc_all.0.{kind}',),))
    for i in range(num_blocks):
        for name, parts in _ADAPTER.items():
            theirs_by_edge = tuple(tuple(f'{adapter}.{i}.{part}' for part in parts) for adapter in _ADAPTERS)
            yield Entry(f'neck.adapters.{i}.{name}', theirs_by_edge, 'stack')


def released_mmdg_to_mmfas(state_dict: Mapping[str, Tensor], *, num_domains: int = 4) -> dict[str, Tensor]:
    """Convert a state dict of the released MMDG model to one of ours.

    It fits a `MultiModalFAS` with `MultiStreamViT(per_modality=('patch', 'cls', 'pos'))`, `UAdapterNeck` and
    `PrototypeHead`, such as `configs/_base_/models/mmdg_vit_base_p16_released.py`.

    Args:
        state_dict: Names -> tensors of the release, any number of blocks.
        num_domains: Number of domains of our head, at least 1. The release keeps its prototypes elsewhere, so ours
            are empty until the first refresh.

    Returns:
        Names -> tensors of ours.

    Raises:
        ValueError: If names are missing or left over.
    """
    entries = list(_entries(count_names(state_dict, r'ViT_Encoder\.(\d+)\.ln_1\.weight')))
    check_names(state_dict, {name for e in entries for names in e.theirs for name in names}, 'released MMDG')
    ours = {e.ours: joined(e, state_dict) for e in entries}
    classes = (3, 1 + num_domains)
    cls_token = ours['trunk.embedding.cls_token']
    ours['head.prototypes'] = cls_token.new_zeros(*classes, cls_token.shape[-1])
    ours['head.seen'] = torch.zeros(classes, dtype=torch.bool)
    return ours


def mmfas_to_released_mmdg(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a state dict of ours to one of the released MMDG model; the prototypes are left out.

    Args:
        state_dict: Names -> tensors of a model as `released_mmdg_to_mmfas` describes it.

    Returns:
        Names -> tensors of the release.

    Raises:
        ValueError: If names are missing or left over.
    """
    entries = list(_entries(count_names(state_dict, r'trunk\.vit\.layers\.(\d+)\.ln1\.weight')))
    check_names(state_dict, {e.ours for e in entries}, 'MMDG of mmfas', ignored=_PROTOTYPES)
    return {name: value for e in entries for name, value in split(e, state_dict[e.ours]).items()}
