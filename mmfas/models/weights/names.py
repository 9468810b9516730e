"""Used by all converters of released models: torchvision's names of a transformer block, checks of names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

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
    missing, left = sorted(wanted - set(given)), sorted(set(given) - wanted - set(ignored))
    if missing or left:
        raise ValueError(
            f'this is not a state dict of {what}: {len(missing)} names are missing, such as {missing[:3]}, '
            f'{len(left)} are left over, such as {left[:3]}; is it the whole model, and is the direction right?'
        )
