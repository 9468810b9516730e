"""A soft mixture of feed-forward and constant experts with a top-2 router.

Legend: * any leading dimensions, N rows (all of * together), C width, E experts = F feed-forward + K constant
ones, H hidden width of an expert.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.layers.router_losses import logit_size, switch_balance
from mmfas.models.layers.stacked import StackedLinear
from mmfas.utils.errors import InputError


class Routed(NamedTuple):
    """What a mixture made of its input.

    Args:
        out: Result (*, C).
        logits: Logits of the router (*, E); `router_loss` wants them.
        gates: Weight of each expert in the result (*, E); two at most are not zero.
    """

    out: Tensor
    logits: Tensor
    gates: Tensor


class GatedExperts(nn.Module):
    """F feed-forward experts side by side: `W2 (v * gelu(g) * s) + b2` with `v, g = W1 rms_norm(x) + b1`.

    All experts see all rows, as three matrix products: that is cheaper than sorting the rows by expert, and needs
    no device-to-host sync. Weights are stacked: expert f owns slice f.

    Args:
        num_experts: Number F of experts.
        dims: Width C.

    The hidden width is H = 8 C / 3, rounded down.
    """

    def __init__(self, num_experts: int, dims: int) -> None:
        super().__init__()
        hidden = dims * 8 // 3
        self.norm_weight = nn.Parameter(torch.ones(num_experts, dims))
        self.expand = StackedLinear(num_experts, in_features=dims, out_features=2 * hidden)
        self.scale = nn.Parameter(torch.ones(num_experts, hidden))
        self.contract = StackedLinear(num_experts, in_features=hidden, out_features=dims)

    def forward(self, x: Tensor, gates: Tensor) -> Tensor:
        """Sum the experts of rows (N, C), weighted with gates (N, F): (N, C)."""
        rows = functional.rms_norm(x, x.shape[-1:], eps=1e-6) * self.norm_weight[:, None]  # (F, N, C)
        value, gate = self.expand(rows).chunk(2, dim=-1)
        hidden = value * functional.gelu(gate) * self.scale[:, None] * gates.t()[..., None]  # (F, N, H)
        # one product that sums over the experts as well would copy the weights: more expensive than a few rows
        return (hidden @ self.contract.weight.transpose(1, 2)).sum(0) + gates @ self.contract.required_bias


class ExpertMixture(nn.Module):
    """Route every row to two of E experts; the output of constant experts does not depend on the row.

    The router of ST-MoE (arXiv 2202.08906) as MMDA (arXiv 2505.09484) uses it: `g = softmax(W x)`, the two
    largest, scaled to sum 1, `y = g_1 E_1(x) + g_2 E_2(x)`. There is no capacity limit that drops rows, and no
    row depends on another.

    Differs from the released code, each by an argument: the second expert is always kept (`sampled_second`), the
    balance loss is taken over the batch (`balance_per_sample`).

    Args:
        dims: Width C.
        num_ffn: Number F of feed-forward experts, at least 1.
        num_constant: Number K of constant experts; F + K is at least 2.
        sampled_second: Keep the second expert with probability `min(1, g_2 / 0.2)` only, at test too.
        balance_per_sample: Take the balance loss over the tokens of each sample alone; with one token per sample
            it then rewards uniform gates, not balance.
        balance_weight: Factor of the balance loss.
        z_weight: Factor of the loss on the size of the logits.

    Raises:
        ValueError: If there are too few experts.
    """

    SECOND_THRESHOLD = 0.2

    def __init__(
        self,
        dims: int,
        *,
        num_ffn: int = 4,
        num_constant: int = 3,
        sampled_second: bool = False,
        balance_per_sample: bool = False,
        balance_weight: float = 1e-2,
        z_weight: float = 1e-3,
    ) -> None:
        super().__init__()
        if num_ffn < 1 or num_constant < 0 or num_ffn + num_constant < 2:
            raise InputError(
                'a mixture needs num_ffn >= 1, num_constant >= 0 and two experts in all, but got '
                f'num_ffn={num_ffn}, num_constant={num_constant}'
            )
        self.router = nn.Linear(dims, num_ffn + num_constant, bias=False)
        self.experts = GatedExperts(num_ffn, dims)
        self.constants = nn.Parameter(0.02 * torch.randn(num_constant, dims)) if num_constant else None
        self.num_ffn = num_ffn
        self.sampled_second = sampled_second
        self.balance_per_sample = balance_per_sample
        self.balance_weight = balance_weight
        self.z_weight = z_weight

    def forward(self, x: Tensor) -> Routed:
        """Mix the experts of rows (*, C)."""
        rows = x.flatten(0, -2)
        logits = self.router(rows)
        gates = self._gates(logits)
        out = self.experts(rows, gates[:, : self.num_ffn])
        if self.constants is not None:
            out = out + gates[:, self.num_ffn :] @ self.constants
        return Routed(*(value.unflatten(0, x.shape[:-1]) for value in (out, logits, gates)))

    def _gates(self, logits: Tensor) -> Tensor:
        """Turn logits (N, E) into the weights (N, E) of two experts."""
        chances, chosen = logits.softmax(-1).topk(2, dim=-1)
        chances = chances / chances.sum(-1, keepdim=True)
        if self.sampled_second:
            kept = torch.rand_like(chances[:, 1]) < chances[:, 1] / self.SECOND_THRESHOLD
            chances = torch.stack([chances[:, 0], chances[:, 1] * kept], dim=-1)
        return torch.zeros_like(logits).scatter(-1, chosen, chances)

    def router_loss(self, logits: Tensor, valid: Tensor | None = None) -> Tensor:
        """Compute the weighted balance and z losses of ST-MoE, Eq. 5 and the balance of Switch, Eq. 4-6.

        Args:
            logits: Logits of the router (B, L, E).
            valid: Boolean mask (B, L) of the tokens that count, at least one; None for all.

        Returns:
            `balance_weight * E^2 mean_e(f_e p_e) + z_weight * mean(logsumexp^2)`, scalar: f_e is the
            fraction of tokens whose first choice is e, p_e the mean probability of e.
        """
        weight = logits.new_ones(logits.shape[:-1]) if valid is None else valid.to(logits.dtype)
        z_loss = logit_size(logits, weight)
        chances, first = logits.softmax(-1), functional.one_hot(logits.argmax(-1), logits.shape[-1])
        if not self.balance_per_sample:
            chances, first, weight = chances.flatten(0, 1)[None], first.flatten(0, 1)[None], weight.flatten()[None]
        part = (weight / weight.sum(1, keepdim=True).clamp(min=1))[..., None]
        balance = switch_balance((first * part).sum(1), (chances * part).sum(1))
        return self.balance_weight * balance + self.z_weight * z_loss
