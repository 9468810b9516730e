"""What computes scores: one small protocol, and the model itself as the first that has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from mmengine.dataset import pseudo_collate

from mmfas.models.fas import MultiModalFAS

__all__ = ['Runtime', 'TorchRuntime']


class Runtime(Protocol):
    """Computes the scores of a batch.

    `device` says where, for people; `is_exact` whether it computes in float32 without shortcuts.
    """

    device: str
    is_exact: bool

    def score(self, samples: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Score a batch.

        Args:
            samples: What `Preprocessing` returns, B of them.

        Returns:
            Liveness (B,), float64, in [0, 1].
        """
        ...


class TorchRuntime:
    """Scores with the model itself, exactly as `mmfas test` does.

    Args:
        model: In evaluation mode, on its device.
    """

    def __init__(self, model: MultiModalFAS) -> None:
        self.model = model
        parameter = next(model.parameters())
        self.device = str(parameter.device)
        self.is_exact = parameter.device.type == 'cpu' and parameter.dtype.itemsize >= 4

    @torch.no_grad()
    def score(self, samples: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Score a batch; see `Runtime`."""
        scored = self.model.test_step(pseudo_collate(list(samples)))
        return np.array([sample.pred_score for sample in scored], dtype=np.float64)
