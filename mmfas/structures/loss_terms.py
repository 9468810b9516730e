"""The losses of one step, kept apart so that an optimizer wrapper can treat their gradients separately."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


@dataclass(frozen=True)
class LossTerms:
    """Main losses, and one loss per modality as (sum, count).

    A per-modality loss travels as sum and count because a mean of per-process means is not the mean when some
    process has fewer samples of a modality.

    Args:
        main: Named scalar losses that concern all modalities; each is a mean over the batch.
        per_modality: Modality -> (sum of its loss over the samples that have it, their number), both scalar.
            Loss weights are already in the sum.
        confidence: Modality -> scalar confidence in it, averaged over the samples that have it, for each modality
            of `per_modality`; empty where the neck has none.
    """

    main: Mapping[str, Tensor]
    per_modality: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    confidence: Mapping[str, Tensor] = field(default_factory=dict)

    def with_modality_losses(self, losses: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> LossTerms:
        """Add losses of whole modalities, each as if it were that of every sample that counts for the modality.

        Args:
            losses: Modality -> scalar, weight included.
            present: Modality -> number of samples that have it, for modalities without a loss so far.

        Returns:
            Terms with their sums.
        """
        if not losses:
            return self
        terms = dict(self.per_modality)
        for name, value in losses.items():
            total, count = terms.get(name, (value.new_zeros(()), present[name]))
            terms[name] = total + value * count, count
        return replace(self, per_modality=terms)

    def to_losses(self) -> dict[str, Tensor]:
        """Turn the terms into the loss dictionary of mmengine's `parse_losses`.

        With several processes every count is summed over them first, so that the gradients which DDP averages
        equal those of one process with the whole batch.

        Returns:
            `loss_<name>` for every main loss and `loss_<modality>` for every modality; scalars. A modality that
            no sample of the whole batch has contributes an exact zero.
        """
        losses = {f'loss_{name}': value for name, value in self.main.items()}
        if not self.per_modality:
            return losses
        counts = torch.stack([count.detach().float() for _, count in self.per_modality.values()])
        all_reduce(counts)
        scale = get_world_size() / counts.clamp(min=1)
        for factor, (name, (total, _)) in zip(scale, self.per_modality.items(), strict=True):
            losses[f'loss_{name}'] = total * factor
        return losses
