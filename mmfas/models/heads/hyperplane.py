"""A classifier for every training domain, drawn towards each other; their mean gives the score.

Legend: M modalities (canonical order), B batch, D width of the joint feature, E domains, R rows of a classifier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.heads.base import BaseFASHead
from mmfas.models.heads.class_prototypes import DomainClasses
from mmfas.models.losses.angular_margin import AngularMarginLoss
from mmfas.models.losses.base import BaseLoss
from mmfas.models.specs import FeatureSpec
from mmfas.registry import HEADS, LOSSES
from mmfas.structures import FusedFeatures, LossTerms
from mmfas.utils.errors import InputError

NORMS = ('rows', 'matrix')


@dataclass(frozen=True)
class HyperplaneOptions:
    """How the classifiers of the domains are made and drawn together.

    Args:
        keep: Weight of a classifier's own direction in a step, in [0, 1]; 1 never draws them together.
        norm: What keeps its length: each of the `'rows'` (DADM), or the whole `'matrix'` (SA-FAS).
        align_epoch: Epoch of the first such step, from 0 (DADM: 0, SA-FAS: 20).
        single_logit: One row, the logit of live against 0 (SA-FAS), in place of two.
    """

    keep: float = 0.995
    norm: str = 'rows'
    align_epoch: int = 0
    single_logit: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.keep <= 1 or self.norm not in NORMS or self.align_epoch < 0:
            raise InputError(
                f'hyperplanes: keep must lie in [0, 1], norm be one of {NORMS} and align_epoch at least 0, but '
                f'got {self.keep}, {self.norm!r} and {self.align_epoch}'
            )


def align_hyperplanes(
    planes: Tensor, keep: float, *, norm: str = 'rows', taking_part: Tensor | None = None
) -> Tensor:
    r"""Turn the classifier of every domain a little towards the one that differs most from it (PG-IRM).

    From SA-FAS (arXiv 2303.13662): with beta the classifiers at length 1 and f(e) the other domain whose beta
    has the smallest inner product with that of e, W_e keeps its length and points along :math:`\alpha \beta_e + (1
    - \alpha) \beta_{f(e)}`. All from the old values.

    Args:
        planes: Classifiers (E, R, D).
        keep: Weight alpha, in [0, 1].
        norm: `'rows'` or `'matrix'`, see `HyperplaneOptions`.
        taking_part: Boolean mask (E,); the others stay as they are and draw nobody. None for all.

    Returns:
        Classifiers (E, R, D).

    >>> planes = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]]])
    >>> align_hyperplanes(planes, 0.0).flatten().tolist()
    [0.0, 2.0, 1.0, 0.0]
    """
    axes = 2 if norm == 'rows' else (1, 2)
    length = torch.linalg.vector_norm(planes, dim=axes, keepdim=True)
    tiny = torch.finfo(planes.dtype).tiny
    unit = planes / length.clamp(min=tiny)
    products = torch.einsum('erd,frd->ef', unit, unit)
    there = torch.ones_like(products[0], dtype=torch.bool) if taking_part is None else taking_part
    others = there & ~torch.eye(len(planes), dtype=torch.bool, device=planes.device)  # (E, E)
    farthest = products.masked_fill(~others, torch.inf).argmin(1)
    mixed = keep * unit + (1 - keep) * unit[farthest]
    turned = length * mixed / torch.linalg.vector_norm(mixed, dim=axes, keepdim=True).clamp(min=tiny)
    moves = there & others.any(1)
    return torch.where(moves[:, None, None], turned, planes)


@HEADS.register_module()
class HyperplaneHead(DomainClasses, BaseFASHead):
    r"""One bias-free linear classifier for each training domain, aligned after every step (DADM, SA-FAS).

    From "Rethinking Domain Generalization for Face Anti-spoofing: Separability and Alignment" (SA-FAS, arXiv
    2303.13662) and DADM (arXiv 2503.00429). A training sample is classified by the classifier of its own domain.
    After every step of the optimizer `align_hyperplanes` turns the classifiers towards each other; `AfterStepHook`
    calls it. The score comes from the mean of the classifiers of all domains that a sample was seen of, so
    `domains` may name more.

    Further losses, each off by default: the angles between the features of domains and modalities
    (`AngularMarginLoss`), and the SSP loss of each modality as in `PrototypeHead`.

    Differs from the released code of DADM: a domain without a sample takes no part (released: with two source
    domains, the third classifier stays at its random start and is a third of the score).

    Args:
        domains: Names of the domains that training samples may come from; more may be listed.
        loss: Config of the loss of the logits, or the loss; cross entropy if None.
        loss_weight: Factor of that loss.
        hyperplanes: Arguments of `HyperplaneOptions`.
        angular: Arguments of `AngularMarginLoss`.
        angular_weight: Factor of the angular loss; 0 for none.
        prototype_weight: Factor of every modality's SSP loss; 0 for none. Above, training needs a
            `PrototypeRefreshHook`.
        mask_unseen: As in `PrototypeHead`.
        spec: What the neck yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If domains are missing or repeated, an argument is out of range or without effect, or a loss
            needs per-modality features and the neck has none.
    """

    modality_loss_remedy = 'set model.head.prototype_weight above 0'
    first_epoch_key = 'model.head.hyperplanes.align_epoch'
    is_trained: Tensor

    def __init__(
        self,
        domains: Sequence[str],
        *,
        loss: Mapping[str, Any] | BaseLoss | None = None,
        loss_weight: float = 1.0,
        hyperplanes: Mapping[str, Any] | None = None,
        angular: Mapping[str, Any] | None = None,
        angular_weight: float = 0.0,
        prototype_weight: float = 0.0,
        mask_unseen: bool = True,
        spec: FeatureSpec | Mapping[str, Any],
        init_cfg: Any = None,
    ) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        self.set_domains(domains)
        _refuse_bad_weights(loss_weight, angular_weight, prototype_weight)
        if angular and not angular_weight:
            raise InputError('angular needs angular_weight above 0; set it or leave angular out')
        if not mask_unseen and not prototype_weight:
            raise InputError('mask_unseen is an option of the SSP loss, which needs prototype_weight above 0')
        self.options = HyperplaneOptions(**(hyperplanes or {}))
        self.loss = LOSSES.build(loss or dict(type='CrossEntropyLoss'))
        self.loss_weight = loss_weight
        self.angular_weight = angular_weight
        self.prototype_weight = prototype_weight
        self.angular = AngularMarginLoss(**(angular or {}))
        if angular_weight:
            self._require_modality_features('angular_weight')
        if prototype_weight:
            width = self._require_modality_features('prototype_weight')
            self.make_prototypes(len(self.modalities), width=width, mask_unseen=mask_unseen)
        rows = 1 if self.options.single_logit else 2
        self.planes = nn.Parameter(torch.empty(len(self.domains), rows, self.spec.fused_dims))
        bound = 1 / math.sqrt(self.spec.fused_dims)  # the same as nn.Linear
        nn.init.uniform_(self.planes, -bound, bound)
        self.register_buffer('is_trained', torch.zeros(len(self.domains), dtype=torch.bool))

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny head."""
        return dict(type='HyperplaneHead', domains=('C', 'W'), angular_weight=0.3)

    @classmethod
    def needed_hooks(cls, cfg: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the hooks without which a head of this config cannot train."""
        return ('AfterStepHook', 'PrototypeRefreshHook') if cfg.get('prototype_weight') else ('AfterStepHook',)

    @property
    def first_epoch(self) -> int:
        """Epoch of the first step that `after_step` reacts to."""
        return self.options.align_epoch

    @property
    def modality_losses(self) -> tuple[str, ...]:
        """All modalities with `prototype_weight` above 0, else none."""
        return self.modalities if self.prototype_weight else ()

    def forward(self, features: FusedFeatures) -> Tensor:
        """Compute the joint logits (B, 2) in the order spoof, live, with the mean of the trained classifiers."""
        takes_part = self.is_trained | ~self.is_trained.any()
        weight = takes_part.to(self.planes.dtype) / takes_part.sum()
        return _two_logits(functional.linear(features.fused, torch.einsum('e,erd->rd', weight, self.planes)))

    def domain_logits(self, features: FusedFeatures) -> Tensor:
        """Compute the logits of the classifier of each domain (E, B, 2)."""
        return _two_logits(torch.einsum('bd,erd->ebr', features.fused, self.planes))

    def loss_terms(
        self, features: FusedFeatures, targets: Tensor, present: Tensor, *, domain: Tensor | None = None
    ) -> LossTerms:
        """Compute the losses of a batch, each sample classified by the classifier of its domain.

        Args:
            features: What the neck returned.
            targets: Labels (B,), 1 live and 0 spoof.
            present: Boolean mask (B, M).
            domain: Domain codes (B,).

        Returns:
            Main losses `cls` and, if asked for, `angular`; SSP losses of the modalities, if asked for.

        Raises:
            ValueError: If the domain of a sample is unknown or none of `domains`.
        """
        numbers = self.domain_numbers(domain)
        own = functional.one_hot(numbers, len(self.domains))  # (B, E)
        with torch.no_grad():
            self.is_trained |= own.any(0)
        logits = self.domain_logits(features)[numbers, torch.arange(len(numbers), device=numbers.device)]
        main = {'cls': self.loss_weight * self.loss(logits, targets).mean()}
        if self.angular_weight:
            angular = self.angular(
                features.require_per_modality(), targets, numbers, present, num_domains=len(self.domains)
            )
            main['angular'] = self.angular_weight * angular
        if not self.prototype_weight:
            return LossTerms(main, {}, self.confidence_terms(features, present))
        per_modality, counted = self.prototype_terms(
            features, targets, present, domain=domain, weight=self.prototype_weight
        )
        return LossTerms(main, per_modality, self.confidence_terms(features, counted))

    @torch.no_grad()
    def after_step(self, epoch: int) -> None:
        """Turn the classifiers of domains that were seen towards each other, from epoch `align_epoch` on."""
        if get_world_size() > 1:
            seen = self.is_trained.int()
            all_reduce(seen, op='max')
            self.is_trained.copy_(seen > 0)
        own = self.options
        if epoch >= own.align_epoch:
            self.planes.copy_(align_hyperplanes(self.planes, own.keep, norm=own.norm, taking_part=self.is_trained))


def _two_logits(logits: Tensor) -> Tensor:
    """Put a spoof logit of 0 beside a single one of live: (..., 2)."""
    return logits if logits.shape[-1] == 2 else torch.cat([torch.zeros_like(logits), logits], dim=-1)


def _refuse_bad_weights(*weights: float) -> None:
    """Refuse factors of losses below 0."""
    if min(weights) < 0:
        raise InputError(
            'loss_weight, angular_weight and prototype_weight must be at least 0, as a negative one turns '
            f'training round, got {weights}'
        )
