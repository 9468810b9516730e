"""What every head can do: logits, a score, and the losses of a step.

Legend: M modalities (canonical order), B batch, C width of one modality's feature, D width of the joint one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmfas.models.specs import FeatureSpec, OwnedParameter
from mmfas.structures import LIVE, FusedFeatures, LossTerms
from mmfas.utils.errors import InputError


class BaseFASHead(BaseModule):
    """From fused features to the score, and to losses while training.

    Args:
        spec: What the neck yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.
    """

    #: Arguments the model gives, so that configs need not.
    injected = ('spec',)
    #: How to get losses per modality from this head, where it has none; empty if it never has.
    modality_loss_remedy: str = ''

    def __init__(self, *, spec: FeatureSpec | Mapping[str, Any], init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        self.spec = FeatureSpec.of(spec)
        self.modalities = self.spec.modalities

    def _require_modality_features(self, why: str) -> int:
        """Return the width of per-modality features, or refuse a neck that has none."""
        if self.spec.modality_dims is None:
            raise InputError(
                f'{type(self).__name__} needs per-modality features for {why}, but {self.spec.neck} yields only '
                f'the joint one; switch {why} off or take another neck'
            )
        return self.spec.modality_dims

    @property
    def needs_views(self) -> bool:
        """Whether the losses look at further views of every sample (`FusedFeatures.views`)."""
        return False

    @property
    def mixes_modalities(self) -> bool:
        """Whether the loss of a modality depends on the features of others."""
        return False

    @property
    def modality_losses(self) -> tuple[str, ...] | None:
        """Modalities for which `loss_terms` gives a loss of their own; None where a head does not say."""
        return None

    @classmethod
    @abstractmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny head of this class, without `spec`."""

    @abstractmethod
    def forward(self, features: FusedFeatures) -> Tensor:
        """Compute the joint logits (B, 2) in the order spoof, live."""

    @abstractmethod
    def loss_terms(
        self, features: FusedFeatures, targets: Tensor, present: Tensor, *, domain: Tensor | None = None
    ) -> LossTerms:
        """Compute the losses of one batch.

        Args:
            features: What the neck returned.
            targets: Labels (B,), 1 live and 0 spoof.
            present: Boolean mask (B, M).
            domain: Domain codes (B,), see `mmfas.structures.domain_code`; None if unknown.

        Returns:
            Main losses as means over the batch, per-modality losses as (sum, count).
        """

    def modality_parameters(self) -> dict[str, list[OwnedParameter]]:
        """Say which parameters, or slices of stacked ones, belong to which modality."""
        return {}

    def confidence_terms(self, features: FusedFeatures, present: Tensor) -> dict[str, Tensor]:
        """Average the neck's confidence in each modality over the samples that have it.

        Args:
            features: What the neck returned.
            present: Boolean mask (B, M).

        Returns:
            Modality -> scalar, 0 where no sample has it; empty if the neck has no confidence. Weighted with the
            counts of `LossTerms.per_modality`, the values of several processes give that of the whole batch.
        """
        if features.confidence is None:
            return {}
        mask = present.t().to(features.confidence.dtype)
        means = (features.confidence * mask).sum(1) / mask.sum(1).clamp(min=1)
        return dict(zip(self.modalities, means.unbind(0), strict=True))


def liveness(logits: Tensor) -> Tensor:
    """Turn logits (B, 2) in the order spoof, live into scores (B,): the higher, the more live.

    >>> liveness(torch.tensor([[0.0, 0.0]])).tolist()
    [0.5]
    """
    return torch.softmax(logits, dim=1)[:, LIVE]


def sum_and_count(
    losses: Tensor, present: Tensor, modalities: tuple[str, ...]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Sum per-modality losses over the samples that have the modality.

    Args:
        losses: Loss of each sample in each modality (M, B).
        present: Boolean mask (B, M).
        modalities: Names of the M rows.

    Returns:
        Modality -> (sum, count), both scalar.
    """
    mask = present.t()
    sums = torch.where(mask, losses, losses.new_zeros(())).sum(1)
    counts = mask.sum(1)
    return {name: (sums[i], counts[i]) for i, name in enumerate(modalities)}
