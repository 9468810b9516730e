"""Attention minus attention: what the reference attends to as well counts as noise.

Legend: B batch, L tokens, C width, A heads, R references.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmfas.utils.errors import InputError

#: Start of lambda in the last of twelve layers of the Differential Transformer: 0.8 - 0.6 exp(-0.3 * 12).
LAMBDA_INIT = 0.8 - 0.6 * math.exp(-0.3 * 12)


class Denoised(NamedTuple):
    """Result of differential attention.

    Args:
        out: Tokens (B, L, C).
        maps: Attention in the sample and in its reference, (2, B, A, L, L).
        noise_weight: The lambda that weighs the second map, scalar.
    """

    out: Tensor
    maps: Tensor
    noise_weight: Tensor


class DifferentialAttention(nn.Module):
    """Attend as the sample does, minus lambda times as a reference of its domain does (MD2A).

    From "Denoising and Alignment" (arXiv 2505.09484): `(softmax(Q K' / t) - lambda softmax(Q_r K_r' / t)) V`, Q,
    K, V from the sample, Q_r and K_r from the reference, `t = sqrt(C)`; then a root mean square norm over all
    heads and the factor `1 - lambda_0`. Lambda is learned as in the Differential Transformer (arXiv 2410.05258),
    Eq. 2: `exp(q1 . k1) - exp(q2 . k2) + lambda_0`, `lambda_0 = 0.784`.

    Differs from the paper, as released: the reference has projections of its own (`shared_projections`). With
    shared ones, a sample that is its own reference has the same map twice.

    Args:
        dims: Width C.
        num_heads: Number A of heads; divides C.
        dropout: Dropout probability on either map, in [0, 1).
        fixed_lambda: Value of lambda that is not learned, or None.
        shared_projections: Use one projection for sample and reference.

    Raises:
        ValueError: If `num_heads` does not divide the width.
    """

    def __init__(
        self,
        dims: int,
        *,
        num_heads: int = 16,
        dropout: float = 0.1,
        fixed_lambda: float | None = None,
        shared_projections: bool = False,
    ) -> None:
        super().__init__()
        if dims % num_heads:
            raise InputError(f'num_heads must divide the width {dims}, but got {num_heads}')
        self.num_heads = num_heads
        self.fixed_lambda = fixed_lambda
        self.query_key = nn.Linear(dims, 2 * dims, bias=False)
        self.value = nn.Linear(dims, dims, bias=False)
        self.reference_query_key = None if shared_projections else nn.Linear(dims, 2 * dims, bias=False)
        #: Rows q1, k1, q2, k2.
        self.lambdas = nn.Parameter(0.1 * torch.randn(4, dims)) if fixed_lambda is None else None
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.RMSNorm(dims, eps=1e-5)

    @property
    def noise_weight(self) -> Tensor:
        """The lambda that weighs the map of the reference, scalar."""
        if self.lambdas is None:
            assert self.fixed_lambda is not None
            return self.value.weight.new_full((), self.fixed_lambda)
        q1, k1, q2, k2 = self.lambdas.unbind(0)
        return (q1 @ k1).exp() - (q2 @ k2).exp() + LAMBDA_INIT

    def forward(self, x: Tensor, reference: Tensor, key_mask: Tensor | None = None) -> Denoised:
        """Attend within each sample.

        Args:
            x: Normalised tokens (B, L, C).
            reference: Normalised tokens of the references, one of each sample (B, L, C), or a bank (R, L, C) given
                as (1, R, L, C): then the second map is the mean over the bank.
            key_mask: Boolean mask (B, L), True where a token may be attended to, one per sample at least; None for
                all. It holds in both maps.

        Returns:
            Tokens, maps and lambda.
        """
        of_reference = self.query_key if self.reference_query_key is None else self.reference_query_key
        own, noise = self._map(self.query_key(x), key_mask), self._map(of_reference(reference), key_mask)
        if reference.dim() == 4:
            noise = noise.mean(1).expand_as(own)
        maps = self.dropout(torch.stack([own, noise]))
        noise_weight = self.noise_weight
        out = (maps[0] - noise_weight * maps[1]) @ self._heads(self.value(x))
        out = self.norm(out.transpose(1, 2).flatten(2)) * (1 - LAMBDA_INIT)
        return Denoised(out, maps, noise_weight)

    def _map(self, query_key: Tensor, key_mask: Tensor | None) -> Tensor:
        """Turn queries and keys (*, L, 2C), with a mask of keys (B, L), into attention (*, A, L, L)."""
        query, key = (self._heads(part) for part in query_key.chunk(2, dim=-1))
        logits = query @ key.transpose(-1, -2) / math.sqrt(query_key.shape[-1] // 2)
        if key_mask is not None:
            shape = (key_mask.shape[0], *[1] * (logits.dim() - 2), key_mask.shape[1])
            logits = logits.masked_fill(~key_mask.view(shape), -torch.inf)
        return logits.softmax(-1)

    def _heads(self, x: Tensor) -> Tensor:
        """Split (*, L, C) into heads (*, A, L, C/A)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(-2, -3)
