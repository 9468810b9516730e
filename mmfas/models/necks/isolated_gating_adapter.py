"""Experts of BIG-MoE, whose gate is isolated from them.

Legend: M modalities (canonical order), B batch, p prefix tokens (class token), P = h*w positions of the patch
grid, L' = p + M*P tokens of the joint sequence, C token width, r adapter width, V prompt width, G = 2r gate width,
H heads, T experts per head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.layers.activations import quick_gelu
from mmfas.models.layers.product_key_experts import ProductKeyExperts, Routing
from mmfas.models.necks.prompt import PromptBypass, PromptOptions
from mmfas.models.specs import StreamSpec


@dataclass(frozen=True)
class ReleasedBlockOptions:
    """How the released code computes a block where it differs from the figure; the defaults follow the figure.

    Args:
        post_norm: Let each norm replace the stream (as released); else the stream passes by the norms.
        adapter_residual: Let the adapter return its input too, so that the stream counts twice (as released).
        double_cls: Let it return the class token once more (as released).
        activate_up: Activate after the up projection (as released).
        zero_up: Start the up projection at zero, so that step 0 equals the plain trunk; if False it starts as any
            linear layer (as released).
    """

    post_norm: bool = False
    adapter_residual: bool = False
    double_cls: bool = False
    activate_up: bool = False
    zero_up: bool = True


class IsolatedGatingAdapter(nn.Module):
    """Experts on the tokens of all modalities of a position, with a router that sees the prompt too (IGMA).

    BIG-MoE (arXiv 2412.18065): the tokens of a position are projected down and laid side by side, c of M r
    numbers. The router sees `[g(W_c c); g(W_p prompt)]`, the experts see c only: the prompt decides which experts
    answer, never what.

    Args:
        spec: What the trunk yields.
        adapter_dims: Width r of each modality, and of each half of the gate.
        experts: Arguments of `ProductKeyExperts`.
        prompt: See `PromptOptions`.
        arithmetic: See `ReleasedBlockOptions`.
        isolated: Keep the prompt from the experts; if False the gate is projected and added to what they see.
        dropout: Dropout probability, in [0, 1).
        makes_prompt: Whether there is a bypass.
    """

    def __init__(
        self,
        spec: StreamSpec,
        *,
        adapter_dims: int,
        experts: Mapping[str, Any],
        prompt: PromptOptions,
        arithmetic: ReleasedBlockOptions,
        isolated: bool,
        dropout: float,
        makes_prompt: bool,
    ) -> None:
        super().__init__()
        row, gate_dims = len(spec.modalities) * adapter_dims, 2 * adapter_dims
        self.activate_up = arithmetic.activate_up
        token_dims = spec.require_tokens(type(self).__name__)
        self.down = nn.Linear(token_dims, adapter_dims)
        self.gate_features = nn.Linear(row, adapter_dims)
        self.gate_prompt = nn.Linear(prompt.dims, adapter_dims)
        self.leak = None if isolated else nn.Linear(gate_dims, row)
        self.experts = ProductKeyExperts(row, gate_dims, **experts)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(adapter_dims, token_dims)
        if arithmetic.zero_up:
            nn.init.zeros_(self.up.weight)
            nn.init.zeros_(self.up.bias)
        self.bypass = PromptBypass(gate_dims, options=prompt, dropout=dropout) if makes_prompt else None

    def forward(
        self, tokens: Tensor, base: Tensor, prompt: Tensor, *, present: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Routing]:
        """Add to the patch tokens of all modalities what the experts make of them.

        Args:
            tokens: Joint sequence (B, L', C), patches last.
            base: What is added to, (B, L', C); the prefix gets nothing.
            prompt: Prompt (B, P, V).
            present: Boolean mask (B, M): an absent modality is zero for gate and experts.
            grid: Rows and columns of the patches.

        Returns:
            The sum (B, L', C), the next prompt (B, P, V), and the routing (B, P, H, T).
        """
        # of all tokens, since patches alone would be copied at full width first
        low = quick_gelu(self.down(tokens))[:, -present.shape[1] * prompt.shape[1] :]
        low = low.unflatten(1, (present.shape[1], -1))
        low = torch.where(present[..., None, None], low, low.new_zeros(()))
        rows = low.transpose(1, 2).flatten(2)  # (B, P, M*r)
        gate = quick_gelu(torch.cat([self.gate_features(rows), self.gate_prompt(prompt)], dim=-1))
        seen = rows if self.leak is None else rows + self.leak(gate)
        mixed, routing = self.experts(seen, gate)
        mixed = self.dropout(mixed.unflatten(2, (present.shape[1], -1)).transpose(1, 2))
        out = self._add(mixed.flatten(1, 2), base)
        return out, prompt if self.bypass is None else self.bypass(prompt, gate, grid), routing

    def _add(self, mixed: Tensor, base: Tensor) -> Tensor:
        """Add the up projection of patches (B, M*P, r) to the last of the tokens (B, L', C)."""
        prefix = base.shape[1] - mixed.shape[1]
        if self.activate_up:
            return base + functional.pad(quick_gelu(self.up(mixed)), (0, 0, prefix, 0))
        # Rows of zeros for the prefix and the bias as one more column: one product adds to what is there, where
        # projecting, padding and adding go through the whole width three times.
        low = functional.pad(functional.pad(mixed, (0, 1), value=1.0), (0, 0, prefix, 0))
        weight = torch.cat([self.up.weight, self.up.bias[:, None]], dim=1)
        device = base.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            # a product under autocast would round what is added to, too
            return base + functional.linear(low, weight)
        return torch.addmm(base.flatten(0, 1), low.flatten(0, 1), weight.t()).view_as(base)
