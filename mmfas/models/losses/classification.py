"""Cross entropy, its focal form and the one of the released MMDA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mmfas.models.losses.base import BaseLoss
from mmfas.registry import LOSSES
from mmfas.utils.errors import InputError


@LOSSES.register_module()
class CrossEntropyLoss(BaseLoss):
    """Cross entropy of each sample.

    Args:
        label_smoothing: Probability mass of the target that is spread evenly over the classes, in [0, 1).
        class_weight: Weight of each class (spoof, live), or None for 1.

    Differs from `torch.nn.CrossEntropyLoss`: with class weights, a mean over the batch divides by the number of
    samples, not by the sum of their weights, so that sums and counts of several processes add up.

    >>> CrossEntropyLoss()(torch.zeros(1, 2), torch.tensor([1])).allclose(torch.tensor(2.0).log())
    True
    """

    class_weight: Tensor | None

    def __init__(self, label_smoothing: float = 0.0, class_weight: Sequence[float] | None = None) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise InputError(f'label_smoothing must lie in [0, 1), but got {label_smoothing}')
        self.label_smoothing = label_smoothing
        weight = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        self.register_buffer('class_weight', weight, persistent=False)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config that builds this loss."""
        return dict(type='CrossEntropyLoss', label_smoothing=0.1, class_weight=(1.0, 2.0))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the losses (N,) of logits (N, K) for targets (N,)."""
        return functional.cross_entropy(
            logits, targets, weight=self.class_weight, label_smoothing=self.label_smoothing, reduction='none'
        )


@LOSSES.register_module()
class FocalLoss(BaseLoss):
    """Cross entropy that gives less weight to samples already right: `-(1 - p)^gamma log p`.

    From "Focal Loss for Dense Object Detection" (arXiv 1708.02002), Eq. 4, for softmax scores, without alpha.

    Args:
        gamma: Exponent, at least 0; 0 is the plain cross entropy.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        if gamma < 0:
            raise InputError(f'gamma must be at least 0, but got {gamma}')
        self.gamma = gamma

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config that builds this loss."""
        return dict(type='FocalLoss', gamma=2.0)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the losses (N,) of logits (N, K) for targets (N,)."""
        log_p = functional.log_softmax(logits, dim=1).gather(1, targets[:, None]).squeeze(1)
        # 1 - p from the log keeps its digits when p is near 1; at 0 a power below 1 has no finite slope
        wrong = (-torch.expm1(log_p)).clamp(min=torch.finfo(logits.dtype).tiny)
        return -(wrong**self.gamma) * log_p


@LOSSES.register_module()
class UnnormalizedSmoothingLoss(BaseLoss):
    """Cross entropy with the smoothed targets of the released MMDA: `(1 - s) onehot + s`, which sum to 1 + s.

    For comparison only: beside the plain cross entropy it adds a pull towards even logits, s for each class, that
    is not balanced by less weight on the right one. `CrossEntropyLoss(label_smoothing)` has targets that sum to 1.

    Args:
        smoothing: Value s of the wrong classes, in [0, 1).

    >>> loss = UnnormalizedSmoothingLoss(0.1)(torch.zeros(1, 2), torch.tensor([1]))
    >>> loss.allclose(1.1 * torch.tensor(2.0).log())
    True
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise InputError(f'smoothing must lie in [0, 1), but got {smoothing}')
        self.smoothing = smoothing

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config that builds this loss."""
        return dict(type='UnnormalizedSmoothingLoss', smoothing=0.1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the losses (N,) of logits (N, K) for targets (N,)."""
        onehot = functional.one_hot(targets, logits.shape[1])
        return functional.cross_entropy(
            logits, (1 - self.smoothing) * onehot.to(logits.dtype) + self.smoothing, reduction='none'
        )
