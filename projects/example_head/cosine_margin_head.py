"""A head of a third party, with its loss: cosines to one direction per class, and a margin between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models import BaseFASHead, BaseLoss
from mmfas.registry import HEADS, LOSSES
from mmfas.structures import FusedFeatures, LossTerms
from mmfas.utils.errors import InputError


@LOSSES.register_module()
class MarginCrossEntropyLoss(BaseLoss):
    """Cross entropy after the logit of the right class was lowered, after CosFace (arXiv 1801.09414, Eq. 4).

    Args:
        margin: What the right logit is lowered by, at least 0; CosFace has scale times margin here.

    Raises:
        InputError: If the margin is negative.
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        if margin < 0:
            raise InputError(f'margin of MarginCrossEntropyLoss must be at least 0, but got {margin}')
        self.margin = margin

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return the config that tests build."""
        return dict(type='MarginCrossEntropyLoss', margin=0.5)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute losses (N,) of logits (N, 2)."""
        right = functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
        return functional.cross_entropy(logits - self.margin * right, targets, reduction='none')


@HEADS.register_module()
class CosineMarginHead(BaseFASHead):
    """Logits are cosines between the joint feature and one learned direction per class, times a fixed scale.

    Args:
        loss: Config of the loss of the logits; the margin loss if None.
        scale: Factor of the cosines, above 0.
        spec: What the neck yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        InputError: If the scale is not above 0.
    """

    def __init__(
        self, loss: Mapping[str, Any] | None = None, *, scale: float = 10.0, spec: Any, init_cfg: Any = None
    ) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        if scale <= 0:
            raise InputError(f'scale of CosineMarginHead must be above 0, but got {scale}')
        self.scale = scale
        self.directions = nn.Parameter(torch.randn(2, self.spec.fused_dims))
        self.loss = LOSSES.build(loss or dict(type='MarginCrossEntropyLoss'))

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return the config that tests build."""
        return dict(type='CosineMarginHead', scale=5.0)

    def forward(self, features: FusedFeatures) -> Tensor:
        """Compute logits (B, 2) in the order spoof, live."""
        unit = functional.normalize(features.fused, dim=1)
        return self.scale * unit @ functional.normalize(self.directions, dim=1).t()

    def loss_terms(
        self, features: FusedFeatures, targets: Tensor, present: Tensor, *, domain: Tensor | None = None
    ) -> LossTerms:
        """Compute the joint loss."""
        return LossTerms({'cls': self.loss(self(features), targets).mean()})
