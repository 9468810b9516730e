"""The decoder of pretraining: it reads the tokens of all modalities and restores the pixels of all.

Legend: M modalities, B batch, L tokens of a stream, P patches of an image, C width of the trunk, D own width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmfas.models.specs import StreamSpec
from mmfas.registry import MODELS
from mmfas.utils.errors import InputError

__all__ = ['CrossModalDecoder']


@MODELS.register_module()
class CrossModalDecoder(BaseModule):
    """A short transformer over the tokens of all modalities, thrown away after pretraining.

    It reads the tokens after the last block and, as one token more per modality, the readout that a neck gets: so
    the final norm and the pooling of the trunk are trained, too.

    Args:
        spec: What the trunk yields; given by the model.
        patch_size: Side of a patch in pixels.
        dims: Width D.
        num_layers: Transformer layers.
        num_heads: Attention heads.
        feedforward_channels: Width of the hidden layer.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If the trunk has no tokens on a grid, or the width is not a multiple of the heads.
    """

    #: Arguments the model gives, so that configs need not.
    injected = ('spec',)

    def __init__(
        self,
        spec: StreamSpec,
        *,
        patch_size: int = 16,
        dims: int = 128,
        num_layers: int = 2,
        num_heads: int = 4,
        feedforward_channels: int = 256,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        if spec.token_dims is None or spec.grid is None or spec.image_size is None:
            raise InputError(f'CrossModalDecoder reads patch tokens on a grid, but {spec.trunk} yields none')
        if spec.image_size != tuple(patch_size * n for n in spec.grid):
            raise InputError(
                f'patch_size {patch_size} does not make the grid {spec.grid} of {spec.trunk} out of images of '
                f'{spec.image_size}; give the patch size of the trunk'
            )
        if dims % num_heads:
            raise InputError(f'dims {dims} is not a multiple of num_heads {num_heads}')
        self.spec, self.patch_size = spec, patch_size
        rows, columns = spec.grid
        self.num_patches = rows * columns
        num_modalities = len(spec.modalities)
        self.tokens = nn.Sequential(nn.LayerNorm(spec.token_dims), nn.Linear(spec.token_dims, dims))
        self.summary = nn.Linear(spec.embed_dims, dims)
        self.unseen = nn.Parameter(torch.zeros(dims))
        self.positions = nn.Parameter(torch.zeros(num_modalities, spec.num_prefix + self.num_patches + 1, dims))
        layer = nn.TransformerEncoderLayer(
            dims,
            num_heads,
            feedforward_channels,
            dropout=0.0,
            activation='gelu',
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, num_layers, nn.LayerNorm(dims), enable_nested_tensor=False)
        self.pixels = nn.Linear(dims, 3 * patch_size**2)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny decoder, for images of 8-pixel patches."""
        return dict(type=cls.__name__, patch_size=8, dims=16, num_heads=2, feedforward_channels=16)

    def init_weights(self) -> None:
        """Draw the positions and the stand-in for what is hidden."""
        if not self.is_init:
            trunc_normal_(self.positions, std=0.02)
            trunc_normal_(self.unseen, std=0.02)
        super().init_weights()

    def forward(self, streams: Tensor, readouts: Tensor, hidden: Tensor) -> Tensor:
        """Restore the patches of all modalities.

        Args:
            streams: Tokens after the last block of the trunk (M, B, L, C).
            readouts: What the trunk reads out (M, B, embed_dims).
            hidden: Boolean mask (B, M): modalities of which nothing is read.

        Returns:
            Normalised pixels (M, B, P, 3 * patch_size^2), of a patch in the order channel, row, column.
        """
        x = torch.cat([self.tokens(streams), self.summary(readouts)[:, :, None]], dim=2)  # (M, B, L + 1, D)
        x = torch.where(hidden.t()[:, :, None, None], self.unseen.to(x.dtype), x)
        x = x + self.positions[:, None].to(x.dtype)
        num_modalities, batch, length = x.shape[:3]
        x = self.layers(x.transpose(0, 1).flatten(1, 2))  # (B, M * (L + 1), D)
        x = x.unflatten(1, (num_modalities, length)).transpose(0, 1)
        first = self.spec.num_prefix
        return self.pixels(x[:, :, first : first + self.num_patches])

    def patches(self, images: Tensor) -> Tensor:
        """Cut images (..., 3, H, W) into patches (..., P, 3 * patch_size^2) in the order of the tokens."""
        return cut_patches(images, self.patch_size)


def cut_patches(images: Tensor, patch_size: int) -> Tensor:
    """Cut images into patches.

    Args:
        images: Images (..., 3, H, W).
        patch_size: Side of a patch, which divides both sides of the images.

    Returns:
        Patches (..., rows * columns, 3 * patch_size^2), of a patch in the order channel, row, column.

    >>> cut_patches(torch.zeros(2, 3, 32, 16), 8).shape
    torch.Size([2, 8, 192])
    """
    height, width = images.shape[-2:]
    grid: Sequence[int] = (height // patch_size, patch_size, width // patch_size, patch_size)
    x = images.unflatten(-1, grid[2:]).unflatten(-3, grid[:2])  # (..., 3, rows, p, columns, p)
    x = x.movedim((-4, -2), (-5, -4))  # (..., rows, columns, 3, p, p)
    return x.flatten(-3).flatten(-3, -2)
