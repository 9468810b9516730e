"""Central difference convolution: a convolution that also looks at differences to the centre.

Legend: A copies (usually one per modality), B batch, C channels, k kernel size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.utils.errors import InputError


def central_difference_kernel(weight: Tensor, theta: float) -> Tensor:
    """Fold the central difference into the kernel, so that one ordinary convolution does it.

    Args:
        weight: Kernels (..., k, k), k odd.
        theta: Weight of the difference term, in [0, 1]; 0 is the plain convolution.

    Returns:
        Kernels (..., k, k) with `theta * sum(weight)` taken from the centre.
    """
    centre = weight.shape[-1] // 2
    mask = torch.zeros(weight.shape[-2:], dtype=weight.dtype, device=weight.device)
    mask[centre, centre] = theta
    return weight - mask * weight.sum(dim=(-2, -1), keepdim=True)


class CentralDifferenceConv(nn.Module):
    """A central difference convolutions side by side, without bias, as one grouped convolution.

    From "Searching Central Difference Convolutional Networks for Face Anti-Spoofing" (arXiv 2003.04092), Eq. 4:
    `y(p) = sum_n w(n) x(p + n) - theta x(p) sum_n w(n)`. Size is kept by zero padding.

    Args:
        in_channels: Channels of the input of one copy.
        out_channels: Channels of the output of one copy.
        num_copies: Number A of convolutions; copy a owns slice a of `weight` (A, out, in, k, k).
        kernel_size: Side k of the kernel, odd.
        theta: Weight of the difference term, in [0, 1].

    >>> CentralDifferenceConv(4, 4, num_copies=3)(torch.zeros(3, 2, 4, 5, 5)).shape
    torch.Size([3, 2, 4, 5, 5])
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, num_copies: int = 1, kernel_size: int = 3, theta: float = 0.7
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0 or not 0 <= theta <= 1:
            raise InputError(f'kernel_size must be odd and theta in [0, 1], but got {kernel_size} and {theta}')
        self.theta = theta
        self.weight = nn.Parameter(torch.empty(num_copies, out_channels, in_channels, kernel_size, kernel_size))
        bound = 1 / math.sqrt(in_channels * kernel_size**2)  # the same as nn.Conv2d
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve maps (A, B, in, h, w) to (A, B, out, h, w), slice a by copy a."""
        copies, kernel = self.weight.shape[0], self.weight.shape[-1]
        weight = central_difference_kernel(self.weight, self.theta).flatten(0, 1)
        rows = x.transpose(0, 1).flatten(1, 2)  # (B, A*in, h, w)
        out = functional.conv2d(rows, weight, padding=kernel // 2, groups=copies)
        return out.unflatten(1, (copies, -1)).transpose(0, 1)
