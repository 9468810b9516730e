"""Views of encoder layers that are not mmpretrain's plain one.

Legend: N leading entries, L tokens, A tokens before the patches, P patches, C token width, H heads, E width of a
head, n how many grids of patches a sequence holds: 1, or M where a neck joins the modalities.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from mmfas.models.backbones.vit_block import ViTBlock


def _rescaled(query: Tensor, scale: float) -> Tensor:
    """Return queries (N, H, L, E) so that the usual factor 1 / sqrt(E) makes `scale` of them."""
    usual = query.shape[-1] ** -0.5
    return query if math.isclose(scale, usual) else query * (scale / usual)


class BEiTBlock(ViTBlock):
    """View of a layer of BEiT: biases for queries and values only, relative positions, layer scale.

    Where a neck joins the patches of several modalities to one sequence, patches at the same place of two pictures
    have the relative position that a patch has to itself.

    Args:
        layer: mmpretrain's BEiTTransformerEncoderLayer.
        shared: Module that gives the relative positions of all layers, or None.
        num_prefix: Number A of tokens before the patches.
    """

    def __init__(self, layer: Any, *, shared: nn.Module | None, num_prefix: int) -> None:
        super().__init__(layer)
        self.shared = shared
        self.num_prefix = num_prefix

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        attn = self.layer.attn
        packed = attn.qkv(x.reshape(-1, *x.shape[-2:]))
        if attn.bias == 'qv_bias':
            packed = packed + torch.cat((attn.q_bias, torch.zeros_like(attn.v_bias), attn.v_bias))
        query, key, value = packed.unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return _rescaled(query, attn.scale), key, value

    def _bias(self, length: int) -> Tensor | None:
        attn, bias = self.layer.attn, None
        if attn.relative_position_bias_table is not None:
            index = attn.relative_position_index
            bias = attn.relative_position_bias_table[index.flatten()].view(*index.shape, -1).permute(2, 0, 1)
        if self.shared is not None:
            bias = self.shared() if bias is None else bias + self.shared()
        if bias is None or bias.shape[-1] == length:
            return bias
        places = _joint_places(bias.shape[-1], length, self.num_prefix, bias.device)
        return bias[:, places][:, :, places]

    def _leave(self, y: Tensor, x: Tensor) -> Tensor:
        attn, gamma = self.layer.attn, self.layer.gamma_1
        y = attn.proj_drop(attn.proj(y))
        return self.layer.drop_path(y if gamma is None else gamma * y)

    def mlp(self, x: Tensor) -> Tensor:
        """Feed-forward part (..., L, C) without residual; layer scale and drop path included."""
        y = self.layer.ffn(x.reshape(-1, *x.shape[-2:]))
        gamma = self.layer.gamma_2
        return self.layer.drop_path(y if gamma is None else gamma * y).reshape(x.shape)


class _WithTimmsNorms(ViTBlock):
    """View of a layer whose norms are called as in timm."""

    @property
    def norm1(self) -> nn.Module:
        """Norm before the attention."""
        return self.layer.norm1

    @property
    def norm2(self) -> nn.Module:
        """Norm before the MLP."""
        return self.layer.norm2


class EVA02Block(_WithTimmsNorms):
    """View of a layer of EVA-02: queries and keys of patches are turned by the place of the patch.

    Args:
        layer: mmpretrain's EVA02EndcoderLayer.
        rope: mmpretrain's RotaryEmbeddingFast.
        num_prefix: Number A of tokens before the patches, which are not turned.
    """

    def __init__(self, layer: Any, *, rope: Any, num_prefix: int) -> None:
        super().__init__(layer)
        self.rope = rope
        self.num_prefix = num_prefix

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        query, key, value = super()._heads(x)
        query, key = (self._turned(tokens).type_as(value) for tokens in (query, key))
        return _rescaled(query, self.layer.attn.scale), key, value

    def _turned(self, tokens: Tensor) -> Tensor:
        """Turn the pairs of channels of patches (N, H, L, E)."""
        prefix, patches = tokens[:, :, : self.num_prefix], tokens[:, :, self.num_prefix :]
        grids = patches.shape[2] // self.rope.freqs_cos.shape[0]
        even, odd = patches.unflatten(-1, (-1, 2)).unbind(-1)
        crossed = torch.stack((-odd, even), dim=-1).flatten(-2)
        cos, sin = (table.repeat(grids, 1) for table in (self.rope.freqs_cos, self.rope.freqs_sin))
        return torch.cat((prefix, patches * cos + crossed * sin), dim=2)

    def _leave(self, y: Tensor, x: Tensor) -> Tensor:
        attn = self.layer.attn
        return self.layer.drop_path(attn.proj_drop(attn.proj(y)))

    def mlp(self, x: Tensor) -> Tensor:
        """Feed-forward part (..., L, C) without residual; drop path included."""
        return self.layer.drop_path(self.layer.mlp(x.reshape(-1, *x.shape[-2:]))).reshape(x.shape)


class TimmBlock(_WithTimmsNorms):
    """View of a block of timm's VisionTransformer.

    Args:
        layer: timm's Block.
    """

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        query, key, value = super()._heads(x)
        return self.layer.attn.q_norm(query), self.layer.attn.k_norm(key), value

    def _leave(self, y: Tensor, x: Tensor) -> Tensor:
        attn = self.layer.attn
        # norm and gate came with timm 1.0.13 and later
        y = getattr(attn, 'norm', nn.Identity())(y)
        gate = getattr(attn, 'gate', None)
        if gate is not None:
            y = y * gate(x.reshape(-1, *x.shape[-2:])).sigmoid()
        return self.layer.drop_path1(self.layer.ls1(attn.proj_drop(attn.proj(y))))

    def mlp(self, x: Tensor) -> Tensor:
        """Feed-forward part (..., L, C) without residual; layer scale and drop path included."""
        y = self.layer.mlp(x.reshape(-1, *x.shape[-2:]))
        return self.layer.drop_path2(self.layer.ls2(y)).reshape(x.shape)


def _joint_places(single: int, length: int, num_prefix: int, device: torch.device) -> Tensor:
    """Return for each of `length` tokens of a joint sequence its place in a sequence of one modality (L,)."""
    grids = (length - num_prefix) // (single - num_prefix)
    patches = torch.arange(num_prefix, single, device=device).repeat(grids)
    return torch.cat((torch.arange(num_prefix, device=device), patches))
