"""A linear classifier on the joint feature; each modality's feature is drawn to the prototype of its class.

Legend: M modalities (canonical order), B batch, C width of one modality's feature, K classes: live, and one spoof
class per domain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmfas.models.heads.base import BaseFASHead
from mmfas.models.heads.class_prototypes import DomainClasses
from mmfas.models.losses.base import BaseLoss
from mmfas.models.specs import FeatureSpec
from mmfas.registry import HEADS, LOSSES
from mmfas.structures import FusedFeatures, LossTerms
from mmfas.utils.errors import InputError


@HEADS.register_module()
class PrototypeHead(DomainClasses, BaseFASHead):
    """Joint logits from the fused feature, and the SSP loss on every modality's feature (MMDG).

    From "Suppress and Rebalance" (arXiv 2402.19298), Eq. 6-8: `L = L_cls + lambda sum_m L_m`, with L_m the
    `single_side_prototypical_loss`. The classes are single-sided: class 0 holds the live samples of all domains,
    class 1 + i the spoofs of domain i. A prototype is the mean feature of its class, set from outside by
    `PrototypeRefreshHook`; no gradient flows into it. Prototypes are in the state dict; the score never uses them.

    A sample has no SSP loss in a modality that it lacks, or for which its class was never seen.

    Differs from the released code: a class that was never seen takes no part (`mask_unseen`).

    Args:
        domains: Names of the domains that training samples may come from; more may be listed.
        loss: Config of the loss of the joint logits, or the loss; cross entropy if None.
        loss_weight: Factor of the joint loss.
        prototype_weight: Factor lambda of every modality's SSP loss.
        mask_unseen: Leave classes without any sample out; if False they are prototypes at zero, as released, and a
            class that one refresh misses is averaged with zero.
        spec: What the neck yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If domains are missing or repeated, a weight is negative, or the neck has no per-modality
            features.
    """

    #: Hooks without which this part cannot train.
    needs_hooks = ('PrototypeRefreshHook',)
    modality_loss_remedy = 'set model.head.prototype_weight above 0'

    def __init__(
        self,
        domains: Sequence[str],
        *,
        loss: Mapping[str, Any] | BaseLoss | None = None,
        loss_weight: float = 1.0,
        prototype_weight: float = 0.3,
        mask_unseen: bool = True,
        spec: FeatureSpec | Mapping[str, Any],
        init_cfg: Any = None,
    ) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        self.set_domains(domains)
        if loss_weight < 0 or prototype_weight < 0:
            raise InputError(
                'loss_weight and prototype_weight must be at least 0, as a negative one turns training round, '
                f'got {loss_weight} and {prototype_weight}'
            )
        width = self._require_modality_features('the SSP loss')
        self.loss = LOSSES.build(loss or dict(type='CrossEntropyLoss'))
        self.loss_weight = loss_weight
        self.prototype_weight = prototype_weight
        self.classifier = nn.Linear(self.spec.fused_dims, 2)
        self.make_prototypes(len(self.modalities), width=width, mask_unseen=mask_unseen)

    @property
    def modality_losses(self) -> tuple[str, ...]:
        """All modalities; with `prototype_weight=0` their losses have no gradient, which is like none."""
        return self.modalities if self.prototype_weight else ()

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny head."""
        return dict(type='PrototypeHead', domains=('C', 'W'))

    def forward(self, features: FusedFeatures) -> Tensor:
        """Compute the joint logits (B, 2) in the order spoof, live."""
        return self.classifier(features.fused)

    def loss_terms(
        self, features: FusedFeatures, targets: Tensor, present: Tensor, *, domain: Tensor | None = None
    ) -> LossTerms:
        """Compute the joint loss, and the SSP loss of each modality over the samples that have one.

        Args:
            features: What the neck returned.
            targets: Labels (B,), 1 live and 0 spoof.
            present: Boolean mask (B, M).
            domain: Domain codes (B,).

        Returns:
            Main loss `cls`, per-modality losses as (sum, count).

        Raises:
            ValueError: If the domain of a sample is unknown or none of `domains`.
        """
        main = {'cls': self.loss_weight * self.loss(self(features), targets).mean()}
        per_modality, counted = self.prototype_terms(
            features, targets, present, domain=domain, weight=self.prototype_weight
        )
        return LossTerms(main, per_modality, self.confidence_terms(features, counted))
