"""Losses that any router of experts can be given: one on uneven use, one on the size of its logits.

Legend: E choices, * any leading dimensions.
"""

from __future__ import annotations

from torch import Tensor


def switch_balance(used: Tensor, chances: Tensor) -> Tensor:
    """Compute the load-balance loss of "Switch Transformers" (arXiv 2101.03961), Eq. 4-6: `E sum_e f_e P_e`.

    Args:
        used: Fraction f_e of the choices that fell on e (*, E), without gradient.
        chances: Mean probability P_e of e (*, E).

    Returns:
        Mean over the leading dimensions, scalar: 1 if all are used alike, E if always the same one.

    >>> import torch
    >>> switch_balance(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]))
    tensor(2.)
    """
    return (chances * used).mean() * used.shape[-1] ** 2


def logit_size(logits: Tensor, weight: Tensor | None = None) -> Tensor:
    """Compute the z loss of "ST-MoE" (arXiv 2202.08906), Eq. 5: mean of `logsumexp^2`, which keeps logits small.

    Args:
        logits: Logits (*, E).
        weight: How much each row counts (*), at least one above zero; None for all alike.

    Returns:
        Scalar.
    """
    squares = logits.logsumexp(-1).square()
    return squares.mean() if weight is None else (squares * weight).sum() / weight.sum()
