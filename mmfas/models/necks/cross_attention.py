"""Late fusion by attention from each modality to the others.

Legend: M modalities (canonical order), B batch, L tokens, C readout width, H heads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.necks.base import BaseFusionNeck, State, concat_streams, zero_absent
from mmfas.models.specs import StreamSpec
from mmfas.registry import FUSION_NECKS
from mmfas.structures import FusedFeatures
from mmfas.utils.errors import InputError


@FUSION_NECKS.register_module()
class CrossAttentionNeck(BaseFusionNeck):
    """Enrich the readout of each modality by attention to the tokens of the other present ones.

    The cross-attention baseline after "Flexible-Modal Face Anti-Spoofing: A Benchmark" (arXiv 2202.08192). For
    modality m with readout r_m and tokens T_n: `f_m = r_m + W attention(r_m; {T_n : n != m, n present})`, and
    fused = all f_m side by side. Absent modalities are masked, and their own f_m is zero; a modality without any
    present partner keeps f_m = r_m.

    Differs from the paper: the queries are the readouts, not all tokens, so the cost does not grow with the square
    of the number of tokens; and the attention has several heads.

    Args:
        num_heads: Number H of attention heads; divides C.
        spec: What the trunk yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If the trunk has no tokens, there is one modality only, or `num_heads` does not divide C.
    """

    needs_tokens = True
    min_modalities = 2
    mixes_modalities = False
    gives_confidence = False

    def __init__(self, num_heads: int = 4, *, spec: StreamSpec | Mapping[str, Any], init_cfg: Any = None) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        width, token_dims = self.spec.embed_dims, self.spec.require_tokens(type(self).__name__)
        if width % num_heads:
            raise InputError(f'num_heads must divide the readout width {width}, but got {num_heads}')
        self.num_heads = num_heads
        self.query_norm = nn.LayerNorm(width)
        self.token_norm = nn.LayerNorm(token_dims)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(token_dims, 2 * width)
        self.project = nn.Linear(width, width)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config that builds this neck."""
        return dict(type='CrossAttentionNeck', num_heads=2)

    @property
    def out_dims(self) -> int:
        """Width D = M*C of the joint feature."""
        return len(self.modalities) * self.spec.embed_dims

    def finish(self, streams: Tensor, state: State, readout: Callable[[Tensor], Tensor]) -> FusedFeatures:
        """Read out, attend across modalities, concatenate."""
        present = state['present']
        per_modality = zero_absent(readout(streams), present)
        joint = zero_absent(per_modality + self._attend(per_modality, streams, present), present)
        return FusedFeatures(fused=concat_streams(joint), per_modality=per_modality)

    def _attend(self, features: Tensor, streams: Tensor, present: Tensor) -> Tensor:
        """Let features (M, B, C) attend to tokens (M, B, L, token_dims) of other present modalities: (M, B, C)."""
        num, batch, length = streams.shape[:3]
        query = self.query(self.query_norm(features)).transpose(0, 1)  # (B, M, C)
        tokens = self.key_value(self.token_norm(streams)).transpose(0, 1).flatten(1, 2)  # (B, M*L, 2C)
        query, key, value = (self._heads(x) for x in (query, *tokens.chunk(2, dim=-1)))
        others = present[:, None, :] & ~torch.eye(num, dtype=torch.bool, device=present.device)  # (B, M, M)
        has_partner = others.any(-1)
        # a row without any key would be NaN: it attends to everything, and its result is dropped
        mask = (others | ~has_partner[..., None]).repeat_interleave(length, dim=-1)[:, None]
        out = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return zero_absent(self.project(out.transpose(1, 2).flatten(2)).transpose(0, 1), has_partner)

    def _heads(self, x: Tensor) -> Tensor:
        """Split (B, N, C) into heads (B, H, N, C/H)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
