"""A linear classifier on the joint feature and, optionally, one on that of each modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmfas.models.heads.base import BaseFASHead, sum_and_count
from mmfas.models.layers.stacked import StackedLinear
from mmfas.models.losses.base import BaseLoss
from mmfas.models.specs import FeatureSpec, OwnedParameter, owned_slices
from mmfas.registry import HEADS, LOSSES
from mmfas.structures import FusedFeatures, LossTerms
from mmfas.utils.errors import InputError


@HEADS.register_module()
class LinearFASHead(BaseFASHead):
    """Joint logits from the fused feature; per-modality logits as auxiliary classifiers.

    The per-modality classifiers exist only with `modality_loss_weight > 0`; the score never uses them.

    Args:
        loss: Config of the loss of the joint logits, or the loss; cross entropy if None.
        modality_loss: The same for the per-modality logits; like `loss` if None.
        loss_weight: Factor of the joint loss.
        modality_loss_weight: Factor of every modality's loss; 0 for none.
        shared_classifier: One classifier for all modalities instead of one each.
        dropout: Dropout probability on the joint feature, in [0, 1).
        spec: What the neck yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If per-modality losses are asked of a neck without per-modality features, a weight is negative,
            or an option of the per-modality classifiers is given without them.
    """

    modality_loss_remedy = 'set model.head.modality_loss_weight above 0'

    def __init__(
        self,
        loss: Mapping[str, Any] | BaseLoss | None = None,
        *,
        modality_loss: Mapping[str, Any] | BaseLoss | None = None,
        loss_weight: float = 1.0,
        modality_loss_weight: float = 0.0,
        shared_classifier: bool = False,
        dropout: float = 0.0,
        spec: FeatureSpec | Mapping[str, Any],
        init_cfg: Any = None,
    ) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        if loss_weight < 0 or modality_loss_weight < 0:
            raise InputError(
                'loss_weight and modality_loss_weight must be at least 0, as a negative one turns training round, '
                f'got {loss_weight} and {modality_loss_weight}'
            )
        if not modality_loss_weight and (modality_loss is not None or shared_classifier):
            raise InputError(
                'modality_loss and shared_classifier are options of the per-modality classifiers, which need '
                'modality_loss_weight above 0; set it or leave them out'
            )
        loss = loss or dict(type='CrossEntropyLoss')
        self.loss = LOSSES.build(loss)
        self.modality_loss = LOSSES.build(modality_loss or loss)
        self.loss_weight = loss_weight
        self.modality_loss_weight = modality_loss_weight
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.spec.fused_dims, 2)
        self.modality_classifier: StackedLinear | nn.Linear | None = None
        if modality_loss_weight > 0:
            width = self._require_modality_features('modality_loss_weight')
            if shared_classifier:
                self.modality_classifier = nn.Linear(width, 2)
            else:
                self.modality_classifier = StackedLinear(len(self.modalities), in_features=width, out_features=2)

    @property
    def modality_losses(self) -> tuple[str, ...]:
        """All modalities, or none with `modality_loss_weight=0`."""
        return () if self.modality_classifier is None else self.modalities

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config with per-modality losses."""
        return dict(type='LinearFASHead', loss=dict(type='CrossEntropyLoss'), modality_loss_weight=0.5)

    def forward(self, features: FusedFeatures) -> Tensor:
        """Compute the joint logits (B, 2) in the order spoof, live."""
        return self.classifier(self.dropout(features.fused))

    def modality_logits(self, features: FusedFeatures) -> Tensor | None:
        """Compute the logits of each modality (M, B, 2), or None if the head has no classifiers for them."""
        if self.modality_classifier is None:
            return None
        return self.modality_classifier(features.require_per_modality())

    def loss_terms(
        self, features: FusedFeatures, targets: Tensor, present: Tensor, *, domain: Tensor | None = None
    ) -> LossTerms:
        """Compute the joint loss and the loss of each modality over the samples that have it."""
        main = {'cls': self.loss_weight * self.loss(self(features), targets).mean()}
        logits = self.modality_logits(features)
        per_modality = {}
        if logits is not None:
            num = logits.shape[0]
            losses = self.modality_loss(logits.flatten(0, 1), targets.repeat(num)).unflatten(0, (num, -1))
            per_modality = sum_and_count(self.modality_loss_weight * losses, present, self.modalities)
        return LossTerms(main, per_modality, self.confidence_terms(features, present))

    def modality_parameters(self) -> dict[str, list[OwnedParameter]]:
        """Return the slices of the stacked classifiers."""
        if not isinstance(self.modality_classifier, StackedLinear):
            return {}
        return owned_slices(self.modalities, *self.modality_classifier.parameters())
