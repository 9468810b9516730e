"""What every fusion neck can do: begin, step into each block, finish.

Legend: M modalities (canonical order), B batch, C readout width, D fused width, feat any shape of one stream.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmfas.models.specs import Block, FeatureSpec, OwnedParameter, StreamSpec
from mmfas.structures import FusedFeatures, FusionContext
from mmfas.utils.errors import InputError

#: What a neck carries from block to block: named tensors; a block returns a new dict and changes none in place.
State: TypeAlias = dict[str, Tensor]


class BaseFusionNeck(BaseModule):
    """Where the modalities meet: before, inside or after the blocks of the trunk.

    A late neck writes `out_dims` and `finish` only; one that works inside the blocks also writes `block`.

    Args:
        spec: What the trunk yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If the trunk cannot serve this neck; the message names both.
    """

    #: Arguments the model gives, so that configs need not.
    injected = ('spec',)
    #: Whether the streams must be token sequences.
    needs_tokens: bool = False
    #: How many modalities it takes at least.
    min_modalities: int = 1
    #: Whether the feature of a modality depends on the streams of others; None where a neck does not say.
    mixes_modalities: bool | None = None
    #: Whether `FusedFeatures.confidence` is there; None where a neck does not say.
    gives_confidence: bool | None = None

    def __init__(self, *, spec: StreamSpec | Mapping[str, Any], init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        self.spec = StreamSpec.of(spec)
        self.modalities = self.spec.modalities
        if len(self.modalities) < self.min_modalities:
            raise InputError(
                f'{type(self).__name__} needs at least {self.min_modalities} modalities, but '
                f'{self.spec.trunk} yields {self.modalities}; use ConcatNeck for one modality'
            )
        if self.needs_tokens:
            self.spec.require_tokens(type(self).__name__)

    @classmethod
    @abstractmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny neck of this class, without `spec`."""

    @property
    @abstractmethod
    def out_dims(self) -> int:
        """Width D of the joint feature."""

    @property
    def feature_spec(self) -> FeatureSpec:
        """What a head must know of this neck; override where per-modality features differ or are missing."""
        return FeatureSpec(
            modalities=self.modalities,
            fused_dims=self.out_dims,
            modality_dims=self.spec.embed_dims,
            neck=type(self).__name__,
        )

    @property
    def modality_losses(self) -> tuple[str, ...]:
        """Modalities for which `finish` gives a loss in training; none by default."""
        return ()

    def begin(self, streams: Tensor, ctx: FusionContext) -> tuple[Tensor, State]:
        """Start a batch.

        Args:
            streams: Embedded streams (M, B, *feat).
            ctx: Facts of the batch.

        Returns:
            Streams for the first block, and the state: by default `present` (B, M), `grid` (read it with
            `grid_of`) and, where known, `domain` (B,).
        """
        state = {'present': ctx.present}
        if ctx.grid is not None:
            # sizes, not values, carry the grid: the state holds tensors only, and reading a value would wait
            state['grid'] = ctx.images.new_empty((0, *ctx.grid))
        if ctx.domain is not None:
            state['domain'] = ctx.domain
        return streams, state

    def block(self, index: int, block: Block, streams: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one block of the trunk; by default the plain one.

        Args:
            index: Number of the block, from 0.
            block: View of the block; of a transformer it also has `norm1`, `attn`, `norm2` and `mlp`.
            streams: Streams (M, B, *feat).
            state: What `begin` or the block before returned; return a new dict to change it.

        Returns:
            Streams and state for the next block.
        """
        return block(streams), state

    @abstractmethod
    def finish(self, streams: Tensor, state: State, readout: Callable[[Tensor], Tensor]) -> FusedFeatures:
        """Fuse after the last block.

        Args:
            streams: Streams (M, B, *feat).
            state: What the last block returned.
            readout: Readout of the trunk, (N, B, *feat) -> (N, B, C).

        Returns:
            Joint feature (B, D), per-modality features (M, B, C) and what else the method has.
        """

    def modality_parameters(self) -> dict[str, list[OwnedParameter]]:
        """Say which parameters, or slices of stacked ones, belong to which modality."""
        return {}


def grid_of(state: State) -> tuple[int, int]:
    """Return rows and columns of the patch grid that `BaseFusionNeck.begin` put into the state."""
    rows, columns = state['grid'].shape[-2:]
    return rows, columns


def zero_absent(features: Tensor, present: Tensor) -> Tensor:
    """Set the features of absent modalities to zero, whatever they hold.

    Args:
        features: Features (M, B, *feat).
        present: Boolean mask (B, M).

    Returns:
        Features (M, B, *feat).

    >>> zero_absent(torch.ones(2, 1, 1), torch.tensor([[True, False]])).flatten().tolist()
    [1.0, 0.0]
    """
    mask = present.t().reshape(present.shape[1], present.shape[0], *[1] * (features.dim() - 2))
    return torch.where(mask, features, features.new_zeros(()))


def concat_streams(features: Tensor) -> Tensor:
    """Lay the features (M, B, C) of all modalities side by side: (B, M*C)."""
    return features.transpose(0, 1).flatten(1)
