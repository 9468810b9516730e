"""The gradient rules as the papers write them: one tensor, one pair at a time, in obvious Python."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmfas.engine.modulators import ModalityGradients, Segments
from mmfas.structures import MODALITIES


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a.flatten() * b.flatten()).sum()


def along(a: Tensor, b: Tensor, eps: float = 0.0) -> Tensor:
    """Project a on b."""
    return dot(a, b) / (dot(b, b) + eps) * b if dot(b, b) > 0 else torch.zeros_like(a)


def rule(a: Tensor, b: Tensor, eps: float = 0.0) -> Tensor:
    """Keep of a what agrees with b, or, in conflict, what is across b."""
    return along(a, b, eps) if dot(a, b) > 0 else a - along(a, b, eps)


def regrad_tensor(
    grads: Sequence[Tensor], own: int, fast: int, trust: Sequence[float], eps: float = 0.0
) -> Tensor:
    """Apply the released rule to one tensor of modality `own`."""
    others = [j for j in range(len(grads)) if j != own]
    if own == fast:
        total = sum(grads[j] for j in others)
        return total + rule(grads[own], total, eps) * trust[own]
    return grads[own] + sum(rule(grads[j], grads[own], eps) * trust[j] for j in others)


def regrad_pairs(
    grads: Sequence[Tensor],
    own: int,
    losses: Sequence[float],
    trust: Sequence[float],
    there: Sequence[bool],
    *,
    eps: float = 0.0,
) -> Tensor:
    """Apply the paper's rule for two modalities in every pair of one tensor of modality `own`."""
    others = [j for j in range(len(grads)) if j != own and there[j]]
    mine, theirs = [], []
    for j in others:
        if losses[j] < losses[own] or not there[own]:
            mine.append(grads[own])
            theirs.append(rule(grads[j], grads[own], eps) * trust[j])
        else:
            mine.append(rule(grads[own], grads[j], eps) * trust[own])
            theirs.append(grads[j])
    return sum(mine) / len(mine) + sum(theirs) if others else grads[own]


def pcgrad(grads: Sequence[Tensor], orders: Sequence[Sequence[int]]) -> Tensor:
    """Algorithm 1 of PCGrad."""
    projected = []
    for grad, order in zip(grads, orders, strict=True):
        for j in order:
            if dot(grad, grads[j]) < 0:
                grad = grad - along(grad, grads[j])
        projected.append(grad)
    return sum(projected)


def ogm_scales(losses: Sequence[float], counts: Sequence[float], alpha: float) -> list[float]:
    """Return the factors of OGM."""
    scales = []
    for i in range(len(losses)):
        others = [torch.tensor(-losses[j]).exp() for j in range(len(losses)) if j != i and counts[j]]
        mine = torch.tensor(-losses[i]).exp()
        rho = float(mine / (sum(others) / len(others))) if others and counts[i] else 0.0
        scales.append(1 - float(torch.tanh(torch.tensor(alpha * rho))) if rho > 1 else 1.0)
    return scales


def given(
    rows: Tensor,
    *,
    lengths: Sequence[int],
    owners: Sequence[int],
    losses: Sequence[float],
    trust: Sequence[float] | None = None,
    counts: Sequence[float] = (4, 4, 4),
    main: Tensor | None = None,
) -> ModalityGradients:
    """Lay out hand-made gradients as a rule is given them; each segment, and what is left, is a parameter."""
    ends = [0, *torch.tensor(lengths).cumsum(0).tolist()]
    ends += [rows.shape[1]] if rows.shape[1] > ends[-1] else []
    slices = tuple(slice(a, b) for a, b in zip(ends, ends[1:]))
    num = rows.shape[0]
    return ModalityGradients(
        modalities=MODALITIES[:num],
        rows=rows,
        main=torch.zeros_like(rows[0]) if main is None else main,
        losses=torch.tensor(losses, dtype=rows.dtype),
        counts=torch.tensor(counts[:num], dtype=rows.dtype),
        confidence=None if trust is None else torch.tensor(trust, dtype=rows.dtype),
        segments=Segments.of(lengths, owners),
        slices=slices,
        names=tuple(f'part.{i}' for i in range(len(slices))),
    )
