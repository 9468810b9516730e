"""Patch, class and position embedding of a vision transformer that serves several streams at once.

Legend: M modalities, G groups of embeddings (M where each modality has its own, else 1), B batch, L tokens,
C token width, h x w patch grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.utils.errors import InputError

EMBEDDINGS = ('patch', 'cls', 'pos')


class StreamEmbedding(nn.Module):
    """Patch, class and position embedding of all modalities, each shared or one per modality.

    It takes over the embedding of a vision transformer; where modalities have their own, all start as copies.

    Args:
        vit: mmpretrain's VisionTransformer.
        num_streams: Number of modalities M.
        per_modality: Which of `'patch'`, `'cls'`, `'pos'` every modality has of its own.

    Raises:
        ValueError: If the transformer normalises its patches (`patch_cfg.norm_cfg`).
    """

    def __init__(self, vit: Any, *, num_streams: int, per_modality: Sequence[str] = ()) -> None:
        super().__init__()
        if vit.patch_embed.norm is not None:
            raise InputError('a norm after the patch convolution (patch_cfg.norm_cfg) is not supported; remove it')
        conv = vit.patch_embed.projection
        self.per_modality = tuple(per_modality)
        self.num_streams = num_streams
        self.stride, self.padding, self.dilation = conv.stride, conv.padding, conv.dilation
        self.pad_to_stride = vit.patch_embed.adaptive_padding is not None
        self.base_grid = tuple(vit.patch_embed.init_out_size)
        self.mode = vit.interpolate_mode
        self.patch_weight = self._stack(conv.weight[None], 'patch')
        self.patch_bias = None if conv.bias is None else self._stack(conv.bias[None], 'patch')
        self.cls_token = None if vit.cls_token is None else self._stack(vit.cls_token, 'cls')
        self.pos_embed = self._stack(vit.pos_embed, 'pos')

    def _stack(self, tensor: Tensor, name: str) -> nn.Parameter:
        """Make the parameter (G, ...) out of a tensor (1, ...)."""
        groups = self.num_streams if name in self.per_modality else 1
        return nn.Parameter(tensor.detach().repeat(groups, *[1] * (tensor.dim() - 1)))

    @property
    def num_prefix(self) -> int:
        """Number of class tokens, 0 or 1."""
        return 0 if self.cls_token is None else 1

    def owned(self) -> list[nn.Parameter]:
        """Return the stacked parameters of which modality m owns slice m."""
        named: dict[str, list[nn.Parameter | None]] = {
            'patch': [self.patch_weight, self.patch_bias],
            'cls': [self.cls_token],
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
        if self.cls_token is not None:
            cls = self.cls_token[:, None].expand(*tokens.shape[:2], -1, -1)
            tokens = torch.cat([cls, tokens], dim=2)
        return tokens + self._positions(self.grid(images.shape[-2:]))[:, None]

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

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """Return positions (G, L, C) for this grid, interpolated where it is not the one they were made for."""
        return resize_positions(self.pos_embed, self.base_grid, grid, num_prefix=self.num_prefix, mode=self.mode)


def resize_positions(
    positions: Tensor, source: tuple[int, ...], target: tuple[int, ...], *, num_prefix: int, mode: str = 'bicubic'
) -> Tensor:
    """Interpolate position embeddings to another patch grid.

    Args:
        positions: Embeddings (G, num_prefix + rows * columns, C).
        source: Rows and columns they were made for.
        target: Rows and columns wanted.
        num_prefix: Leading positions that do not belong to a patch; they are kept.
        mode: Interpolation, as in `torch.nn.functional.interpolate`.

    Returns:
        Embeddings (G, num_prefix + target rows * columns, C).
    """
    if tuple(source) == tuple(target):
        return positions
    prefix, patches = positions[:, :num_prefix], positions[:, num_prefix:]
    image = patches.transpose(1, 2).unflatten(2, tuple(source))
    image = functional.interpolate(image, size=tuple(target), mode=mode, align_corners=False)
    return torch.cat([prefix, image.flatten(2).transpose(1, 2)], dim=1)
