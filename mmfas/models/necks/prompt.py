"""Prompts of BIG-MoE: made of the images and the missing code, and carried past the experts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.layers.activations import quick_gelu
from mmfas.models.layers.central_difference import CentralDifferenceConv
from mmfas.models.specs import StreamSpec
from mmfas.utils.errors import InputError


@dataclass(frozen=True)
class PromptOptions:
    """How the prompt is made and passed on.

    Args:
        dims: Width V.
        theta: Weight theta of the central-difference term in its convolutions, in [0, 1].
        bypass: Change the prompt from block to block; if False all blocks see the first one.
        residual: Add what the bypass makes to the prompt (the figure); if False it replaces it (as released).
        swap_grid: Take rows for columns in every bypass and leave the tokens so (as released): the prompt is
            transposed against the patches in every second block.
        last_bypass: Run the bypass of the last block too (as released), though its prompt is never used.
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
            raise InputError(
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
    """Change the prompt by what the gate has seen, with convolutions that bypass the transformer.

    BIG-MoE (arXiv 2412.18065), convolutional prompt bypass: `g(cdc(dropout(eca(g(cat[cdc(P), cdc(gate)])))))`,
    with the efficient channel attention of ECA-Net (arXiv 1910.03151).

    Args:
        gate_dims: Width G.
        options: See `PromptOptions`.
        dropout: Dropout probability, in [0, 1).
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
