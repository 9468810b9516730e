"""Activations that torch does not have."""

from __future__ import annotations

import torch
from torch import Tensor


def quick_gelu(x: Tensor) -> Tensor:
    """Approximate GELU: `x * sigmoid(1.702 x)`, for any shape."""
    return x * torch.sigmoid(1.702 * x)
