"""The feed-forward part of a transformer, for graphs that several backward passes go through."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from mmcv.cnn.bricks.wrappers import Linear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class RepeatableGELU(nn.GELU):
    """GELU that says to `feed_forward` whether several backward passes are to come; a `RepeatAware` layer."""

    expects_repeats: bool = False

    @classmethod
    def replace_in(cls, module: nn.Module) -> None:
        """Put this activation in place of every `torch.nn.GELU` below a module."""
        for parent in module.modules():
            for name, child in list(parent._modules.items()):
                if type(child) is nn.GELU:
                    setattr(parent, name, cls(child.approximate))


def feed_forward(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Run the layers of mmcv's `FFN` without its identity: `layers(x)`, value for value and gradient for gradient.

    Where several backward passes are to come, the forward pass keeps the slope of the GELU instead of its input,
    and each backward pass multiplies by it in place. These are the widest tensors of the network, so on a CPU the
    time goes into moving them through memory. It is done in float32 only, and does not support second derivatives.

    Args:
        layers: Two linear layers, the first followed by activation and dropout.
        x: Tokens (..., C).

    Returns:
        Tokens (..., C).
    """
    parts = _repeated_parts(layers, x)
    if parts is None:
        return layers(x)
    return layers[2:](_GELULinear.apply(parts.up(x), parts.down.weight, parts.down.bias, parts.act.approximate))


class _Parts(NamedTuple):
    """The layers between which the slope is kept."""

    up: nn.Module
    act: RepeatableGELU
    down: nn.Linear


def _repeated_parts(layers: nn.Sequential, x: Tensor) -> _Parts | None:
    """Return the layers if they are those known and several backward passes will come, else None."""
    if len(layers) < 2 or not isinstance(layers[0], nn.Sequential) or len(layers[0]) != 3:
        return None
    (up, act, drop), down = list(layers[0]), layers[1]
    if not isinstance(act, RepeatableGELU) or not act.expects_repeats or not torch.is_grad_enabled():
        return None
    # subclasses, such as those of parameter-efficient training, may compute something else
    if not isinstance(down, nn.Linear) or type(down) not in (nn.Linear, Linear):
        return None
    is_single = x.device.type == 'cpu' and x.dtype == torch.float32 and not torch.is_autocast_enabled('cpu')
    drops = not isinstance(drop, nn.Dropout) or (drop.training and drop.p > 0)
    return _Parts(up, act, down) if is_single and not drops else None


class _GELULinear(torch.autograd.Function):
    """A linear layer after a GELU of which the slope is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, approximate: str) -> Tensor:
        slope = torch.ops.aten.gelu_backward(x.new_ones(()).expand_as(x), x, approximate=approximate)
        hidden = functional.gelu(x, approximate=approximate)
        ctx.save_for_backward(slope, weight, hidden if weight.requires_grad else None)
        return functional.linear(hidden, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        slope, weight, hidden = ctx.saved_tensors
        of_x, of_weight, of_bias, _ = ctx.needs_input_grad
        rows = gradient.reshape(-1, gradient.shape[-1])
        # nothing else holds the product, so it may be overwritten
        d_x = torch.mm(rows, weight).view_as(slope).mul_(slope) if of_x else None
        d_weight = torch.mm(rows.t(), hidden.reshape(-1, hidden.shape[-1])) if of_weight else None
        return d_x, d_weight, rows.sum(0) if of_bias else None, None
