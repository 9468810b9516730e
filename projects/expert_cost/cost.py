"""What a layer of product-key experts costs, by the number of experts: its passes, and the update of its weights.

Legend: E experts, N rows, D width of the input of the experts, G width of the input of the router.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from mmfas.analysis.speed import time_side_by_side
from mmfas.engine.optimizers import RowAdamW
from mmfas.models.layers import ProductKeyExperts
from mmfas.utils.errors import InputError

#: What is timed: forward and backward pass, with dense or sparse gradients of the tables.
PASSES = ('dense', 'sparse')
#: What is timed: the update of all weights of the layer, and the gradients that each takes.
UPDATES: dict[str, tuple[str, Callable[..., torch.optim.Optimizer]]] = {
    'AdamW': ('dense', torch.optim.AdamW),
    'AdamW, fused': ('dense', lambda parameters, lr: torch.optim.AdamW(parameters, lr=lr, fused=True)),
    'RowAdamW': ('sparse', lambda parameters, lr: RowAdamW(parameters, lr=lr, fused=True)),
}


@dataclass(frozen=True)
class LayerShape:
    """The layer that is timed, except for its number of experts; the defaults are those of BIG-MoE at ViT-B/16.

    Args:
        num_rows: Number N of rows in a batch: samples times positions of the patch grid.
        dims: Width D.
        gate_dims: Width G.
        num_heads: Heads of the router.
        top_k: Experts per head.
        key_dims: Width of a half key.
    """

    num_rows: int = 8 * 196
    dims: int = 24
    gate_dims: int = 16
    num_heads: int = 2
    top_k: int = 2
    key_dims: int = 8


@dataclass(frozen=True)
class ExpertCost:
    """What a layer with one number of experts costs.

    Args:
        num_experts: Number E.
        num_taken: Number of experts that the rows selected.
        passes_ms: Median of a forward and a backward pass, by kind of gradients, in milliseconds.
        updates_ms: Median of an update of all weights, by optimizer, in milliseconds.
    """

    num_experts: int
    num_taken: int
    passes_ms: dict[str, float]
    updates_ms: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return asdict(self)

    def step_ms(self, update: str) -> float:
        """Return the cost of both passes and one kind of update, in milliseconds."""
        return self.passes_ms[UPDATES[update][0]] + self.updates_ms[update]


@dataclass(frozen=True)
class PowerLaw:
    """Cost as a constant and a power: `constant_ms + factor_ms E ** exponent`.

    Args:
        constant_ms: What even one expert costs, in milliseconds.
        factor_ms: What the first one adds, in milliseconds.
        exponent: How the rest grows; 0.5 is the square root.
    """

    constant_ms: float
    factor_ms: float
    exponent: float

    def __call__(self, num_experts: float) -> float:
        """Return the cost at a number of experts, in milliseconds."""
        return self.constant_ms + self.factor_ms * num_experts**self.exponent

    def __str__(self) -> str:
        """Return the formula, in milliseconds."""
        return f'{self.constant_ms:.2f} + {self.factor_ms:.4f} E^{self.exponent:.2f}'


def fit_power_law(numbers: Sequence[int], values_ms: Sequence[float]) -> PowerLaw:
    """Fit a constant and a power to costs by least squares of relative errors.

    Args:
        numbers: Numbers of experts, at least three different ones.
        values_ms: Cost of each, above zero.

    Returns:
        The fit; constant and factor are not below zero, the exponent is one of 0.01, 0.02, ..., 2.

    Raises:
        ValueError: If there are too few numbers.

    >>> fit_power_law([16, 64, 256, 1024], [5.0, 9.0, 17.0, 33.0])
    PowerLaw(constant_ms=1.0, factor_ms=1.0, exponent=0.5)
    """
    if len(set(numbers)) < 3:
        raise InputError(f'a fit needs at least three numbers of experts, but got {list(numbers)}')
    experts = torch.tensor(numbers, dtype=torch.float64)
    weight = 1 / torch.tensor(values_ms, dtype=torch.float64)
    best, least = PowerLaw(0.0, 0.0, 0.0), math.inf
    for exponent in (step / 100 for step in range(1, 201)):
        terms = torch.stack([torch.ones_like(experts), experts**exponent], dim=1)
        for used in ([0, 1], [0], [1]):  # both, or the better one alone where the other would be below zero
            part = terms[:, used] * weight[:, None]
            found = torch.linalg.lstsq(part, torch.ones_like(weight)[:, None]).solution[:, 0]
            error = float((part @ found - 1).square().sum())
            if (found >= 0).all() and error < least * (1 - 1e-9):
                whole = dict(zip(used, found.tolist(), strict=True))
                best, least = PowerLaw(round(whole.get(0, 0.0), 9), round(whole.get(1, 0.0), 9), exponent), error
    return best


def measure_expert_cost(
    numbers: Sequence[int],
    shape: LayerShape | None = None,
    *,
    num_rounds: int = 20,
    num_warm_up: int = 3,
    device: str = 'cpu',
    clock: str = 'wall',
) -> list[ExpertCost]:
    """Time layers with several numbers of experts side by side, all in every round.

    Inputs are noise and weights those of the start, so the rows take many different experts; training takes fewer.

    Args:
        numbers: Numbers of experts, squares.
        shape: The layer; None for that of BIG-MoE.
        num_rounds: Timed rounds.
        num_warm_up: Rounds before the clock starts.
        device: Where to compute.
        clock: See `time_side_by_side`.

    Returns:
        One cost per number, in their order.

    Raises:
        ValueError: If a number is not a square, or something else of the layer is impossible.
    """
    shape = shape or LayerShape()
    calls: dict[tuple[int, str], Callable[[], object]] = {}
    taken: dict[int, int] = {}
    for number in dict.fromkeys(numbers):
        for kind in PASSES:
            run, layer = _passes(number, shape, kind, device)
            calls[number, kind] = run
            taken[number] = _num_taken(layer)
        for name, (kind, build) in UPDATES.items():
            _, layer = _passes(number, shape, kind, device)
            calls[number, name] = build(layer.parameters(), lr=1e-4).step
    names = {f'{number} {what}': (number, what) for number, what in calls}
    timings = time_side_by_side(
        {name: calls[key] for name, key in names.items()},
        num_rounds=num_rounds,
        num_warm_up=num_warm_up,
        clock=clock,
    )
    found = {names[timing.name]: timing.median_ms for timing in timings}
    return [
        ExpertCost(
            number,
            taken[number],
            {kind: found[number, kind] for kind in PASSES},
            {name: found[number, name] for name in UPDATES},
        )
        for number in taken
    ]


def _num_taken(layer: ProductKeyExperts) -> int:
    """Count the experts that have a gradient."""
    gradient = layer.table.down.grad
    return 0 if gradient is None else int((gradient.to_dense() != 0).any(1).sum())


def _passes(
    num_experts: int, shape: LayerShape, kind: str, device: str
) -> tuple[Callable[[], None], ProductKeyExperts]:
    """Return a call that runs a layer forwards and backwards, and the layer with gradients of one such call."""
    generator = torch.Generator().manual_seed(0)
    rows, gate = (torch.randn(shape.num_rows, n, generator=generator) for n in (shape.dims, shape.gate_dims))
    layer = ProductKeyExperts(
        shape.dims,
        shape.gate_dims,
        num_experts=num_experts,
        num_heads=shape.num_heads,
        top_k=shape.top_k,
        key_dims=shape.key_dims,
        sparse_gradients=kind == 'sparse',
    ).to(device)
    inputs = [x.to(device).requires_grad_() for x in (rows, gate)]
    cotangent = torch.ones_like(inputs[0])

    def run() -> None:
        layer.zero_grad()
        layer(*inputs)[0].backward(cotangent)

    run()
    return run, layer
