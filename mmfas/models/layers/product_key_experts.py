"""Product-key experts: thousands of one-neuron experts, of which every row takes a few.

Legend: N rows (any number of leading dimensions), H heads, K keys per half, E = K*K experts, T experts per head,
D width of what the experts see, G width of what the router sees, d key width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.layers.router_losses import logit_size, switch_balance
from mmfas.utils.errors import InputError


@dataclass(frozen=True)
class Routing:
    """Which experts every row takes.

    Args:
        index: Numbers of the experts (N, H, T), in [0, E); expert i*K + j has key i of the first half and j of the
            second.
        weight: Their weights (N, H, T), which sum to 1 in every head.
        scores: Scores of all keys of both halves (N, 2, H, K).
    """

    index: Tensor
    weight: Tensor
    scores: Tensor


class ProductKeyRouter(nn.Module):
    """Find the best T of E = K*K experts in every head by comparing with 2 K keys.

    From "Large Memory Layers with Product Keys" (arXiv 1907.05242), Sec. 3.2: the score of expert (i, j) is the
    sum of those of its half keys, `q_1 . k_1i + q_2 . k_2j`; the best T experts are among the T x T pairs of the
    best T keys of each half, so nothing is lost. The weights are the softmax of the T scores.

    Args:
        gate_dims: Width G.
        num_experts: Number E of experts, a square.
        num_heads: Number H of heads; each looks with queries and keys of its own.
        top_k: Number T of experts per head, at most K.
        key_dims: Width d of a half key.

    Raises:
        ValueError: If the number of experts is not a square, or a number does not fit.

    >>> ProductKeyRouter(6, num_experts=16, num_heads=2, top_k=3, key_dims=4)(torch.zeros(5, 6)).index.shape
    torch.Size([5, 2, 3])
    """

    def __init__(self, gate_dims: int, *, num_experts: int, num_heads: int, top_k: int, key_dims: int) -> None:
        super().__init__()
        num_keys = math.isqrt(max(num_experts, 0))
        if num_keys < 1 or num_keys**2 != num_experts:
            near = max(round(math.sqrt(max(num_experts, 1))), 1) ** 2
            raise InputError(
                f'num_experts must be the square of a number of keys, but got {num_experts}; take {near}'
            )
        if not 1 <= top_k <= num_keys or num_heads < 1 or key_dims < 1:
            raise InputError(
                f'top_k must be 1 to {num_keys} (the root of {num_experts} experts), num_heads and key_dims at '
                f'least 1, but got {top_k}, {num_heads} and {key_dims}'
            )
        self.num_heads, self.num_keys, self.top_k = num_heads, num_keys, top_k
        self.query = nn.Linear(gate_dims, 2 * num_heads * key_dims, bias=False)
        self.keys = nn.Parameter(0.02 * torch.randn(2, num_heads, num_keys, key_dims))

    def forward(self, gate: Tensor) -> Routing:
        """Route rows by what the router sees of them (N, G)."""
        rows = self.query(gate).flatten(0, -2).unflatten(-1, (2 * self.num_heads, -1))  # (N, 2H, d)
        scores = torch.bmm(rows.transpose(0, 1), self.keys.flatten(0, 1).transpose(1, 2))  # (2H, N, K)
        scores = scores.transpose(0, 1).unflatten(1, (2, self.num_heads))
        best, keys = scores.topk(self.top_k, dim=-1)  # (N, 2, H, T)
        pairs = (best[:, 0, ..., :, None] + best[:, 1, ..., None, :]).flatten(-2)
        numbers = (keys[:, 0, ..., :, None] * self.num_keys + keys[:, 1, ..., None, :]).flatten(-2)
        values, chosen = pairs.topk(self.top_k, dim=-1)
        lead = gate.shape[:-1]
        index, weight = numbers.gather(-1, chosen), torch.softmax(values, dim=-1)
        return Routing(index.unflatten(0, lead), weight.unflatten(0, lead), scores.unflatten(0, lead))


class ExpertTable(nn.Module):
    """E experts of one neuron each: expert e gives `gelu(x . down_e) up_e`.

    From "Mixture of A Million Experts" (arXiv 2407.04153), Sec. 2. Only the rows of the tables that are taken are
    read. Their gradients are dense by default, so their cost grows with E.

    Args:
        num_experts: Number E of experts.
        dims: Width D.
        std: Standard deviation of both tables at the start; None for `D ** -0.5`, which keeps the scale of x.
        sparse_gradients: Make gradients of the rows taken only; needs an optimizer that takes them, such as
            `RowAdamW`, and a single process.
    """

    def __init__(
        self, num_experts: int, dims: int, *, std: float | None = None, sparse_gradients: bool = False
    ) -> None:
        super().__init__()
        std = dims**-0.5 if std is None else std
        self.sparse_gradients = sparse_gradients
        self.down = nn.Parameter(std * torch.randn(num_experts, dims))
        self.up = nn.Parameter(std * torch.randn(num_experts, dims))

    def forward(self, x: Tensor, routing: Routing) -> Tensor:
        """Sum the weighted experts of every row of x (N, D): (N, D)."""
        index = routing.index.flatten(-2)  # (N, H*T)
        tables = (self.down, self.up)
        down, up = (functional.embedding(index, table, sparse=self.sparse_gradients) for table in tables)
        neurons = functional.gelu((down @ x.unsqueeze(-1)).squeeze(-1)) * routing.weight.flatten(-2)
        return (neurons.unsqueeze(-2) @ up).squeeze(-2)


class UnitRMSNorm(nn.RMSNorm):
    """RMS norm that adds nothing to the mean square: `sqrt(D) x / max(|x|, 1e-12) * weight`.

    Of rows however small it keeps the direction only, so every row comes out with the same length; a row of zeros
    stays one, with a gradient of up to 1e12. `nn.RMSNorm(dims, eps=1e-8)` shortens rows whose root mean square is
    not far above 1e-4, and is smooth at zero.

    >>> UnitRMSNorm(2)(torch.tensor([3e-6, 4e-6])).square().mean().sqrt().round(decimals=4).item()
    1.0
    """

    def forward(self, x: Tensor) -> Tensor:
        """Norm rows (*, D): (*, D)."""
        return functional.normalize(x, dim=-1) * math.sqrt(x.shape[-1]) * self.weight


class ProductKeyExperts(nn.Module):
    """A mixture of product-key experts whose router may see something else than its experts.

    `y = sum over heads and the T best experts e of softmax(score)_e gelu(norm(x) . down_e) up_e`, with scores made
    of norm(gate); the norms are RMS norms.

    Differs from the released code of BIG-MoE, each by an argument: the start of the experts (`std`), and 1e-8 that
    the norms add to the mean square (`unit_norm`).

    Args:
        dims: Width D of what the experts see, and of the result.
        gate_dims: Width G of what the router sees; None for `dims`.
        num_experts: Number E of experts, a square.
        num_heads: Number H of heads.
        top_k: Number T of experts per head, at most the root of E.
        key_dims: Width d of a half key.
        std: Standard deviation of the experts at the start, see `ExpertTable`.
        sparse_gradients: See `ExpertTable`.
        unit_norm: Add nothing in the norms, as released, so that the size of a row tells nothing, however small it
            is; see `UnitRMSNorm`. By default a row with a root mean square of 1e-3 comes out 0.5 % shorter.

    >>> y, routing = ProductKeyExperts(8, num_experts=16)(torch.zeros(2, 5, 8))
    >>> y.shape, routing.weight.shape
    (torch.Size([2, 5, 8]), torch.Size([2, 5, 2, 2]))
    """

    def __init__(
        self,
        dims: int,
        gate_dims: int | None = None,
        *,
        num_experts: int = 1600,
        num_heads: int = 2,
        top_k: int = 2,
        key_dims: int = 8,
        std: float | None = None,
        sparse_gradients: bool = False,
        unit_norm: bool = False,
    ) -> None:
        super().__init__()
        gate_dims = gate_dims or dims
        # by default far below what activations reach, so that it only keeps rows of zeros from becoming NaN
        norm = UnitRMSNorm if unit_norm else partial(nn.RMSNorm, eps=1e-8)
        self.norm, self.norm_gate = norm(dims), norm(gate_dims)
        self.router = ProductKeyRouter(
            gate_dims, num_experts=num_experts, num_heads=num_heads, top_k=top_k, key_dims=key_dims
        )
        self.table = ExpertTable(num_experts, dims, std=std, sparse_gradients=sparse_gradients)

    def forward(self, x: Tensor, gate: Tensor | None = None) -> tuple[Tensor, Routing]:
        """Mix experts.

        Args:
            x: What the experts see (N, D).
            gate: What the router sees (N, G); x if None.

        Returns:
            Result (N, D), and which experts every row took.
        """
        routing = self.router(self.norm_gate(x if gate is None else gate))
        return self.table(self.norm(x), routing), routing


def balance_loss(routing: Routing) -> Tensor:
    """Compute how unevenly the keys are used: 1 if all alike, K if always the same one.

    The load-balance loss of "Switch Transformers" (arXiv 2101.03961), Eq. 4-6, of the keys of each half instead of
    the experts, so that its cost grows with K: `K sum_k f_k P_k`, with f_k the fraction of choices that fell on
    key k and P_k the mean of its softmax over the rows; averaged over halves and heads.

    Args:
        routing: Routing of all rows.

    Returns:
        Scalar with gradient to the scores.
    """
    scores, index = routing.scores.flatten(0, -4), routing.index.flatten(0, -3)  # (N, 2, H, K), (N, H, T)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))  # half precision cannot count beyond 256
    num_keys = scores.shape[-1]
    keys = torch.stack([index // num_keys, index % num_keys])  # (2, N, H, T)
    keys = keys.transpose(1, 2).flatten(2)  # (2, H, N*T)
    used = torch.zeros_like(scores[0]).scatter_add(2, keys, torch.ones_like(keys, dtype=scores.dtype))
    return switch_balance(used / keys.shape[-1], torch.softmax(scores, dim=-1).mean(0))


def router_z_loss(routing: Routing) -> Tensor:
    """Compute the mean square of logsumexp over the keys of each half, which keeps scores from growing.

    From "ST-MoE" (arXiv 2202.08906), Eq. 5.

    Args:
        routing: Routing of all rows.

    Returns:
        Scalar with gradient to the scores.
    """
    return logit_size(routing.scores)


def expert_usage(index: Tensor, num_experts: int) -> Tensor:
    """Count how often each expert was taken.

    Args:
        index: Numbers of experts, of any shape.
        num_experts: Number E of experts.

    Returns:
        Counts (E,), float64; add those of several batches up.

    >>> expert_usage(torch.tensor([[0, 2], [2, 2]]), 4).tolist()
    [1.0, 0.0, 3.0, 0.0]
    """
    return torch.bincount(index.flatten(), minlength=num_experts).double()


def usage_entropy(counts: Tensor) -> Tensor:
    """Measure how evenly experts are used: 1 if all alike, 0 if always the same one.

    Args:
        counts: Counts (..., E), at least one above zero, E at least 2.

    Returns:
        Entropy of the relative frequencies divided by log E, in [0, 1]; (...).

    >>> usage_entropy(torch.tensor([[1.0, 1, 1, 1], [5, 0, 0, 0]])).tolist()
    [1.0, 0.0]
    """
    frequencies = counts.double() / counts.sum(-1, keepdim=True)
    return torch.special.entr(frequencies).sum(-1) / math.log(counts.shape[-1])
