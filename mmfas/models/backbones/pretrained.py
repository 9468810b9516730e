"""Fit a file of weights to a trunk: names, stacked embeddings, position grids."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmfas.models.backbones.stream_embedding import StreamEmbedding, resize_positions
from mmfas.models.backbones.vit_families import ViTFamily
from mmfas.models.layers.lora import is_lora
from mmfas.utils.errors import InputError, MissingFileError
from mmfas.utils.state_dicts import compare_state_dicts

#: mmpretrain's name of an embedding -> ours.
EMBEDDING_NAMES = ViTFamily.embedding_names
#: Buffers that follow from the size of the images.
_COMPUTED = r'(rope\.freqs_(cos|sin)|relative_position_index)$'


def read_pretrained(source: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read what `pretrained` of a trunk names, see `mmfas.utils.shipped.load_pretrained`.

    Args:
        source: `mmfas://NAME` or a file.

    Raises:
        FileNotFoundError: If there is no such file; it says which command makes it, if one of mmfas does.
    """
    from mmfas.models.weights.packaged import command_for
    from mmfas.utils.shipped import load_pretrained

    try:
        return load_pretrained(source)
    except MissingFileError as error:
        command = command_for(source)
        if command is None:
            raise
        raise MissingFileError(
            f"`trunk.pretrained`: '{source}' does not exist; make it once by `{command}` (docs/en/trunks.md)"
        ) from error


def strip_prefix(state_dict: Mapping[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    """Keep the entries below the first prefix that occurs, without it; all entries if none occurs.

    >>> strip_prefix({'backbone.w': 1, 'head.w': 2}, 'trunk.', 'backbone.')
    {'w': 1}
    """
    for prefix in prefixes:
        found = {name[len(prefix) :]: value for name, value in state_dict.items() if name.startswith(prefix)}
        if found:
            return found
    return dict(state_dict)


def fit_vit_weights(
    state_dict: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    embedding: StreamEmbedding,
    *,
    family: ViTFamily,
    owner: str,
) -> dict[str, Tensor]:
    """Rename and reshape weights so that a transformer trunk takes them.

    Args:
        state_dict: Weights in the names of the network's library, or of an mmfas trunk.
        wanted: State dict of the trunk to be filled.
        embedding: Embedding of that trunk.
        family: How the transformer of that trunk is taken apart.
        owner: Name of the trunk, for messages.

    Returns:
        A state dict of the trunk.

    Raises:
        ValueError: If tensors are missing, left over or of another shape.
    """
    given = strip_prefix(strip_prefix(state_dict, 'trunk.', 'backbone.'), 'timm_model.')
    state = {_our_name(n, family): value for n, value in given.items() if not n.startswith(family.ignored)}
    for name in ('embedding.patch_weight', 'embedding.patch_bias'):
        # mmpretrain: (C, ...), ours: (G, C, ...)
        if name in state and state[name].dim() + 1 == wanted.get(name, state[name]).dim():
            state[name] = state[name][None]
    positions = state.get('embedding.pos_embed')
    if positions is not None:
        state['embedding.pos_embed'] = _fit_positions(positions, embedding)
    for name, value in state.items():
        if name.startswith('embedding.') and name in wanted and value.shape[0] == 1:
            state[name] = value.expand(wanted[name].shape[0], *value.shape[1:])
    state = _fit_norms(state, wanted)
    # tables that the network computes, for its own grid
    state |= {name: value for name, value in wanted.items() if re.search(_COMPUTED, name)}
    state = with_lora(state, wanted)
    check_fit(state, wanted, owner)
    return state


def with_lora(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keep the start of low-rank updates that a file does not have.

    Args:
        state: What the file has, in the names of the trunk.
        wanted: State dict of the trunk.
    """
    return {**{name: value for name, value in wanted.items() if is_lora(name)}, **state}


def check_fit(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], owner: str) -> None:
    """Compare names and shapes.

    Raises:
        ValueError: If tensors are missing, left over, of another shape or type; up to 20 of a kind are named.
    """
    misfit = compare_state_dicts(state, wanted)
    if misfit:
        raise InputError(f'the weights do not fit {owner}: {misfit.summary(limit=20)}')


def _our_name(name: str, family: ViTFamily) -> str:
    """Translate a name of a file; names of an mmfas trunk stay."""
    if name in family.embedding_names:
        return family.embedding_names[name]
    return name if name.startswith(('vit.', 'embedding.', 'projection.')) else f'{family.prefix}{name}'


def _fit_norms(state: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out a norm of the file that the trunk lacks, and keep the start of one that the file lacks.

    Every file has the final norm; few have the one after pooling, since few networks were trained with it.
    """
    norms = ('vit.ln1.', 'vit.ln2.')
    lacking = {name: value for name, value in wanted.items() if name.startswith(norms[1]) and name not in state}
    kept = {n: v for n, v in state.items() if n in wanted or not n.startswith(norms[:1])}
    return {**kept, **lacking}


def _fit_positions(positions: Tensor, embedding: StreamEmbedding) -> Tensor:
    """Drop the class position where there is no class token, and interpolate a square grid."""
    prefix = embedding.num_positioned
    wanted = positions.shape[1] if embedding.pos_embed is None else embedding.pos_embed.shape[1]
    patches = positions.shape[1] - prefix
    if prefix == 0 and math.isqrt(patches) ** 2 != patches and math.isqrt(patches - 1) ** 2 == patches - 1:
        positions, patches = positions[:, 1:], patches - 1
    side = math.isqrt(patches)
    if positions.shape[1] == wanted or side * side != patches:
        return positions
    grid = embedding.base_grid
    options: dict[str, Any] = dict(num_prefix=prefix, mode=embedding.mode, antialias=embedding.antialias)
    return resize_positions(positions, (side, side), grid, **options)
