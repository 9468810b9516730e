"""Pieces of BIG-MoE: a prompt made of the images, its convolutional bypass, experts with an isolated gate.

Legend: M modalities (canonical order), B batch, P = h*w positions of the patch grid, C token width, r adapter
width, V prompt width, G = 2r gate width, H heads, T experts per head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.layers.activations import quick_gelu
from mmfas.models.layers.central_difference import CentralDifferenceConv
from mmfas.models.layers.product_key_experts import ProductKeyExperts, Routing
from mmfas.models.specs import StreamSpec


@dataclass(frozen=True)
class PromptOptions:
    """How the prompt is made and passed on.

    Args:
        dims: Width V.
        theta: Share of the central difference in its convolutions, in [0, 1].
        bypass: Change the prompt from block to block; if False all blocks see the first one.
        residual: Add what the bypass makes to the prompt (the figure); if False it replaces it (as released).
        swap_grid: Take rows for columns in every bypass and leave the tokens so (as released): the prompt is
            transposed against the patches in every second block.
        last_bypass: Run the bypass of the last block too (as released), whose prompt nobody reads.
        code_at_test: Choose the learned prompt by the missing modalities at test too; if False, as released, the
            code is that of a full sample then.
    """

    dims: int = 64
    theta: float = 0.7
    bypass: bool = True
    residual: bool = True
    swap_grid: bool = False
    last_bypass: bool = False
    code_at_test: bool = True


@dataclass(frozen=True)
class BlockArithmetic:
    """What the released code does otherwise than the figure in a block; the defaults are the figure.

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


