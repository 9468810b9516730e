"""Adapters of every modality inside the blocks, with a weight for each modality.

Legend: M modalities (canonical order), B batch, L tokens, C token width, r adapter width, h x w patch grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.layers.central_difference import CentralDifferenceConv
from mmfas.models.layers.stacked import StackedLinear
from mmfas.models.layers.typed import modules_of
from mmfas.models.necks.base import BaseFusionNeck, State, concat_streams, grid_of, zero_absent
from mmfas.models.specs import Block, OwnedParameter, StreamSpec, owned_slices
from mmfas.registry import FUSION_NECKS
from mmfas.structures import FusedFeatures


class AdaptiveAdapter(nn.Module):
    """M bottlenecks with a central difference convolution, weighted by a gate that sees all modalities.

    Args:
        num_streams: Number of modalities M.
        token_dims: Token width C.
        adapter_dims: Bottleneck width r.
        theta: Weight theta of the central-difference term, in [0, 1].
    """

    def __init__(self, num_streams: int, *, token_dims: int, adapter_dims: int, theta: float) -> None:
        super().__init__()
        self.down = StackedLinear(num_streams, in_features=token_dims, out_features=adapter_dims)
        self.conv = CentralDifferenceConv(adapter_dims, adapter_dims, num_copies=num_streams, theta=theta)
        self.gate = nn.Linear(num_streams * adapter_dims, num_streams)
        self.up = StackedLinear(num_streams, in_features=adapter_dims, out_features=token_dims).zero_()

    def forward(self, x: Tensor, present: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Adapt normalised tokens.

        Args:
            x: Tokens (M, B, L, C), patches last.
            present: Boolean mask (B, M).
            grid: Rows and columns of the patches.

        Returns:
            What to add to the stream (M, B, L, C), and the weight of each modality (M, B) in [0, 1].
        """
        z = functional.gelu(self.down(x))
        prefix, patches = z.split([z.shape[2] - grid[0] * grid[1], grid[0] * grid[1]], dim=2)
        maps = self.conv(patches.transpose(2, 3).unflatten(3, grid))  # (M, B, r, h, w)
        pooled = concat_streams(zero_absent(maps.mean(dim=(-2, -1)), present))
        weight = torch.sigmoid(self.gate(pooled)).t()  # (M, B)
        z = torch.cat([prefix, maps.flatten(3).transpose(2, 3)], dim=2) * weight[..., None, None]
        return self.up(functional.gelu(z)), weight


@FUSION_NECKS.register_module()
class AMANeck(BaseFusionNeck):
    """Adapters beside the MLP of every block; readouts are concatenated.

    After the adaptive multimodal adapter of "Rethinking Vision Transformer and Masked Autoencoder in Multimodal
    Face Anti-Spoofing" (arXiv 2302.05744). In block i, with a the stream after attention and h = norm2(a):
    `x = a + mlp(h) + up(gelu(w_m * cdc(gelu(down(h)))))`; the weights w come from the pooled features of all
    present modalities. The up projection starts at zero, so step 0 equals the plain trunk. An absent modality is
    zero in the gate and in the fused feature. The M adapters of a block run as one computation.

    Differs from the paper: every modality has its own adapter and keeps its own stream (the weights are all that
    passes between modalities inside a block), the convolution is a central difference one, the class token
    bypasses it.

    Args:
        adapter_dims: Bottleneck width r.
        theta: Weight theta of the central-difference term, in [0, 1].
        spec: What the trunk yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If the trunk has no tokens.
    """

    needs_tokens = True
    mixes_modalities = True
    gives_confidence = False

    def __init__(
        self,
        adapter_dims: int = 64,
        *,
        theta: float = 0.7,
        spec: StreamSpec | Mapping[str, Any],
        init_cfg: Any = None,
    ) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        num, token_dims = len(self.modalities), self.spec.require_tokens(type(self).__name__)
        self.adapters = nn.ModuleList(
            AdaptiveAdapter(num, token_dims=token_dims, adapter_dims=adapter_dims, theta=theta)
            for _ in range(self.spec.num_blocks)
        )

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny neck."""
        return dict(type='AMANeck', adapter_dims=4)

    @property
    def out_dims(self) -> int:
        """Width D = M*C of the joint feature."""
        return len(self.modalities) * self.spec.embed_dims

    def block(self, index: int, block: Block, streams: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one block with its adapters."""
        after_attention = streams + block.attn(block.norm1(streams))
        hidden = block.norm2(after_attention)
        delta, weight = self.adapters[index](hidden, state['present'], grid_of(state))
        return after_attention + block.mlp(hidden) + delta, {**state, 'weight': weight}

    def finish(self, streams: Tensor, state: State, readout: Callable[[Tensor], Tensor]) -> FusedFeatures:
        """Read out, blank absent modalities, concatenate; the last weights (M, B) go to `maps`."""
        per_modality = zero_absent(readout(streams), state['present'])
        maps = {'modality_weight': state['weight'].detach()} if 'weight' in state else {}
        return FusedFeatures(fused=concat_streams(per_modality), per_modality=per_modality, maps=maps)

    def modality_parameters(self) -> dict[str, list[OwnedParameter]]:
        """Return the slices of the stacked adapters; the gates belong to all."""
        adapters = modules_of(self.adapters, AdaptiveAdapter)
        parts = [part for adapter in adapters for part in (adapter.down, adapter.conv, adapter.up)]
        return owned_slices(self.modalities, *(p for part in parts for p in part.parameters()))
