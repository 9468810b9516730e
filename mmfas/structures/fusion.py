"""What a fusion neck is given with a batch, and what it returns.

Legend: M modalities (canonical order), B batch, V views, C width of one modality's feature, D width of the fused
one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from mmfas.utils.errors import InputError


@dataclass(frozen=True)
class FusionContext:
    """Facts of one batch that hold for all blocks.

    Args:
        images: Normalised images (M, B, 3, H, W), absent ones filled.
        present: Boolean mask (B, M), True where a sample has the modality.
        grid: Rows and columns of the patch grid, or None for a trunk without one.
        num_prefix: Tokens before the patch tokens (1 for a CLS token, 0 for feature maps).
        domain: Domain codes (B,) in training; None at test, where the domain must not be used.
        present_on_host: `present` in the host's memory, to read values of without waiting for a device; None where
            there is no such copy.
    """

    images: Tensor
    present: Tensor
    grid: tuple[int, int] | None = None
    num_prefix: int = 0
    domain: Tensor | None = None
    present_on_host: Tensor | None = None

    @property
    def readable_present(self) -> Tensor:
        """The mask `present` (B, M) to read values of: where there is one, the copy in the host's memory."""
        return self.present if self.present_on_host is None else self.present_on_host


@dataclass(frozen=True)
class FusedFeatures:
    """Result of a fusion neck.

    Args:
        fused: Joint feature (B, D).
        per_modality: Feature of every modality (M, B, C), or None where the method has none.
        confidence: Confidence in every modality (M, B), the higher the better, or None.
        aux_losses: Named scalar losses that the neck adds, such as a router's load balance.
        modality_losses: Modality -> scalar loss that the neck adds to those of this modality.
        maps: Named tensors to look at (confidence, expert usage, attention); never used in a loss.
        views: Joint features (V, B, D) of further views of the same samples, added by the model while training a
            head that needs them; else None.
    """

    fused: Tensor
    per_modality: Tensor | None = None
    confidence: Tensor | None = None
    aux_losses: Mapping[str, Tensor] = field(default_factory=dict)
    modality_losses: Mapping[str, Tensor] = field(default_factory=dict)
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    views: Tensor | None = None

    def require_per_modality(self) -> Tensor:
        """Return the features (M, B, C) of the modalities.

        Raises:
            ValueError: If the neck gave none, though its `feature_spec` promises them.
        """
        if self.per_modality is None:
            raise InputError(
                'the neck returned no per-modality features, though its feature_spec has modality_dims'
            )
        return self.per_modality
