"""Used by converters of released models that have one tensor where we stack several, or only another name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


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
