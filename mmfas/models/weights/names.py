"""Used by all converters of released models: torchvision's names of a transformer block, checks of names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from mmfas.utils.errors import InputError
from mmfas.utils.state_dicts import compare_state_dicts

#: Our name of a layer in a transformer block -> the name that the releases took from torchvision.
BLOCK_NAMES = {
    'ln1.': 'ln_1.',
    'ln2.': 'ln_2.',
    'attn.qkv.': 'self_attention.in_proj_',
    'attn.proj.': 'self_attention.out_proj.',
    'ffn.layers.0.0.': 'mlp.0.',
    'ffn.layers.1.': 'mlp.3.',
}


def count_names(state_dict: Mapping[str, Tensor], pattern: str) -> int:
    """Count the names that match a regular expression as a whole."""
    return sum(re.fullmatch(pattern, name) is not None for name in state_dict)


def check_names(
    given: Mapping[str, Tensor], wanted: set[str], what: str, *, ignored: tuple[str, ...] = ()
) -> None:
    """Refuse a state dict with other names.

    Args:
        given: The state dict.
        wanted: The names it must have.
        what: Whose names they are, for the message.
        ignored: Names it may have.

    Raises:
        ValueError: If names are missing or left over; a few are listed.
    """
    misfit = compare_state_dicts(given, sorted(wanted), ignored=ignored)
    if misfit:
        raise InputError(
            f'this is not a state dict of {what}: {misfit}; is it the whole model, and is the direction right?'
        )
