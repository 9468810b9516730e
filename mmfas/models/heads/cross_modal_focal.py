"""Auxiliary classifiers of every modality whose loss fades where the other modalities are sure (CMFL).

Legend: M modalities (canonical order), B batch, C width of one modality's feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mmfas.models.heads.base import BaseFASHead, sum_and_count
from mmfas.models.layers.stacked import StackedLinear
from mmfas.models.specs import FeatureSpec, OwnedParameter, owned_slices
from mmfas.registry import HEADS
from mmfas.structures import LIVE, FusedFeatures, LossTerms
from mmfas.utils.errors import InputError

#: Keeps the harmonic mean of two probabilities that are both 0 finite.
EPSILON = 1e-9


def cross_modal_focal_losses(
    losses: Tensor, present: Tensor, *, gamma: float, partner_gradient: bool = True, relieved: Tensor | None = None
) -> Tensor:
    """Weigh the cross entropies of the modalities by what the others know (CMFL).

    From "Cross Modal Focal Loss for RGBD Face Anti-Spoofing" (arXiv 2103.00948), Eq. 5 and 6, with p_m the
    probability of the true class by modality m: `(1 - w_m)^gamma * -log p_m` and, for two modalities,
    `w_a = p_b * 2 p_a p_b / (p_a + p_b)`. A modality is relieved only where the OTHER one is already sure.
    With more than two, w_m is the mean over the present partners; without a partner it is 0, the plain cross
    entropy.

    Args:
        losses: Cross entropies `-log p_m` (M, B).
        present: Boolean mask (B, M); the losses of absent modalities are returned but mean nothing.
        gamma: Exponent, at least 0; 0 is the plain cross entropy.
        partner_gradient: Whether the gradient also flows into the probability of the partners.
        relieved: Boolean mask (B,): other samples have the weight 0. None for all.

    Returns:
        Losses (M, B).

    >>> losses = -torch.log(torch.tensor([[0.9], [0.1]]))
    >>> both = cross_modal_focal_losses(losses, torch.ones(1, 2, dtype=torch.bool), gamma=3.0)
    >>> round(float(both.mean()), 4)
    0.7274
    """
    own = torch.exp(-losses)  # (M, B)
    partner = own if partner_gradient else own.detach()
    pair = own[:, None] + partner[None] + EPSILON
    weight = partner[None] * 2 * own[:, None] * partner[None] / pair  # (M, M, B)
    mask = present.t()
    counted = mask[:, None] & mask[None] & ~torch.eye(len(mask), dtype=torch.bool, device=mask.device)[..., None]
    weight = torch.where(counted, weight, 0).sum(1) / counted.sum(1).clamp(min=1)
    if relieved is not None:
        weight = torch.where(relieved, weight, 0)
    # at 0, a power below 1 has no finite slope
    return (1 - weight).clamp(min=torch.finfo(losses.dtype).tiny) ** gamma * losses


@HEADS.register_module()
class CrossModalFocalHead(BaseFASHead):
    """Another head on the joint feature, and a classifier on every modality under the cross-modal focal loss.

    From "Cross Modal Focal Loss for RGBD Face Anti-Spoofing" (arXiv 2103.00948):
    `L = (1 - weight) L_joint + weight L_CMFL`, with `cross_modal_focal_losses` of every modality as its loss per
    modality, so that rules for gradients work on it. The score is that of the joint head; the classifiers of the
    modalities cost nothing at test. An absent modality has no loss and is no partner.

    Differs from the paper: any number of modalities; two logits instead of one. The released code halves what its
    equation adds up (`reduction_over_modalities='mean'`).

    Args:
        joint: Config of the head that gives the score, or the head; `LinearFASHead` if None.
        gamma: Exponent of the focal weight, at least 0; the paper takes 3.
        weight: Part of the cross-modal loss in the total, in (0, 1).
        reduction_over_modalities: `'mean'`, as released, or `'sum'`.
        partner_gradient: Whether the gradient also flows into the probability of the partners.
        relieve_live: Whether live samples have focal weights too; False gives them the plain cross entropy.
        squash: Put a sigmoid on all features before the classifiers and the joint head, as the released network
            does (then an absent modality, which is 0 in most necks, enters as 1/2).
        spec: What the neck yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If an argument is out of range, the neck has no per-modality features, or the joint head has
            losses per modality itself.
    """

    def __init__(
        self,
        joint: Mapping[str, Any] | BaseFASHead | None = None,
        *,
        gamma: float = 3.0,
        weight: float = 0.5,
        reduction_over_modalities: str = 'mean',
        partner_gradient: bool = True,
        relieve_live: bool = True,
        squash: bool = False,
        spec: FeatureSpec | Mapping[str, Any],
        init_cfg: Any = None,
    ) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        if gamma < 0 or not 0 < weight < 1:
            raise InputError(f'gamma must be at least 0 and weight in (0, 1), but got {gamma} and {weight}')
        if reduction_over_modalities not in ('mean', 'sum'):
            raise InputError(
                f"reduction_over_modalities must be 'mean' or 'sum', but got {reduction_over_modalities!r}"
            )
        width = self._require_modality_features('the cross-modal loss')
        self.joint: BaseFASHead = HEADS.build(joint or dict(type='LinearFASHead'), spec=self.spec)
        if self.joint.modality_losses != ():
            raise InputError(
                f'{type(self.joint).__name__} as joint head of CrossModalFocalHead has losses per modality '
                'itself; switch them off there (modality_loss_weight=0 or prototype_weight=0)'
            )
        self.gamma, self.weight, self.reduction_over_modalities = gamma, weight, reduction_over_modalities
        self.partner_gradient, self.relieve_live, self.squash = partner_gradient, relieve_live, squash
        self.modality_classifier = StackedLinear(len(self.modalities), in_features=width, out_features=2)

    @property
    def needs_views(self) -> bool:
        """Whether the joint head needs them."""
        return self.joint.needs_views

    @property
    def mixes_modalities(self) -> bool:
        """Whether the gradient flows into the probability of the partners."""
        return self.partner_gradient and len(self.modalities) > 1

    @property
    def modality_losses(self) -> tuple[str, ...]:
        """All modalities."""
        return self.modalities

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config around a linear head."""
        return dict(type='CrossModalFocalHead', joint=dict(type='LinearFASHead'))

    def forward(self, features: FusedFeatures) -> Tensor:
        """Compute the joint logits (B, 2) in the order spoof, live."""
        return self.joint(self._squashed(features))

    def modality_logits(self, features: FusedFeatures) -> Tensor:
        """Compute the logits of each modality (M, B, 2)."""
        return self.modality_classifier(self._squashed(features).require_per_modality())

    def loss_terms(
        self, features: FusedFeatures, targets: Tensor, present: Tensor, *, domain: Tensor | None = None
    ) -> LossTerms:
        """Compute the losses of the joint head, and the cross-modal one of each modality where it is present."""
        terms = self.joint.loss_terms(self._squashed(features), targets, present, domain=domain)
        main = {name: (1 - self.weight) * value for name, value in terms.main.items()}
        logits = self.modality_logits(features)
        num = len(logits)
        losses = functional.cross_entropy(logits.flatten(0, 1), targets.repeat(num), reduction='none')
        focal = cross_modal_focal_losses(
            losses.unflatten(0, (num, -1)),
            present,
            gamma=self.gamma,
            partner_gradient=self.partner_gradient,
            relieved=None if self.relieve_live else targets != LIVE,
        )
        factor = self.weight / num if self.reduction_over_modalities == 'mean' else self.weight
        per_modality = sum_and_count(factor * focal, present, self.modalities)
        return LossTerms(main, per_modality, self.confidence_terms(features, present))

    def _squashed(self, features: FusedFeatures) -> FusedFeatures:
        """Put the sigmoid on the features where it is asked for."""
        if not self.squash:
            return features
        per_modality = features.require_per_modality().sigmoid()
        views = None if features.views is None else features.views.sigmoid()
        return replace(features, fused=features.fused.sigmoid(), per_modality=per_modality, views=views)

    def modality_parameters(self) -> dict[str, list[OwnedParameter]]:
        """Return the slices of the stacked classifiers, and what the joint head declares."""
        owned = owned_slices(self.modalities, *self.modality_classifier.parameters())
        for modality, parameters in self.joint.modality_parameters().items():
            owned[modality] = [*owned[modality], *parameters]
        return owned
