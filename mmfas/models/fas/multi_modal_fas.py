"""The model: trunk, neck and head in one line.

Legend: M modalities (canonical order), B batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor

from mmfas.models.backbones.base import BaseTrunk
from mmfas.models.data_preprocessor import build_preprocessor
from mmfas.models.fas.batch import Inputs, check_call, context_of, host_mask_of, refuse_empty, stack_inputs
from mmfas.models.fas.blocks import require_recomputable, run_blocks
from mmfas.models.fas.neck_outcome import with_neck_losses, with_views
from mmfas.models.fas.offer import offer_of
from mmfas.models.fas.train_step import fas_train_step
from mmfas.models.fas.watch import Watch
from mmfas.models.heads.base import BaseFASHead, liveness
from mmfas.models.necks.base import BaseFusionNeck
from mmfas.models.specs import OwnedParameter, require_modalities
from mmfas.registry import BACKBONES, FUSION_NECKS, HEADS, MODELS
from mmfas.structures import (
    MODALITIES,
    FASDataSample,
    FusedFeatures,
    LossTerms,
    ModalityOffer,
    check_modalities,
    domain_codes_of,
    targets_of,
)


@MODELS.register_module()
class MultiModalFAS(BaseModel):
    """Multi-modal face anti-spoofing: `trunk.embed -> neck.begin -> [neck.block ...] -> neck.finish -> head`.

    Args:
        trunk: Config of a trunk, or the trunk.
        neck: Config of a fusion neck, or the neck.
        head: Config of a head, or the head.
        modalities: Modalities the model looks at, canonical order.
        data_preprocessor: Config of the data preprocessor, or the preprocessor; `FASDataPreprocessor` if None.
        recompute: Save memory in training: compute every block again on the way back (gradient checkpointing).
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If two parts do not fit each other; the message names both.
    """

    def __init__(
        self,
        trunk: Mapping[str, Any] | BaseTrunk,
        neck: Mapping[str, Any] | BaseFusionNeck,
        *,
        head: Mapping[str, Any] | BaseFASHead,
        modalities: Sequence[str] = MODALITIES,
        data_preprocessor: Any = None,
        recompute: bool = False,
        init_cfg: Any = None,
    ) -> None:
        modalities = check_modalities(modalities)
        super().__init__(build_preprocessor(data_preprocessor, modalities), init_cfg)
        self.modalities = modalities
        self.trunk: BaseTrunk = BACKBONES.build(trunk, modalities=self.modalities)
        self.neck: BaseFusionNeck = FUSION_NECKS.build(neck, spec=self.trunk.spec)
        self.head: BaseFASHead = HEADS.build(head, spec=self.neck.feature_spec)
        require_modalities(self.modalities, self.data_preprocessor, self.trunk, self.neck, self.head)
        self.recompute = recompute and require_recomputable(self.trunk, self.neck)

    def forward(
        self,
        inputs: Inputs,
        data_samples: Sequence[FASDataSample] | None = None,
        mode: str = 'tensor',
        *,
        inputs_view: Inputs | None = None,
    ) -> Tensor | dict[str, Tensor] | list[FASDataSample] | LossTerms:
        """Dispatch to one of the ways to run the model.

        Args:
            inputs: Modality -> normalised images (B, 3, H, W); `present` -> boolean mask (B, M), optional.
            data_samples: The samples; needed for losses.
            mode: `'tensor'` logits (B, 2), `'loss'` dict of losses, `'predict'` samples with scores,
                `'loss_terms'` losses kept apart.
            inputs_view: Further views for a head that needs them: like `inputs`, with V*B rows, view by view.

        Returns:
            What the mode says.

        Raises:
            ValueError: If the mode is unknown, shapes disagree, a sample has no modality at all, or views misfit.
            KeyError: If `inputs` lacks a modality or has an unknown key.
        """
        check_call(mode, data_samples, inputs_view=inputs_view, head=self.head)
        if mode == 'tensor':
            return self.head(self.extract_feat(inputs))
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        assert data_samples is not None  # was checked
        terms = self.loss_terms(inputs, data_samples, inputs_view=inputs_view)
        return terms.to_losses() if mode == 'loss' else terms

    def extract_feat(
        self,
        inputs: Inputs,
        domain: Tensor | None = None,
        *,
        watch: Watch | None = None,
        on_host: Tensor | None = None,
    ) -> FusedFeatures:
        """Run trunk and neck.

        Args:
            inputs: As in `forward`.
            domain: Domain codes (B,), in training only.
            watch: Sees the streams between the blocks, for pictures of what a model does.
            on_host: `present` in the host's memory; without it, parts that read it wait for the device.

        Returns:
            What the neck makes of the batch, `maps` to look at included.
        """
        ctx = context_of(inputs, self.trunk, domain=domain, on_host=on_host)
        present = ctx.readable_present if self.trunk.reads_presence else ctx.present
        begun = self.neck.begin(self.trunk.embed(ctx.images, present), ctx)
        blocks, recompute = self.trunk.bind(present), self.recompute and self.training
        return self.neck.finish(
            *run_blocks(self.neck, blocks, begun, watch=watch, recompute=recompute), self.trunk.readout
        )

    def loss_terms(
        self, inputs: Inputs, data_samples: Sequence[FASDataSample], *, inputs_view: Inputs | None = None
    ) -> LossTerms:
        """Compute the losses of a batch, kept apart; auxiliary ones of the neck, on `inputs`, are `aux_<name>`."""
        _, present = stack_inputs(inputs, self.modalities)
        on_host = host_mask_of(present, data_samples, self.modalities)
        domain = domain_codes_of(data_samples, present.device)
        features = self.extract_feat(inputs, domain, on_host=on_host)
        if inputs_view is not None:
            features = with_views(features, self.extract_feat, inputs_view, domain=domain, on_host=on_host)
        terms = self.head.loss_terms(features, targets_of(data_samples, present.device), present, domain=domain)
        return with_neck_losses(terms, features, dict(zip(self.modalities, present.sum(0), strict=True)))

    def loss(self, inputs: Inputs, data_samples: Sequence[FASDataSample]) -> dict[str, Tensor]:
        """Compute the losses of a batch as the named scalars mmengine adds up."""
        return self.loss_terms(inputs, data_samples).to_losses()

    def predict(self, inputs: Inputs, data_samples: Sequence[FASDataSample] | None = None) -> list[FASDataSample]:
        """Score a batch.

        Args:
            inputs: As in `forward`.
            data_samples: Samples that receive `pred_score` and `pred_logits`; new ones if None.

        Returns:
            The samples.

        Raises:
            ValueError: If a sample has no modality at all.
        """
        logits = self.head(self.extract_feat(inputs))
        # half precision has about three digits: too few to rank scores
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        present = inputs.get('present', torch.ones_like(logits, dtype=torch.bool))
        # one transfer for the whole batch: reading values one by one would stop the device each time
        packed = torch.cat([logits, present.any(1, keepdim=True).to(logits.dtype)], dim=1).cpu()
        refuse_empty((packed[:, 2] == 0).tolist(), data_samples, self.modalities)
        # in single precision, every score with logits more than 17 apart is 1, and all of them tie
        scores = liveness(packed[:, :2].double()).tolist()
        samples = [FASDataSample() for _ in packed] if data_samples is None else list(data_samples)
        for sample, row, score in zip(samples, packed[:, :2].unbind(0), scores, strict=True):
            sample.pred_score, sample.pred_logits = score, row
        return samples

    def train_step(self, data: dict[str, Any], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Run one step of training; see `fas_train_step`."""
        return fas_train_step(self, self, data, optim_wrapper)

    def modality_parameters(self) -> dict[str, list[OwnedParameter]]:
        """Collect what trunk, neck and head declare as belonging to one modality."""
        owned: dict[str, list[OwnedParameter]] = {m: [] for m in self.modalities}
        for part in (self.trunk, self.neck, self.head):
            for modality, parameters in part.modality_parameters().items():
                owned[modality] += parameters
        return owned

    def get_layer_depth(self, param_name: str) -> tuple[int, int]:
        """Return the depth of a parameter and the number of depths, see the trunk; neck and head are last."""
        return self.trunk.get_layer_depth(param_name, 'trunk.')

    def modality_offer(self) -> ModalityOffer:
        """Say what a rule that treats the gradients of the modalities apart finds in this model."""
        return offer_of(self, trunk=self.trunk, neck=self.neck, head=self.head)
