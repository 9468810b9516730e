"""What neighbouring parts of a model must know of each other when they are built: trunk to neck, neck to head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import nn

from mmfas.structures import check_modalities
from mmfas.utils.errors import InputError

#: A parameter that belongs to one modality: the whole tensor or, for a stacked parameter, a leading index that
#: selects one contiguous slice.
OwnedParameter: TypeAlias = 'nn.Parameter | tuple[nn.Parameter, int | tuple[int | slice, ...]]'
#: View of one block: a callable on streams; that of a transformer also has `norm1`, `attn`, `norm2`, `mlp`.
Block: TypeAlias = Any


@dataclass(frozen=True)
class StreamSpec:
    """What a trunk yields; the model hands it to the neck, configs need not repeat it.

    Args:
        modalities: Modalities of the streams, canonical order.
        embed_dims: Width C of the readout of one modality.
        token_dims: Width of a token, or None for a trunk without tokens.
        num_blocks: Number of blocks a neck can step into.
        num_prefix: Tokens before the patch tokens.
        reads_prefix_only: Whether the readout looks at no other tokens, so that the last block may leave them out.
        grid: Rows and columns of the patch grid at `image_size`, or None without tokens.
        image_size: Rows and columns of the images the trunk was made for, in pixels, or None if any size will do.
        trunk: Class name of the trunk, for messages.
    """

    modalities: tuple[str, ...]
    embed_dims: int
    token_dims: int | None = None
    num_blocks: int = 0
    num_prefix: int = 0
    reads_prefix_only: bool = False
    grid: tuple[int, int] | None = None
    image_size: tuple[int, int] | None = None
    trunk: str = 'trunk'

    def __post_init__(self) -> None:
        object.__setattr__(self, 'modalities', check_modalities(self.modalities))
        for name in ('grid', 'image_size'):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else (int(value[0]), int(value[1])))

    def require_tokens(self, user: str) -> int:
        """Return the width of a token, or refuse a trunk without tokens.

        Args:
            user: Name of what works on tokens, for the message.

        Raises:
            ValueError: If the trunk yields feature maps; the message names both.
        """
        if self.token_dims is None:
            raise InputError(
                f'{user} works on tokens, but {self.trunk} yields feature maps; take a trunk with tokens '
                '(MultiStreamViT) or a late neck (ConcatNeck)'
            )
        return self.token_dims

    @classmethod
    def of(cls, spec: StreamSpec | Mapping[str, Any]) -> StreamSpec:
        """Return `spec` as it is, or built from a mapping of its fields."""
        return spec if isinstance(spec, StreamSpec) else cls(**dict(spec))


@dataclass(frozen=True)
class FeatureSpec:
    """What a neck yields; the model hands it to the head.

    Args:
        modalities: Modalities, canonical order.
        fused_dims: Width D of the joint feature.
        modality_dims: Width C of the feature of one modality, or None if the neck has none.
        neck: Class name of the neck, for messages.
    """

    modalities: tuple[str, ...]
    fused_dims: int
    modality_dims: int | None = None
    neck: str = 'neck'

    def __post_init__(self) -> None:
        object.__setattr__(self, 'modalities', check_modalities(self.modalities))

    @classmethod
    def of(cls, spec: FeatureSpec | Mapping[str, Any]) -> FeatureSpec:
        """Return `spec` as it is, or built from a mapping of its fields."""
        return spec if isinstance(spec, FeatureSpec) else cls(**dict(spec))


def owned_slices(modalities: tuple[str, ...], *stacked: nn.Parameter) -> dict[str, list[OwnedParameter]]:
    """Say that slice m of every stacked parameter belongs to modality m.

    Args:
        modalities: Modalities, canonical order.
        *stacked: Parameters (M, ...).

    Returns:
        Modality -> its (parameter, index) pairs.
    """
    return {m: [(parameter, i) for parameter in stacked] for i, m in enumerate(modalities)}


def require_modalities(modalities: tuple[str, ...], *parts: object) -> None:
    """Refuse parts of a model that were built for other modalities.

    Args:
        modalities: Modalities of the model.
        *parts: Its parts; those without modalities of their own fit any.

    Raises:
        ValueError: If one does not fit; the message names it.
    """
    for part in parts:
        given = tuple(getattr(part, 'modalities', modalities))
        if given != modalities:
            raise InputError(f'{type(part).__name__} has the modalities {given}, but the model {modalities}')
