"""What every classification loss can do."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn


class BaseLoss(nn.Module):
    """A loss of each sample alone; the caller decides how samples are averaged.

    Losses of a modality are summed over the samples that have it and travel with their number, so a loss must
    not average by itself.
    """

    @classmethod
    @abstractmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config that builds this loss."""

    @abstractmethod
    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each sample.

        Args:
            logits: Logits (N, K), for live and spoof (N, 2) in the order spoof, live.
            targets: Class numbers (N,) in [0, K).

        Returns:
            Losses (N,), weights of the classes included.
        """
