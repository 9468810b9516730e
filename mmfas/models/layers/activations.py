"""Activations that torch does not have."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


def quick_gelu(x: Tensor) -> Tensor:
    """Approximate GELU: `x * sigmoid(1.702 x)`, for any shape."""
    return x * torch.sigmoid(1.702 * x)


class RepeatableGELU(nn.GELU):
    """GELU for graphs that several backward passes go through.

    Values and gradients are those of `torch.nn.GELU`, bit by bit. Where `keeps_slope` is set, the forward pass
    keeps the slope in place of the input, so that each backward pass is one product. Whoever goes through the
    graph several times sets it; it acts on a CPU in single precision, where the slope costs more than memory.
    """

    keeps_slope = False

    def forward(self, x: Tensor) -> Tensor:
        """Activate tensors of any shape."""
        is_costly = x.device.type == 'cpu' and x.dtype == torch.float32
        if self.keeps_slope and is_costly and torch.is_grad_enabled() and x.requires_grad:
            return _KeptSlope.apply(x, self.approximate)
        return super().forward(x)

    @classmethod
    def replace_in(cls, module: nn.Module) -> None:
        """Put this activation in place of every `torch.nn.GELU` below a module."""
        for parent in module.modules():
            for name, child in parent.named_children():
                if type(child) is nn.GELU:
                    setattr(parent, name, cls(child.approximate))

    @classmethod
    def set_in(cls, module: nn.Module, *, keeps_slope: bool) -> None:
        """Say for all of these activations below a module whether several backward passes are to come."""
        for child in module.modules():
            if isinstance(child, cls):
                child.keeps_slope = keeps_slope


class _KeptSlope(torch.autograd.Function):
    """GELU that keeps its slope."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, approximate: str) -> Tensor:
        slope = torch.ops.aten.gelu_backward(x.new_ones(()).expand_as(x), x, approximate=approximate)
        ctx.save_for_backward(slope)
        return functional.gelu(x, approximate=approximate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None
