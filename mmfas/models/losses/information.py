"""Estimates of the mutual information of two modalities' info tokens, as losses.

Legend: P pairs of modalities, S = 2*P sides (of pair p: 2p and 2p + 1), B batch, C token width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.layers.stacked import StackedLinear
from mmfas.utils.errors import InputError

KINDS = ('additive', 'infonce', 'mine')


class InformationLoss(nn.Module):
    r"""Loss of every pair on its info tokens; rows without one of the two modalities do not count.

    With t_a and t_b the tokens of a sample and t'_a, t'_b those of two others, drawn as permutations:

    * `'additive'` (DADM as released): :math:`\log \overline{\exp T'} - \overline T` with :math:`T = (t_a + t_b) /
      2`, the means over samples and channels. T is a sum, so its mean is the same for every pairing: by Jensen's
      inequality the loss is at least 0, and 0 only where all T' are one number. It measures how much info tokens
      spread, not how much two modalities have in common; see `docs/en/dadm.md`.
    * `'infonce'`: cross entropy of finding t_b of the same sample among those of the batch by its cosine to t_a
      (arXiv 1807.03748, Eq. 4).
    * `'mine'`: the same as `'additive'` with a trained T, two layers on both tokens, one for each pair
      (arXiv 1801.04062, Eq. 10).

    It depends on the batch of one process, in training only.

    Args:
        kind: One of the three.
        num_pairs: Number P of pairs.
        width: Token width C.
        temperature: Divisor of the cosines of `'infonce'`, above 0.
        hidden_dims: Width between the layers of `'mine'`.

    Raises:
        ValueError: If `kind` is unknown or a number out of range.
    """

    def __init__(
        self,
        kind: str = 'additive',
        *,
        num_pairs: int,
        width: int,
        temperature: float = 0.07,
        hidden_dims: int = 128,
    ) -> None:
        super().__init__()
        if kind not in KINDS or not 0 < temperature < math.inf or hidden_dims < 1:
            raise InputError(
                f'mutual_information.kind must be one of {KINDS}, temperature above 0 and hidden_dims at least 1, '
                f'but got {kind!r}, {temperature} and {hidden_dims}'
            )
        self.kind = kind
        self.temperature = temperature
        self.critic: nn.Sequential | None = None
        if kind == 'mine':
            self.critic = nn.Sequential(
                StackedLinear(num_pairs, in_features=2 * width, out_features=hidden_dims),
                nn.ReLU(),
                StackedLinear(num_pairs, in_features=hidden_dims, out_features=1),
            )

    def forward(self, tokens: Tensor, pairs: Tensor, orders: Tensor | None = None) -> Tensor:
        """Compute the loss of every pair (P,), 0 where no row counts.

        Args:
            tokens: Info tokens (S, B, C).
            pairs: Boolean mask (B, P), True where both modalities are present.
            orders: Numbers of the rows of t'_a and t'_b, (2, P, B), those that count first; drawn if None.
        """
        rows = pairs.t()
        exact = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
        own, other = exact.unflatten(0, (-1, 2)).unbind(1)  # (P, B, C)
        if self.kind == 'infonce':
            loss = self._contrast(own, other, rows)
        else:
            orders = draw_orders(rows) if orders is None else orders
            shuffled = [_rows_in_order(t, order) for t, order in zip((own, other), orders, strict=True)]
            loss = _donsker_varadhan(self._judge(own, other), self._judge(*shuffled), rows)
        return torch.where(rows.any(1), loss, loss.new_zeros(()))

    def _judge(self, own: Tensor, other: Tensor) -> Tensor:
        """Compute T (P, B, K) of two tokens (P, B, C)."""
        return (own + other) / 2 if self.critic is None else self.critic(torch.cat([own, other], dim=-1))

    def _contrast(self, own: Tensor, other: Tensor, rows: Tensor) -> Tensor:
        """Compute the contrastive loss (P,) of tokens (P, B, C)."""
        cosines = functional.normalize(own, dim=-1) @ functional.normalize(other, dim=-1).transpose(1, 2)
        logits = (cosines / self.temperature).masked_fill(~_counted(rows)[:, None], -torch.inf)
        matched = -functional.log_softmax(logits, dim=-1).diagonal(dim1=1, dim2=2)
        return torch.where(rows, matched, matched.new_zeros(())).sum(1) / rows.sum(1).clamp(min=1)


def draw_orders(rows: Tensor) -> Tensor:
    """Draw two orders (2, P, B) of the rows that count, (P, B), for every pair; the others come last."""
    keys = torch.rand(2, *rows.shape, device=rows.device)
    return (keys + 2.0 * ~rows).argsort(dim=-1)


def _rows_in_order(tokens: Tensor, order: Tensor) -> Tensor:
    """Take rows of (P, B, C) in the order (P, B)."""
    return tokens.gather(1, order[..., None].expand_as(tokens))


def _counted(rows: Tensor) -> Tensor:
    """Return the rows that count; all where none does, so that nothing becomes infinite."""
    return rows | ~rows.any(1, keepdim=True)


def _donsker_varadhan(joint: Tensor, marginal: Tensor, rows: Tensor) -> Tensor:
    """Compute `log mean exp marginal - mean joint` (P,) of T (P, B, K); of `marginal` the first rows count."""
    num = rows.sum(1).clamp(min=1)
    is_first = torch.arange(rows.shape[1], device=rows.device) < num[:, None]
    kept = torch.where(is_first[..., None], marginal, -torch.inf)
    mean = torch.where(rows[..., None], joint, joint.new_zeros(())).sum((1, 2)) / (num * joint.shape[2])
    return torch.logsumexp(kept.flatten(1), dim=1) - (num * joint.shape[2]).log() - mean