class PromptGenerator(nn.Module):
    """Make the first prompt: of the images, of the code of missing modalities, and of a shared picture.

    BIG-MoE (arXiv 2412.18065), prompt generation: `conv(cat[g(cdc(images)), P_m[code], P_s])` with g the quick
    GELU, P_m and P_s learned pictures that start at zero, and a convolution over patches.

    Args:
        spec: What the trunk yields; the pictures have its image size.
        options: See `PromptOptions`.

    Raises:
        ValueError: If the trunk does not know its image size and patch grid.
    """

    def __init__(self, spec: StreamSpec, options: PromptOptions) -> None:
        super().__init__()
        if spec.grid is None or spec.image_size is None:
            raise ValueError(
                f'the prompt needs a trunk that knows its image size and patch grid, not {spec.trunk}'
            )
        rows, columns = (size // cells for size, cells in zip(spec.image_size, spec.grid, strict=True))
        picture = (3, rows * spec.grid[0], columns * spec.grid[1])
        self.mix = CentralDifferenceConv(3 * len(spec.modalities), 3, theta=options.theta)
        self.by_code = nn.Parameter(torch.zeros(2 ** len(spec.modalities), *picture))
        self.shared = nn.Parameter(torch.zeros(picture))
        self.project = nn.Conv2d(9, options.dims, (rows, columns), (rows, columns))

    def forward(self, images: Tensor, code: Tensor, grid: tuple[int, int]) -> Tensor:
        """Make a prompt for every position.

        Args:
            images: Images (M, B, 3, H, W), absent ones zero.
            code: Code of the missing modalities (B,), in [0, 2**M): bit m is set where modality m is missing.
            grid: Rows and columns of the patches; images and pictures of another size are resized to it.

        Returns:
            Prompt (B, P, V).
        """
        seen = quick_gelu(self.mix(images.transpose(0, 1).flatten(1, 2)[None])[0])
        learned = torch.cat([self.by_code, self.shared[None]])
        kernel = self.project.kernel_size
        size = (grid[0] * kernel[0], grid[1] * kernel[1])
        seen, learned = (_resized(x, size) for x in (seen, learned))
        pictures = [seen, learned[:-1][code], learned[-1:].expand_as(seen)]
        return self.project(torch.cat(pictures, dim=1)).flatten(2).transpose(1, 2)


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate pictures (N, 3, H, W) where they are not of this size."""
    if x.shape[-2:] == size:
        return x
    return functional.interpolate(x, size=size, mode='bilinear', align_corners=False)


class PromptBypass(nn.Module):
    """Change the prompt by what the gate has seen, with convolutions that pass by the transformer.

    BIG-MoE (arXiv 2412.18065), convolutional prompt bypass: `g(cdc(dropout(eca(g(cat[cdc(P), cdc(gate)])))))`,
    with the efficient channel attention of ECA-Net (arXiv 1910.03151).

    Args:
        gate_dims: Width G.
        options: See `PromptOptions`.
        dropout: Share dropped while training, in [0, 1).
    """

    def __init__(self, gate_dims: int, *, options: PromptOptions, dropout: float) -> None:
        super().__init__()
        self.options, width = options, options.dims
        self.conv_prompt = CentralDifferenceConv(width, width, theta=options.theta)
        self.conv_gate = CentralDifferenceConv(gate_dims, width, theta=options.theta)
        self.attention = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = CentralDifferenceConv(2 * width, width, theta=options.theta)

    def forward(self, prompt: Tensor, gate: Tensor, grid: tuple[int, int]) -> Tensor:
        """Turn the prompt (B, P, V), with the gate (B, P, G), into the next prompt (B, P, V)."""
        maps = [self.conv_prompt(self._map(prompt, grid)), self.conv_gate(self._map(gate, grid))]
        x = quick_gelu(torch.cat(maps, dim=2)[0])
        channels = self.attention(x.mean((2, 3))[:, None]).transpose(1, 2)[..., None]
        x = self.dropout(x * torch.sigmoid(channels))
        x = quick_gelu(self.conv_out(x[None])[0]).flatten(2).transpose(1, 2)
        return prompt + x if self.options.residual else x

    def _map(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Lay tokens (B, P, F) out on the grid: (1, B, F, h, w), as the convolutions take them."""
        x = tokens.transpose(1, 2).unflatten(2, grid)
        return (x.transpose(2, 3) if self.options.swap_grid else x)[None]


class IsolatedGatingAdapter(nn.Module):
    """Experts on the tokens of all modalities of a position, with a router that sees the prompt too (IGMA).

    BIG-MoE (arXiv 2412.18065): the tokens of a position are projected down and laid side by side, c of M r
    numbers. The router sees `[g(W_c c); g(W_p prompt)]`, the experts see c only: the prompt says who answers,
    never what.

    Args:
        spec: What the trunk yields.
        adapter_dims: Width r of each modality, and of each half of the gate.
        experts: Arguments of `ProductKeyExperts`.
        prompt: See `PromptOptions`.
        arithmetic: See `BlockArithmetic`.
        isolated: Keep the prompt from the experts; if False the gate is projected and added to what they see.
        dropout: Share dropped while training, in [0, 1).
        makes_prompt: Whether there is a bypass.
    """

    def __init__(
        self,
        spec: StreamSpec,
        *,
        adapter_dims: int,
        experts: Mapping[str, Any],
        prompt: PromptOptions,
        arithmetic: BlockArithmetic,
        isolated: bool,
        dropout: float,
        makes_prompt: bool,
    ) -> None:
        super().__init__()
        row, gate_dims = len(spec.modalities) * adapter_dims, 2 * adapter_dims
        self.activate_up = arithmetic.activate_up
        self.down = nn.Linear(spec.token_dims, adapter_dims)
        self.gate_features = nn.Linear(row, adapter_dims)
        self.gate_prompt = nn.Linear(prompt.dims, adapter_dims)
        self.leak = None if isolated else nn.Linear(gate_dims, row)
        self.experts = ProductKeyExperts(row, gate_dims, **experts)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(adapter_dims, spec.token_dims)
        if arithmetic.zero_up:
            nn.init.zeros_(self.up.weight)
            nn.init.zeros_(self.up.bias)
        self.bypass = PromptBypass(gate_dims, options=prompt, dropout=dropout) if makes_prompt else None

    def forward(
        self, patches: Tensor, prompt: Tensor, *, present: Tensor, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Routing]:
        """Adapt the patch tokens of all modalities.

        Args:
            patches: Patch tokens (B, M, P, C).
            prompt: Prompt (B, P, V).
            present: Boolean mask (B, M): an absent modality is zero for gate and experts.
            grid: Rows and columns of the patches.

        Returns:
            What to add to the patches (B, M, P, C), the next prompt (B, P, V), and the routing (B, P, H, T).
        """
        low = quick_gelu(self.down(patches))
        low = torch.where(present[..., None, None], low, low.new_zeros(()))
        rows = low.transpose(1, 2).flatten(2)  # (B, P, M*r)
        gate = quick_gelu(torch.cat([self.gate_features(rows), self.gate_prompt(prompt)], dim=-1))
        seen = rows if self.leak is None else rows + self.leak(gate)
        mixed, routing = self.experts(seen, gate)
        mixed = mixed.unflatten(2, (patches.shape[1], -1)).transpose(1, 2)
        delta = self.up(self.dropout(mixed))
        if self.activate_up:
            delta = quick_gelu(delta)
        return delta, prompt if self.bypass is None else self.bypass(prompt, gate, grid), routing
