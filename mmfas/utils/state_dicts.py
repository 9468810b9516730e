"""State dicts: how two of them differ, and which tensors are not usable weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor

#: An expanded tensor is refused from this many bytes on: a few stored ones would fill the memory.
_LARGE = 256 << 20


@dataclass(frozen=True)
class Misfit:
    """How a state dict differs from the expected one; false if it fits.

    Args:
        missing: Names that it lacks.
        unexpected: Names that it has in excess.
        reshaped: Tensors of another shape, each with both shapes.
        recast: Tensors of another kind of number, each with both types; half and double precision are one kind.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()
    recast: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped or self.recast)

    def __str__(self) -> str:
        return self.summary()

    def summary(self, limit: int = 3) -> str:
        """Return one line with the number and the first names of every kind; empty if all fits.

        Args:
            limit: Names of a kind that are written out.
        """
        found = {
            'missing': self.missing,
            'unexpected': self.unexpected,
            'of another shape': self.reshaped,
            'of another type': self.recast,
        }
        return '; '.join(
            f'{len(names)} {what}: {", ".join(names[:limit])}' for what, names in found.items() if names
        )


def compare_state_dicts(
    given: Mapping[str, Tensor], wanted: Mapping[str, Tensor] | Collection[str], *, ignored: Collection[str] = ()
) -> Misfit:
    """Compare names, and shapes and kinds of numbers where tensors are given for both.

    Args:
        given: Name -> tensor.
        wanted: Name -> tensor of the same shape, such as the state dict of a model; or the names alone.
        ignored: Names that `given` may have beyond these.

    Returns:
        The differences, in the order of the state dicts.

    >>> model = torch.nn.Linear(2, 1)
    >>> print(compare_state_dicts({'weight': torch.zeros(1, 3), 'scale': torch.ones(1)}, model.state_dict()))
    1 missing: bias; 1 unexpected: scale; 1 of another shape: weight (1, 3) instead of (1, 2)
    """
    common = (
        [(name, given[name], wanted[name]) for name in wanted if name in given] if _has_tensors(wanted) else []
    )
    return Misfit(
        missing=tuple(name for name in wanted if name not in given),
        unexpected=tuple(name for name in given if name not in wanted and name not in ignored),
        reshaped=tuple(
            f'{name} {tuple(new.shape)} instead of {tuple(old.shape)}'
            for name, new, old in common
            if new.shape != old.shape
        ),
        recast=tuple(
            f'{name} {_type(new)} instead of {_type(old)}' for name, new, old in common if _kind(new) != _kind(old)
        ),
    )


def _has_tensors(wanted: Mapping[str, Tensor] | Collection[str]) -> TypeGuard[Mapping[str, Tensor]]:
    return isinstance(wanted, Mapping)


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix('torch.')


def _kind(value: Tensor) -> str:
    """Return the kind of the numbers: copying one kind into another loses part of them without an error."""
    if value.dtype == torch.bool:
        return 'bool'
    return 'complex' if value.is_complex() else 'float' if value.is_floating_point() else 'integer'


def unusual_tensors(weights: Mapping[str, Tensor]) -> list[str]:
    """Name the tensors that cannot be loaded into any model.

    Args:
        weights: Name -> tensor.

    Returns:
        Names with what is unusual: sparse, quantized, without data (`meta`), or far larger than what is stored for
        it, as an expanded tensor is.
    """
    found = []
    for name, value in weights.items():
        if value.layout != torch.strided:
            found.append(f'{name} ({str(value.layout).removeprefix("torch.")})')
        elif value.is_quantized:
            found.append(f'{name} (quantized)')
        elif value.is_meta:
            found.append(f'{name} (without data)')
        elif value.numel() * value.element_size() > max(_LARGE, value.untyped_storage().nbytes()):
            found.append(f'{name} (expanded to {tuple(value.shape)})')
    return found


def find_nonfinite(weights: Mapping[str, Tensor]) -> list[str]:
    """Name the tensors that hold NaN or infinity.

    Args:
        weights: Name -> tensor of any shape.

    Returns:
        Names, in the order of the state dict.
    """
    floats = {name: value for name, value in weights.items() if value.is_floating_point() or value.is_complex()}
    if not floats:
        return []
    fine = torch.stack([torch.isfinite(value).all() for value in floats.values()]).tolist()
    return [name for name, is_fine in zip(floats, fine, strict=True) if not is_fine]
