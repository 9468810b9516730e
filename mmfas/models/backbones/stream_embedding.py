"""Patch, class and position embedding of a vision transformer that serves several streams at once.

Legend: M modalities, G groups of embeddings (M where each modality has its own, else 1), B batch, L tokens,
C token width, h x w patch grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.utils.errors import InputError

EMBEDDINGS = ('patch', 'cls', 'pos')
#: Tokens before the patches, in order.
PREFIX = ('cls_token', 'dist_token', 'registers')


@dataclass(frozen=True)
class EmbeddingParts:
    """What turns images into tokens, in a transformer of any family.

    Args:
        conv: Convolution that embeds the patches.
        norm: Norm after it, or None.
        base_grid: Rows and columns of patches that the positions were made for.
        prefix: Tokens before the patches (1, n, C), by their names in the embedding, in order.
        num_positioned: How many of these tokens, from the first, have a position.
        pos_embed: Positions (1, num_positioned + P, C), or None where there are no absolute ones.
        pad_to_stride: Whether images are padded until the last patch is whole.
        mode: Interpolation of positions for another grid.
        antialias: Whether it is smoothed where the grid shrinks.
    """

    conv: Any
    norm: Any
    base_grid: tuple[int, ...]
    prefix: Mapping[str, Tensor]
    num_positioned: int
    pos_embed: Tensor | None
    pad_to_stride: bool = False
    mode: str = 'bicubic'
    antialias: bool = False


class StreamEmbedding(nn.Module):
    """Patch, class and position embedding of all modalities, each shared or one per modality.

    It takes over the embedding of a vision transformer; where modalities have their own, all start as copies.

    Args:
        parts: What turns images into tokens in the transformer.
        num_streams: Number of modalities M.
        per_modality: Which of `'patch'`, `'cls'`, `'pos'` every modality has of its own; `'cls'` are all tokens
            before the patches.

    Raises:
        ValueError: If the transformer normalises its patches (`patch_cfg.norm_cfg`), or positions are to be there
            for each modality where there are none.
    """

    def __init__(self, parts: EmbeddingParts, *, num_streams: int, per_modality: Sequence[str] = ()) -> None:
        super().__init__()
        if parts.norm is not None:
            raise InputError('a norm after the patch convolution (patch_cfg.norm_cfg) is not supported; remove it')
        if parts.pos_embed is None and 'pos' in per_modality:
            raise InputError("per_modality cannot hold 'pos': this transformer has no absolute positions")
        conv = parts.conv
        self.per_modality = tuple(per_modality)
        self.num_streams = num_streams
        self.stride, self.padding, self.dilation = conv.stride, conv.padding, conv.dilation
        self.pad_to_stride = parts.pad_to_stride
        self.base_grid = parts.base_grid
        self.mode, self.antialias = parts.mode, parts.antialias
        self.patch_weight = self._stack(conv.weight[None], 'patch')
        self.patch_bias = None if conv.bias is None else self._stack(conv.bias[None], 'patch')
        self.num_positioned = parts.num_positioned
        for name in PREFIX:
            token = parts.prefix.get(name)
            self.register_parameter(name, None if token is None else self._stack(token, 'cls'))
        self.pos_embed = None if parts.pos_embed is None else self._stack(parts.pos_embed, 'pos')

    def _stack(self, tensor: Tensor, name: str) -> nn.Parameter:
        """Make the parameter (G, ...) out of a tensor (1, ...)."""
        groups = self.num_streams if name in self.per_modality else 1
        return nn.Parameter(tensor.detach().repeat(groups, *[1] * (tensor.dim() - 1)))

    @property
    def prefix_tokens(self) -> list[nn.Parameter]:
        """Tokens before the patches (G, n, C): class token, distillation token, registers."""
        return [token for name in PREFIX if (token := getattr(self, name)) is not None]

    @property
    def num_prefix(self) -> int:
        """Number of tokens before the patches."""
        return sum(token.shape[1] for token in self.prefix_tokens)

    def owned(self) -> list[nn.Parameter]:
        """Return the stacked parameters of which modality m owns slice m."""
        named: dict[str, list[nn.Parameter | None]] = {
            'patch': [self.patch_weight, self.patch_bias],
            'cls': [*self.prefix_tokens],
            'pos': [self.pos_embed],
        }
        return [p for name in EMBEDDINGS if name in self.per_modality for p in named[name] if p is not None]

    def grid(self, image_size: Sequence[int]) -> tuple[int, int]:
        """Return rows and columns of the patch grid for images of `image_size` (H, W) pixels."""
        kernel = self.patch_weight.shape[-2:]
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilation, kernel)]
        if self.pad_to_stride:
            rows, columns = (math.ceil(n / s) for n, s in zip(image_size, self.stride))
        else:
            rows, columns = (
                (n + 2 * p - span) // s + 1 for n, p, span, s in zip(image_size, self.padding, spans, self.stride)
            )
        return rows, columns

    def forward(self, images: Tensor) -> Tensor:
        """Embed images (M, B, 3, H, W) as streams (M, B, L, C)."""
        tokens = self._patches(images)
        prefix = [token[:, None].expand(*tokens.shape[:2], -1, -1) for token in self.prefix_tokens]
        if self.pos_embed is None:
            return torch.cat([*prefix, tokens], dim=2) if prefix else tokens
        positions = self._positions(self.pos_embed, self.grid(images.shape[-2:]))[:, None]
        if self.num_positioned == self.num_prefix:
            return (torch.cat([*prefix, tokens], dim=2) if prefix else tokens) + positions
        before = torch.cat(prefix, dim=2)
        number = self.num_positioned
        placed = before[:, :, :number] + positions[:, :, :number]
        return torch.cat([placed, before[:, :, number:], tokens + positions[:, :, number:]], dim=2)

    def _patches(self, images: Tensor) -> Tensor:
        """Return the patch tokens (M, B, h*w, C); own embeddings run as one computation."""
        streams, batch = images.shape[:2]
        groups = self.patch_weight.shape[0]
        if self.pad_to_stride:
            images = self._pad(images)
        if groups > 1 and self._is_tiling():
            return self._tiles(images)
        x = images.flatten(0, 1) if groups == 1 else images.transpose(0, 1).flatten(1, 2)
        weight = self.patch_weight.flatten(0, 1)
        bias = None if self.patch_bias is None else self.patch_bias.flatten()
        x = functional.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, groups)
        x = x.flatten(2).transpose(1, 2)  # (M*B, h*w, C), or (B, h*w, M*C) when grouped
        if groups == 1:
            return x.unflatten(0, (streams, batch))
        return x.unflatten(2, (streams, -1)).permute(2, 0, 1, 3)

    def _is_tiling(self) -> bool:
        """Tell whether patches lie side by side, as in every usual transformer."""
        kernel = tuple(self.patch_weight.shape[-2:])
        return tuple(self.stride) == kernel and (*self.padding, *self.dilation) == (0, 0, 1, 1)

    def _tiles(self, images: Tensor) -> Tensor:
        """Embed patches that lie side by side, (M, B, h*w, C); a product is faster than a grouped convolution."""
        rows, columns = self.patch_weight.shape[-2:]
        h, w = images.shape[-2] // rows, images.shape[-1] // columns
        x = images[..., : h * rows, : w * columns].unflatten(-1, (w, columns)).unflatten(-3, (h, rows))
        x = x.permute(0, 1, 3, 5, 2, 4, 6).flatten(4).flatten(1, 3)  # (M, B*h*w, 3*rows*columns)
        weight = self.patch_weight.flatten(2).transpose(1, 2)
        x = torch.bmm(x, weight) if self.patch_bias is None else torch.baddbmm(self.patch_bias[:, None], x, weight)
        return x.unflatten(1, (images.shape[1], h * w))

    def _pad(self, x: Tensor) -> Tensor:
        """Pad on the right and below until the last patch is whole, as mmcv's `corner` padding."""
        kernel = self.patch_weight.shape[-2:]
        rows, columns = (
            max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
            for n, s, d, k in zip(x.shape[-2:], self.stride, self.dilation, kernel)
        )
        return functional.pad(x, (0, columns, 0, rows)) if rows or columns else x

    def _positions(self, positions: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return positions (G, L, C) for this grid, interpolated where it is not the one they were made for."""
        options: dict[str, Any] = dict(num_prefix=self.num_positioned, mode=self.mode, antialias=self.antialias)
        return resize_positions(positions, self.base_grid, grid, **options)


def resize_positions(
    positions: Tensor,
    source: tuple[int, ...],
    target: tuple[int, ...],
    *,
    num_prefix: int,
    mode: str = 'bicubic',
    antialias: bool = False,
) -> Tensor:
    """Interpolate position embeddings to another patch grid.

    Args:
        positions: Embeddings (G, num_prefix + rows * columns, C).
        source: Rows and columns they were made for.
        target: Rows and columns wanted.
        num_prefix: Leading positions that do not belong to a patch; they are kept.
        mode: Interpolation, as in `torch.nn.functional.interpolate`.
        antialias: Smooth where the grid shrinks, as there.

    Returns:
        Embeddings (G, num_prefix + target rows * columns, C).
    """
    if tuple(source) == tuple(target):
        return positions
    prefix, patches = positions[:, :num_prefix], positions[:, num_prefix:]
    image = patches.transpose(1, 2).unflatten(2, tuple(source))
    image = functional.interpolate(image, size=tuple(target), mode=mode, align_corners=False, antialias=antialias)
    return torch.cat([prefix, image.flatten(2).transpose(1, 2)], dim=1)
