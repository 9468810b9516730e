"""Used by converters of released models that have one tensor where we stack several, or only another name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmfas.models.weights.names import BLOCK_NAMES


@dataclass(frozen=True)
class Entry:
    """One of our tensors: `theirs` of each slice joined along their first axis, then the slices.

    Args:
        ours: Our name.
        theirs: For each slice, the released names.
        join: `'none'` for a tensor that is only renamed, `'stack'` for a new axis of slices, `'cat'` where they
            are joined along an axis that theirs have already.
    """

    ours: str
    theirs: tuple[tuple[str, ...], ...]
    join: str = 'none'


def trunk_entries(num_blocks: int) -> Iterator[Entry]:
    """List the tensors of the trunk of MMDG, which DADM has as well.

    Args:
        num_blocks: Number of blocks.
    """
    for ours, theirs, join in (
        ('cls_token', 'class_token{}', 'cat'),
        ('pos_embed', 'pos_embedding{}', 'cat'),
        ('patch_weight', 'conv_proj{}.weight', 'stack'),
        ('patch_bias', 'conv_proj{}.bias', 'stack'),
    ):
        yield Entry(f'trunk.embedding.{ours}', tuple((theirs.format(m),) for m in (1, 2, 3)), join)
    for kind in ('weight', 'bias'):
        for i in range(num_blocks):
            for ours, theirs in BLOCK_NAMES.items():
                # their list starts with a dropout, so block i has number i + 1
                yield Entry(f'trunk.vit.layers.{i}.{ours}{kind}', ((f'ViT_Encoder.{i + 1}.{theirs}{kind}',),))
        yield Entry(f'trunk.vit.ln1.{kind}', ((f'ViT_Encoder.{num_blocks + 1}.{kind}',),))


def joined(entry: Entry, state_dict: Mapping[str, Tensor]) -> Tensor:
    """Make our tensor of any shape of theirs."""
    slices = [torch.cat([state_dict[name] for name in names]) for names in entry.theirs]
    if entry.join == 'none':
        return slices[0]
    return torch.stack(slices) if entry.join == 'stack' else torch.cat(slices)


def split(entry: Entry, value: Tensor) -> dict[str, Tensor]:
    """Make their tensors of ours, of any shape."""
    if entry.join == 'none':
        slices = [value]
    else:
        slices = list(value.unbind(0)) if entry.join == 'stack' else list(value.chunk(len(entry.theirs)))
    theirs = {}
    for names, part in zip(entry.theirs, slices, strict=True):
        # clones: a file would otherwise hold the whole stack once per slice
        theirs.update({n: v.clone() for n, v in zip(names, part.chunk(len(names)), strict=True)})
    return theirs
