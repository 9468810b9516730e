"""PCGrad: what conflicts with the gradient of another modality is projected out.

Legend: M modalities, P entries of all trainable parameters.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmfas.engine.modulators.base import BaseModulator, ModalityGradients
from mmfas.engine.modulators.segments import inner_products, ratio
from mmfas.registry import GRADIENT_MODULATORS
from mmfas.utils.errors import InputError


@GRADIENT_MODULATORS.register_module()
class PCGrad(BaseModulator):
    """Project each modality's gradient off those it is in conflict with, and add the results.

    From "Gradient Surgery for Multi-Task Learning" (arXiv 2001.06782), Algorithm 1, on the joined gradient of all
    parameters: for each modality i, over the other modalities j in random order, with g_i as it is by then,
    `g_i <- g_i - (g_i . g_j) / |g_j|^2 g_j` where `g_i . g_j < 0`.

    The order is drawn in each step from the seed and the number of the step, the same on every process and
    in a resumed run. The gradient of the main losses takes no part.

    Args:
        seed: Seed of the orders, not negative.
    """

    min_modalities = 2

    def __init__(self, *, seed: int = 0) -> None:
        if seed < 0:
            raise InputError(f'seed must not be negative, got {seed}')
        self.seed = seed
        self.num_steps = 0

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config that builds this rule."""
        return {'type': 'PCGrad', 'seed': 0}

    def modulate(self, gradients: ModalityGradients) -> Tensor:
        """Return the sum of the projected rows, shape (P,)."""
        rows = gradients.rows
        orders = draw_orders(len(rows), self.seed, step=self.num_steps)
        self.num_steps += 1
        weights = surgery(inner_products(rows), orders.to(rows.device, non_blocking=True))
        return weights.sum(0).to(rows.dtype) @ rows

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps."""
        return {'num_steps': self.num_steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.num_steps = state_dict['num_steps']


def draw_orders(num: int, seed: int, *, step: int) -> Tensor:
    """Draw the order in which each of `num` modalities is projected off the others.

    Args:
        num: Number of modalities M.
        seed: Seed of the run.
        step: Number of the step.

    Returns:
        For each modality the numbers of the others, shape (M, M - 1).
    """
    generator = torch.Generator().manual_seed((seed << 32) + step)
    orders = [[j for j in torch.randperm(num, generator=generator).tolist() if j != i] for i in range(num)]
    return torch.tensor(orders, dtype=torch.long).reshape(num, num - 1)


def surgery(products: Tensor, orders: Tensor) -> Tensor:
    """Say how much of each row is in each projected row.

    Args:
        products: Inner products of the rows (M, M).
        orders: For each row the others in their order (M, M - 1).

    Returns:
        Weights (M, M): projected row i is `weights[i] @ rows`.
    """
    weights = torch.eye(len(products), dtype=products.dtype, device=products.device)
    for other in orders.unbind(1):  # each row is projected off one other at a time
        against = (weights * products[other]).sum(1).clamp(max=0)
        cut = ratio(against, products.diagonal()[other])
        weights = weights - cut[:, None] * torch.nn.functional.one_hot(other, len(products))
    return weights
