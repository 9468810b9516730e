"""Align the joint feature with embedded prompts, then classify it (RS2 of MMDA).

Legend: B batch, K anchors, C width of the anchors, D width of the joint feature, S states of the U.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.heads.base import BaseFASHead
from mmfas.models.heads.text_anchors import TextAnchors
from mmfas.models.heads.u_dsa import UDSA, States
from mmfas.models.layers.experts import ExpertMixture
from mmfas.models.losses.base import BaseLoss
from mmfas.models.specs import FeatureSpec
from mmfas.registry import HEADS, LOSSES
from mmfas.structures import FusedFeatures, LossTerms
from mmfas.utils.errors import InputError


def closest_anchor_logits(
    features: Tensor, anchors: Tensor, num_anchors: Sequence[int], scale: Tensor | float
) -> Tensor:
    """Compare features with the closest anchor of each class: `scale * max_k cos(v, t_k)`.

    Args:
        features: Features (*, B, C).
        anchors: Anchors (*, K, C), class by class.
        num_anchors: Number of anchors of each class, in sum K.
        scale: Factor of the cosine.

    Returns:
        Logits (*, B, number of classes).

    >>> axes = torch.eye(2)
    >>> closest_anchor_logits(axes[:1], axes, (1, 1), 5.0).tolist()
    [[5.0, 0.0]]
    """
    cosines = functional.normalize(features, dim=-1) @ functional.normalize(anchors, dim=-1).transpose(-1, -2)
    return scale * torch.stack([part.amax(-1) for part in cosines.split(list(num_anchors), dim=-1)], dim=-1)


@HEADS.register_module()
class TextAlignHead(BaseFASHead):
    """Adapt joint feature and text anchors together, align them at every state, classify the last one (MMDA).

    From "Denoising and Alignment" (arXiv 2505.09484): U-DSA, RS2 and classifier. `L = cls + align + text +
    router`: `cls` is the loss of the classifier (experts, then a linear layer) on the last state, `align` the sum
    over all S states of the loss on the cosines to the closest anchor of each class, `text` the loss of the
    classifier on the raw anchors, mean over either class, both summed. The score is that of the classifier; at
    test nothing is computed that does not reach it. The text tower runs in no step, anchors are buffers, unless
    `anchors` has `train_text=True`.

    Differs from the released code, each by an argument: a U in one chain whose blocks add their input
    once, and no attention between samples (`u_dsa`), deterministic and balanced routing (`u_dsa`, `classifier`),
    smoothed targets that sum to 1 (`loss`), 24 live prompts instead of 23 (`anchors`).

    Args:
        anchors: Arguments of `TextAnchors`.
        loss: Config of the loss of `cls` and `align`, or the loss; cross entropy smoothed by 0.1 if None.
        text_loss: The same for `text`; cross entropy with the targets 0.9 and 0.1 if None.
        align_weight: Factor of `align`; 0 for none.
        text_weight: Factor of `text`; 0 for none.
        logit_scale: Start of the learned factor of the cosines, positive; 100 is that of CLIP.
        u_dsa: Arguments of `UDSA`.
        classifier: Arguments of the `ExpertMixture` before the linear layer.
        spec: What the neck yields; the model gives it. If its width D is not C, a linear layer stands before.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If a weight is negative, `logit_scale` is not positive, or blocks of the U would reach no loss.
    """

    def __init__(
        self,
        anchors: Mapping[str, Any],
        *,
        loss: Mapping[str, Any] | BaseLoss | None = None,
        text_loss: Mapping[str, Any] | BaseLoss | None = None,
        align_weight: float = 1.0,
        text_weight: float = 1.0,
        logit_scale: float = 100.0,
        u_dsa: Mapping[str, Any] | None = None,
        classifier: Mapping[str, Any] | None = None,
        spec: FeatureSpec | Mapping[str, Any],
        init_cfg: Any = None,
    ) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        if min(align_weight, text_weight) < 0 or logit_scale <= 0:
            raise InputError(
                'align_weight and text_weight must be at least 0 and logit_scale positive, but got '
                f'{align_weight}, {text_weight} and {logit_scale}'
            )
        self.anchors = TextAnchors(**anchors)
        width = self.anchors.dims
        self.project = nn.Identity() if self.spec.fused_dims == width else nn.Linear(self.spec.fused_dims, width)
        self.u_dsa = UDSA(width, **(u_dsa or {}))
        if not align_weight and self.u_dsa.up == 'parallel' and len(self.u_dsa.adapt) > 1:
            raise InputError(
                "with align_weight=0 and up='parallel', levels from the second on reach no loss; set "
                'u_dsa.num_levels=1 or take the chained path'
            )
        if self.anchors.tower is not None and not align_weight and not text_weight:
            raise InputError('train_text=True trains the text tower by align and text, but both weights are 0')
        self.mixture = ExpertMixture(width, **(classifier or {}))
        self.classifier = nn.Linear(width, 2)
        self.loss = LOSSES.build(loss or dict(type='CrossEntropyLoss', label_smoothing=0.1))
        self.text_loss = LOSSES.build(text_loss or dict(type='CrossEntropyLoss', label_smoothing=0.2))
        self.align_weight = align_weight
        self.text_weight = text_weight
        self.log_scale = nn.Parameter(torch.tensor(math.log(logit_scale))) if align_weight else None

    @property
    def modality_losses(self) -> tuple[str, ...]:
        """None: all losses are on the joint feature."""
        return ()

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny head with random anchors."""
        few = dict(num_ffn=2, num_constant=1)
        return dict(
            type='TextAlignHead',
            anchors=dict(dims=16, num_anchors=(3, 2)),
            logit_scale=5.0,
            u_dsa=dict(num_levels=2, num_heads=2, experts=few),
            classifier=few,
        )

    def forward(self, features: FusedFeatures) -> Tensor:
        """Compute the joint logits (B, 2) in the order spoof, live."""
        return self.classifier(self.mixture(self.u_dsa.refine(self.project(features.fused))).out)

    def states(self, features: FusedFeatures) -> States:
        """Adapt the joint feature and the anchors, and keep every state: images (S, B, C), anchors (S, K, C)."""
        return self._states(features, self.anchors())

    def _states(self, features: FusedFeatures, anchors: Tensor) -> States:
        """Adapt the joint feature and given anchors (K, C)."""
        return self.u_dsa(self.project(features.fused), anchors, self.anchors.num_anchors)

    def alignments(self, states: States) -> Tensor:
        """Compute the alignment logits (S, B, 2) of every state, in the order spoof, live."""
        scale = 1.0 if self.log_scale is None else self.log_scale.exp()
        return closest_anchor_logits(states.image, states.anchors, self.anchors.num_anchors, scale)

    def loss_terms(
        self, features: FusedFeatures, targets: Tensor, present: Tensor, *, domain: Tensor | None = None
    ) -> LossTerms:
        """Compute `cls`, `align`, `text` and `router`."""
        anchors = self.anchors()
        states = self._states(features, anchors)
        mixed = self.mixture(states.image[-1])
        router = states.router_loss + self.mixture.router_loss(mixed.logits[:, None])
        main = {'cls': self.loss(self.classifier(mixed.out), targets).mean()}
        if self.align_weight:
            logits = self.alignments(states)
            losses = self.loss(logits.flatten(0, 1), targets.repeat(len(logits)))
            main['align'] = self.align_weight * losses.sum() / len(targets)
        if self.text_weight:
            text, router_of_text = self._text_terms(anchors)
            main['text'], router = self.text_weight * text, router + router_of_text
        return LossTerms({**main, 'router': router}, confidence=self.confidence_terms(features, present))

    def _text_terms(self, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Classify raw anchors (K, C): loss and router loss, means over the anchors, summed over both classes."""
        mixed = self.mixture(anchors)
        logits = self.classifier(mixed.out).split(self.anchors.num_anchors)
        loss, router = mixed.out.new_zeros(()), mixed.out.new_zeros(())
        for label, (own, routing) in enumerate(zip(logits, mixed.logits.split(self.anchors.num_anchors))):
            loss = loss + self.text_loss(own, torch.full_like(own[:, 0], label, dtype=torch.long)).mean()
            router = router + self.mixture.router_loss(routing[:, None])
        return loss, router
