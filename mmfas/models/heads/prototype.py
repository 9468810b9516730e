"""A linear classifier on the joint feature; each modality's feature is drawn to the prototype of its class.

Legend: M modalities (canonical order), B batch, C width of one modality's feature, K classes: live, and one spoof
class per domain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.heads.base import BaseFASHead, sum_and_count
from mmfas.models.losses.base import BaseLoss
from mmfas.models.specs import FeatureSpec
from mmfas.registry import HEADS, LOSSES
from mmfas.structures import LIVE, FusedFeatures, LossTerms, domain_code
from mmfas.utils.errors import InputError


def single_side_prototypical_loss(
    features: Tensor, prototypes: Tensor, targets: Tensor, seen: Tensor | None = None
) -> Tensor:
    """Compute the single-side prototypical loss, cross entropy of negative distances to prototypes.

    MMDG (arXiv 2402.19298), Eq. 6: `-log(exp(-|c - p_t|) / sum_d exp(-|c - p_d|))` with the plain Euclidean
    distance; features are not normalised. At distance 0 the gradient of that distance is 0.

    Args:
        features: Features (M, B, C).
        prototypes: Prototypes (M, K, C).
        targets: Class numbers (B,) in [0, K).
        seen: Boolean mask (M, K): other classes take no part, except in the rows of samples that are of such a
            class, whose loss must not be used. None for all.

    Returns:
        Losses (M, B).
    """
    logits = -torch.linalg.vector_norm(features[:, :, None] - prototypes[:, None], dim=-1)  # (M, B, K)
    if seen is not None:
        takes_part = seen[:, None] | ~seen[:, targets, None]
        logits = torch.where(takes_part, logits, -torch.inf)
    losses = functional.cross_entropy(logits.flatten(0, 1), targets.repeat(len(logits)), reduction='none')
    return losses.unflatten(0, (len(logits), -1))


@HEADS.register_module()
class PrototypeHead(BaseFASHead):
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
    prototypes: Tensor
    seen: Tensor
    codes: Tensor

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
        self.domains = (domains,) if isinstance(domains, str) else tuple(domains)
        if not self.domains or len(set(self.domains)) < len(self.domains):
            raise InputError(f'domains must name the training domains, each once, but got {self.domains}')
        if loss_weight < 0 or prototype_weight < 0:
            raise InputError(
                'loss_weight and prototype_weight must be at least 0, as a negative one turns training round, '
                f'got {loss_weight} and {prototype_weight}'
            )
        width = self._require_modality_features('the SSP loss')
        self.loss = LOSSES.build(loss or dict(type='CrossEntropyLoss'))
        self.loss_weight = loss_weight
        self.prototype_weight = prototype_weight
        self.mask_unseen = mask_unseen
        self.classifier = nn.Linear(self.spec.fused_dims, 2)
        num = (len(self.modalities), 1 + len(self.domains))
        self.register_buffer('prototypes', torch.zeros(*num, width))
        self.register_buffer('seen', torch.full(num, not mask_unseen))
        codes = torch.tensor([domain_code(name) for name in self.domains])
        self.register_buffer('codes', codes, persistent=False)

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
        classes = self.classes_of(targets, domain)
        losses = single_side_prototypical_loss(
            features.require_per_modality(), self.prototypes, classes, self.seen
        )
        counted = present & self.seen[:, classes].t()
        per_modality = sum_and_count(self.prototype_weight * losses, counted, self.modalities)
        return LossTerms(main, per_modality, self.confidence_terms(features, counted))

    def classes_of(self, targets: Tensor, domain: Tensor | None) -> Tensor:
        """Number the classes of samples.

        Args:
            targets: Labels (B,), 1 live and 0 spoof.
            domain: Domain codes (B,).

        Returns:
            0 for live, 1 + i for a spoof of domain i; (B,).

        Raises:
            ValueError: If the domain of a sample is unknown or none of `domains`.
        """
        if domain is None:
            raise InputError(
                'PrototypeHead needs the domain of every training sample, but some have none; set `domain` of the '
                'data set or name it in its meta_file'
            )
        match = domain[:, None] == self.codes
        is_live = targets == LIVE
        is_known = (match.any(1) | is_live).all()
        message = (
            f'a training sample comes from a domain that is none of model.head.domains={self.domains}; add it'
        )
        if is_known.device.type != 'cpu':
            torch._assert_async(is_known, message)
        elif not is_known:
            raise InputError(message)
        return torch.where(is_live, 0, 1 + match.int().argmax(1))

    @torch.no_grad()
    def class_sums(
        self, features: FusedFeatures, targets: Tensor, present: Tensor, *, domain: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Sum the features of each class, in double precision; sums of several batches add up.

        Args:
            features: What the neck returned.
            targets: Labels (B,), 1 live and 0 spoof.
            present: Boolean mask (B, M); an absent modality is not counted.
            domain: Domain codes (B,).

        Returns:
            Sums (M, K, C) and numbers of samples (M, K).
        """
        member = functional.one_hot(self.classes_of(targets, domain), self.seen.shape[1])
        weight = (member * present.t()[..., None]).double()  # (M, B, K)
        return weight.transpose(1, 2) @ features.require_per_modality().double(), weight.sum(1)

    @torch.no_grad()
    def forget_prototypes(self) -> None:
        """Start over: no class was seen. Loaded weights may hold prototypes of classes that these data lack."""
        self.prototypes.zero_()
        self.seen.zero_()

    @torch.no_grad()
    def update_prototypes(self, sums: Tensor, counts: Tensor, momentum: float) -> None:
        """Move the prototypes to new class means: `p <- momentum p + (1 - momentum) mean`.

        A class that was never seen before takes the mean as it is; one without a sample keeps its prototype.

        Args:
            sums: Sums of the features (M, K, C), over all processes.
            counts: Numbers of samples (M, K), over all processes.
            momentum: Weight of the old prototypes, where their class was seen before, in [0, 1].
        """
        found = counts > 0 if self.mask_unseen else torch.ones_like(self.seen)
        mean = sums / counts.clamp(min=1)[..., None]
        keep = torch.where(self.seen & found, momentum, (~found).double())[..., None]
        self.prototypes.copy_(keep * self.prototypes + (1 - keep) * mean)
        self.seen |= found
