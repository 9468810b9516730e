"""Fit a file of weights to a trunk: names, stacked embeddings, position grids."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from mmfas.models.backbones.stream_embedding import StreamEmbedding, resize_positions
from mmfas.utils.errors import InputError
from mmfas.utils.state_dicts import compare_state_dicts

#: mmpretrain's name of an embedding -> ours.
EMBEDDING_NAMES = {
    'patch_embed.projection.weight': 'embedding.patch_weight',
    'patch_embed.projection.bias': 'embedding.patch_bias',
    'cls_token': 'embedding.cls_token',
    'pos_embed': 'embedding.pos_embed',
}


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
    state_dict: Mapping[str, Tensor], wanted: Mapping[str, Tensor], embedding: StreamEmbedding, *, owner: str
) -> dict[str, Tensor]:
    """Rename and reshape weights so that a transformer trunk takes them.

    Args:
        state_dict: Weights in mmpretrain's names, or of an mmfas trunk.
        wanted: State dict of the trunk to be filled.
        embedding: Embedding of that trunk.
        owner: Name of the trunk, for messages.

    Returns:
        A state dict of the trunk.

    Raises:
        ValueError: If tensors are missing, left over or of another shape.
    """
    state = {_our_name(name): value for name, value in strip_prefix(state_dict, 'trunk.', 'backbone.').items()}
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
    if not any(name.startswith('vit.ln1.') for name in wanted):
        # every file has the final norm; a trunk without one has no use for it
        state = {name: value for name, value in state.items() if not name.startswith('vit.ln1.')}
    check_fit(state, wanted, owner)
    return state


def check_fit(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], owner: str) -> None:
    """Compare names and shapes.

    Raises:
        ValueError: If tensors are missing, left over, of another shape or type; up to 20 of a kind are named.
    """
    misfit = compare_state_dicts(state, wanted)
    if misfit:
        raise InputError(f'the weights do not fit {owner}: {misfit.summary(limit=20)}')


def _our_name(name: str) -> str:
    """Translate one of mmpretrain's names; names of an mmfas trunk stay."""
    if name in EMBEDDING_NAMES:
        return EMBEDDING_NAMES[name]
    return name if name.startswith(('vit.', 'embedding.', 'projection.')) else f'vit.{name}'


def _fit_positions(positions: Tensor, embedding: StreamEmbedding) -> Tensor:
    """Drop the class position where there is no class token, and interpolate a square grid."""
    prefix = embedding.num_prefix
    wanted = embedding.pos_embed.shape[1]
    patches = positions.shape[1] - prefix
    if prefix == 0 and math.isqrt(patches) ** 2 != patches and math.isqrt(patches - 1) ** 2 == patches - 1:
        positions, patches = positions[:, 1:], patches - 1
    side = math.isqrt(patches)
    if positions.shape[1] == wanted or side * side != patches:
        return positions
    grid = embedding.base_grid
    return resize_positions(positions, (side, side), grid, num_prefix=prefix, mode=embedding.mode)
