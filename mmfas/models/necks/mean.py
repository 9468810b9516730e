"""The fusion with nothing to learn: the mean readout of the modalities that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from mmfas.models.necks.base import BaseFusionNeck, State, zero_absent
from mmfas.registry import FUSION_NECKS
from mmfas.structures import FusedFeatures


@FUSION_NECKS.register_module()
class MeanNeck(BaseFusionNeck):
    """Average the readouts of the present modalities: `fused = sum_m present_m x_m / sum_m present_m`.

    The baseline for missing modalities that every other neck must beat: the joint feature has the same width and
    scale whatever is missing, there are no weights, and nothing stands in for an absent modality. It works with
    every trunk and any number of modalities. Late fusion of FLIP with three modalities is this neck.

    Args:
        spec: What the trunk yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.
    """

    mixes_modalities = False
    gives_confidence = False

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return its only config."""
        return dict(type='MeanNeck')

    @property
    def out_dims(self) -> int:
        """Width D of the joint feature, that of one modality."""
        return self.spec.embed_dims

    def finish(self, streams: Tensor, state: State, readout: Callable[[Tensor], Tensor]) -> FusedFeatures:
        """Read out and average; a sample without any modality, which the model refuses, would be zero."""
        per_modality = zero_absent(readout(streams), state['present'])
        num_present = state['present'].sum(1).clamp(min=1)
        return FusedFeatures(fused=per_modality.sum(0) / num_present[:, None], per_modality=per_modality)
