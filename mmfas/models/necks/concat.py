"""The plainest fusion: readouts side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmfas.models.necks.base import BaseFusionNeck, State, concat_streams, zero_absent
from mmfas.models.specs import OwnedParameter, StreamSpec, owned_slices
from mmfas.registry import FUSION_NECKS
from mmfas.structures import FusedFeatures


@FUSION_NECKS.register_module()
class ConcatNeck(BaseFusionNeck):
    """Concatenate the readouts of all modalities.

    An absent modality is zero, or a learned vector with `presence_embedding`. Works with every trunk and any
    number of modalities; with one it is the unimodal baseline.

    Args:
        proj_dims: Width of a linear layer with GELU on the concatenation; None for the bare concatenation.
        presence_embedding: Replace an absent modality by a learned vector, which starts at zero.
        spec: What the trunk yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.
    """

    mixes_modalities = False
    gives_confidence = False

    def __init__(
        self,
        proj_dims: int | None = None,
        *,
        presence_embedding: bool = False,
        spec: StreamSpec | Mapping[str, Any],
        init_cfg: Any = None,
    ) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        num, width = len(self.modalities), self.spec.embed_dims
        self.absent = nn.Parameter(torch.zeros(num, width)) if presence_embedding else None
        self.project = nn.Sequential(nn.Linear(num * width, proj_dims), nn.GELU()) if proj_dims else nn.Identity()
        self._out_dims = proj_dims or num * width

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config with all options on."""
        return dict(type='ConcatNeck', proj_dims=8, presence_embedding=True)

    @property
    def out_dims(self) -> int:
        """Width D of the joint feature."""
        return self._out_dims

    def finish(self, streams: Tensor, state: State, readout: Callable[[Tensor], Tensor]) -> FusedFeatures:
        """Read out, blank absent modalities, concatenate."""
        per_modality = zero_absent(readout(streams), state['present'])
        joint = per_modality
        if self.absent is not None:
            joint = joint + zero_absent(self.absent[:, None].expand_as(joint), ~state['present'])
        return FusedFeatures(fused=self.project(concat_streams(joint)), per_modality=per_modality)

    def modality_parameters(self) -> dict[str, list[OwnedParameter]]:
        """Return the stand-in of each modality."""
        return {} if self.absent is None else owned_slices(self.modalities, self.absent)
