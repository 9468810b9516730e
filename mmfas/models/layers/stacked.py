"""Layers of which every modality has its own, run as one computation.

Legend: A copies (usually one per modality), N rows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmfas.utils.errors import InputError


class StackedLinear(nn.Module):
    """A linear layers side by side, as one batched product.

    The weights are stacked: copy a owns slice a of `weight` (A, out, in) and `bias` (A, out).

    Args:
        num_copies: Number A of layers.
        in_features: Width of the input.
        out_features: Width of the output.
        bias: Whether to add a bias.

    >>> StackedLinear(3, in_features=4, out_features=2)(torch.zeros(3, 5, 7, 4)).shape
    torch.Size([3, 5, 7, 2])
    """

    def __init__(self, num_copies: int, *, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_copies, out_features, in_features))
        self.bias = nn.Parameter(torch.empty(num_copies, out_features)) if bias else None
        bound = 1 / math.sqrt(in_features)  # the same as nn.Linear
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    @property
    def required_bias(self) -> nn.Parameter:
        """The bias (A, out), for code that is written for layers with one."""
        if self.bias is None:
            raise InputError('these layers were made without a bias')
        return self.bias

    def zero_(self) -> StackedLinear:
        """Set weights and bias to zero, so that a residual branch starts as nothing."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map (A, *rows, in) to (A, *rows, out), slice a by layer a."""
        rows = x.flatten(1, -2)
        weight = self.weight.transpose(1, 2)
        out = torch.bmm(rows, weight) if self.bias is None else torch.baddbmm(self.bias[:, None], rows, weight)
        return out.unflatten(1, x.shape[1:-1])
