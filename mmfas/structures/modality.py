"""The names that all packages use: modalities, their order, and the two labels."""

from __future__ import annotations

from collections.abc import Sequence

from mmfas.utils.errors import InputError

#: Canonical order of the modalities; every tensor axis M and every list of modalities follows it.
MODALITIES: tuple[str, ...] = ('rgb', 'depth', 'ir')
#: Label of a bona fide presentation.
LIVE = 1
#: Label of an attack presentation.
SPOOF = 0


def check_modalities(modalities: Sequence[str]) -> tuple[str, ...]:
    """Validate a selection of modalities.

    Args:
        modalities: Names out of `MODALITIES`, at least one, in canonical order, without repeats.

    Returns:
        The selection as a tuple.

    Raises:
        ValueError: If a name is unknown or repeated, the order is not canonical or nothing is selected.

    >>> check_modalities(['rgb', 'ir'])
    ('rgb', 'ir')
    """
    chosen = tuple([modalities] if isinstance(modalities, str) else modalities)
    expected = tuple(m for m in MODALITIES if m in chosen)
    if not chosen or chosen != expected:
        raise InputError(
            f'modalities must be one or more of {MODALITIES}, each once and in this order, but got {chosen}'
            + (f'; did you mean {expected}?' if expected else '')
        )
    return chosen
