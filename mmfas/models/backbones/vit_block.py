"""One encoder layer of a vision transformer, seen in four parts."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from mmfas.models.layers import attention, feed_forward


class ViTBlock:
    """View of one encoder layer in four parts; it owns nothing, so the state dict does not know it.

    All parts take any number of leading dimensions: (..., L, C), such as (M, B, L, C). Views of layers of other
    kinds are in `vit_families`; they say where queries come from, what is added to the logits, and what the
    attended tokens go through.

    Args:
        layer: mmpretrain's TransformerEncoderLayer.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    @property
    def norm1(self) -> nn.Module:
        """Norm before the attention."""
        return self.layer.ln1

    @property
    def norm2(self) -> nn.Module:
        """Norm before the MLP."""
        return self.layer.ln2

    def attn(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Self-attention without residual; layer scale and drop path included.

        Args:
            x: Normalised tokens (..., L, C).
            key_mask: Boolean mask (..., L), True where a token may be attended to; every sequence needs one.

        Returns:
            Tokens (..., L, C).
        """
        query, key, value = self._heads(x)
        mask, bias = None if key_mask is None else key_mask.reshape(-1, 1, 1, x.shape[-2]), self._bias(x.shape[-2])
        if bias is not None:
            bias = bias.to(query.dtype)
            mask = bias[None] if mask is None else bias.masked_fill(~mask, -math.inf)
        y = attention(query, key, value, mask=mask, dropout=self._dropout())
        return self._leave(y.transpose(1, 2).flatten(2), x).reshape(x.shape)

    def attention_weights(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Return the weights with which `attn` attends, to look at; it does not compute them one by one itself.

        Args:
            x: Normalised tokens (..., L, C).
            key_mask: As in `attn`.

        Returns:
            Weights (..., H, L, L) of every head; a row adds up to 1.
        """
        query, key, _ = self._heads(x)
        scores, bias = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1]), self._bias(x.shape[-2])
        if bias is not None:
            scores = scores + bias
        if key_mask is not None:
            scores = scores.masked_fill(~key_mask.reshape(-1, 1, 1, x.shape[-2]), -math.inf)
        return scores.softmax(-1).unflatten(0, x.shape[:-2])

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values (N, H, L, E) of tokens (..., L, C) with N leading entries."""
        attn = self.layer.attn
        packed = attn.qkv(x.reshape(-1, *x.shape[-2:])).unflatten(-1, (3, attn.num_heads, -1))
        return packed.permute(2, 0, 3, 1, 4).unbind(0)

    def _bias(self, length: int) -> Tensor | None:
        """Return what is added to the logits (H, L, L) of sequences of `length` tokens; None for nothing."""
        return None

    def _dropout(self) -> float:
        """Return the probability with which weights of the attention are dropped now."""
        drop = self.layer.attn.attn_drop
        return (drop.p if isinstance(drop, nn.Dropout) else drop) if self.layer.attn.training else 0.0

    def _leave(self, y: Tensor, x: Tensor) -> Tensor:
        """Turn attended tokens y (N, L, C) of normalised tokens x (..., L, C) into what the block adds."""
        attn = self.layer.attn
        return attn.out_drop(attn.gamma1(attn.proj_drop(attn.proj(y))))

    def mlp(self, x: Tensor) -> Tensor:
        """Feed-forward part without residual; layer scale and drop path included.

        Args:
            x: Normalised tokens (..., L, C).

        Returns:
            Tokens (..., L, C).
        """
        ffn = self.layer.ffn
        # drop path picks rows of the first axis: flatten, so that it picks samples and not modalities
        rows = x.reshape(-1, *x.shape[-2:])
        if hasattr(ffn, 'layers'):
            y = ffn.dropout_layer(ffn.gamma2(feed_forward(ffn.layers, rows)))
        else:  # SwiGLU adds the identity itself
            y = ffn(rows, identity=rows.new_zeros(()))
        return y.reshape(x.shape)

    def __call__(self, x: Tensor) -> Tensor:
        """Run the plain block on tokens (..., L, C)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))
