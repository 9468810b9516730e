"""A neck of a third party: average the modalities, each weighted by a learned gate."""

from typing import Any

from torch import Tensor, nn

from mmfas.models.necks.base import BaseFusionNeck, zero_absent
from mmfas.registry import FUSION_NECKS
from mmfas.structures import FusedFeatures


@FUSION_NECKS.register_module()
class GatedMeanNeck(BaseFusionNeck):
    """Weigh each modality's readout by a softmax over those present, and add them up."""

    def __init__(self, *, spec: Any, init_cfg: Any = None) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        self.gate = nn.Linear(self.spec.embed_dims, 1)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return the config that the contract tests build."""
        return {'type': 'GatedMeanNeck'}

    @property
    def out_dims(self) -> int:
        """Width D of the joint feature: that of one modality."""
        return self.spec.embed_dims

    def finish(self, streams: Tensor, state: dict[str, Tensor], readout: Any) -> FusedFeatures:
        """Fuse (M, B, C) to (B, C); an absent modality has weight zero."""
        features = zero_absent(readout(streams), state['present'])
        scores = self.gate(features).squeeze(-1).masked_fill(~state['present'].t(), float('-inf'))
        weights = scores.softmax(0)  # (M, B)
        fused = (weights.unsqueeze(-1) * features).sum(0)
        return FusedFeatures(fused=fused, per_modality=features, confidence=weights)
