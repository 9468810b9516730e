"""Where parameters, and what modalities own of them, lie in a flat gradient.

Legend: M modalities, P entries of all trainable parameters, N parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmfas.engine.modulators import Segments
from mmfas.utils.errors import InputError

#: Parameter id -> its owned pieces: first entry, one past the last, modality; in ascending order.
Pieces = dict[int, list[tuple[int, int, str]]]


def owned_pieces(core: nn.Module) -> Pieces:
    """Ask a model which entries of which parameters belong to one modality.

    Args:
        core: Model; one without `modality_parameters` declares nothing.

    Returns:
        Owned pieces by the id of the parameter. A slice of a stacked parameter is one piece.

    Raises:
        ValueError: If two declarations overlap; names the parameter and the modalities.
    """
    declare: Any = getattr(core, 'modality_parameters', dict)
    names = {id(parameter): name for name, parameter in core.named_parameters()}
    pieces: Pieces = {}
    for modality, owned in declare().items():
        for entry in owned:
            parameter, index = entry if isinstance(entry, tuple) else (entry, ())
            pieces.setdefault(id(parameter), []).append((*_range_of(parameter, index), modality))
    for key, found in pieces.items():
        found.sort()
        for (_, stop, one), (start, _, other) in zip(found, found[1:]):
            if start < stop:
                raise InputError(
                    f"parameter '{names.get(key, '?')}' is declared by modality_parameters() to belong to both "
                    f'{one} and {other}; declare each slice once'
                )
    return pieces


def _range_of(parameter: Tensor, index: int | tuple[int | slice, ...]) -> tuple[int, int]:
    """Return where the slice at a leading index lies in the flattened parameter."""
    # on the meta device a fresh tensor is contiguous, as the flattened gradient will be
    piece = torch.empty(parameter.shape, device='meta')[index]
    start = int(piece.storage_offset())
    return start, start + piece.numel()


@dataclass(frozen=True)
class GradientLayout:
    """The order of parameters in a flat gradient: those of which a modality owns something come first.

    Args:
        parameters: Trainable parameters (N).
        slices: Where each lies in P.
        names: Name of each in the model; empty where unknown.
        segments: Pieces of the leading parameters.
    """

    parameters: tuple[nn.Parameter, ...]
    slices: tuple[slice, ...]
    names: tuple[str, ...]
    segments: Segments

    @classmethod
    def of(
        cls,
        parameters: Sequence[nn.Parameter],
        *,
        pieces: Pieces,
        names: Mapping[int, str],
        modalities: Sequence[str],
    ) -> GradientLayout:
        """Lay out the trainable parameters of an optimizer.

        Args:
            parameters: Trainable parameters, in the order of the optimizer.
            pieces: What `owned_pieces` found.
            names: Parameter id -> name.
            modalities: Modalities that have a loss; what another one owns counts as shared.
        """
        # a stable sort: rules look at owned entries only, and find them in front
        ordered = sorted(parameters, key=lambda parameter: id(parameter) not in pieces)
        ends = torch.tensor([0, *(parameter.numel() for parameter in ordered)]).cumsum(0).tolist()
        lengths: list[int] = []
        owners: list[int] = []
        numbers = {name: i for i, name in enumerate(modalities)}
        for parameter in ordered:
            done = 0
            for start, stop, modality in pieces.get(id(parameter), ()):
                lengths += [start - done, stop - start]
                owners += [-1, numbers.get(modality, -1)]
                done = stop
            if done:
                lengths.append(parameter.numel() - done)
                owners.append(-1)
        kept = [i for i, length in enumerate(lengths) if length]
        device = ordered[0].device
        return cls(
            parameters=tuple(ordered),
            slices=tuple(slice(start, end) for start, end in zip(ends, ends[1:])),
            names=tuple(names.get(id(parameter), '') for parameter in ordered),
            segments=Segments.of([lengths[i] for i in kept], [owners[i] for i in kept], device),
        )

    @property
    def num_entries(self) -> int:
        """Number P of entries."""
        return self.slices[-1].stop

    def count(self, num_entries: int) -> int:
        """Return how many leading parameters have their entries among the first `num_entries`."""
        return sum(where.stop <= num_entries for where in self.slices)

    def join(self, grads: Sequence[Tensor | None], out: Tensor) -> None:
        """Write gradients, one after the other, into a row.

        Args:
            grads: Gradient of each leading parameter, or None.
            out: Row (entries of all parameters,), float32; zeros where there is no gradient.
        """
        zero = out.new_zeros(1)
        flat = [
            zero.expand(parameter.numel()) if grad is None else grad.reshape(-1)
            for parameter, grad in zip(self.parameters, grads)
        ]
        torch.cat(flat, out=out)
