"""ReGrad: the modality that learns fastest must not determine the updates of the others' adapters.

Legend: M modalities, S segments (tensors that one modality owns), R entries that the rule reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor

from mmfas.engine.modulators.base import BaseModulator, ModalityGradients
from mmfas.engine.modulators.segments import ratio
from mmfas.registry import GRADIENT_MODULATORS
from mmfas.structures import ModalityOffer
from mmfas.utils.errors import InputError

ORDERS = ('loss', 'confidence')
FAST = ('fastest', 'all_but_slowest')


@GRADIENT_MODULATORS.register_module()
class ReGrad(BaseModulator):
    r"""Rebalance the gradients of the modalities in every tensor that one modality owns.

    From "Suppress and Rebalance: Towards Generalized Multi-Modal Face Anti-Spoofing" (arXiv 2402.19298), Eq. 5.
    The modality with the smallest loss in the step is *fast*, the others are *slow*. With :math:`g_m` the gradient
    of loss m in one tensor, :math:`U_m` the confidence in modality m, and

    .. math:: r(a \mid b) = \frac{a \cdot b}{b \cdot b} b \;\text{ if } a \cdot b > 0, \qquad
        a - \frac{a \cdot b}{b \cdot b} b \;\text{ else,}

    a tensor of modality k moves along

    .. math:: g_k + \sum_{j \ne k} r(g_j \mid g_k) U_j \;\text{ if k is slow,} \qquad
        s + r(g_k \mid s) U_k, \; s = \sum_{j \ne k} g_j \;\text{ if k is fast.}

    Where gradients agree only the part along the other remains, where they are in conflict only the part across
    it. Parameters that no modality owns take the plain sum. A modality that no sample of the step has is never
    fast, and its gradient is zero.

    DADM (arXiv 2503.00429) has `order='confidence', fast='all_but_slowest'`: the modality with the largest
    confidence is slow, the others are fast; of equal ones at the top all are slow.

    Args:
        order: What ranks the modalities, the smallest being the fastest: their `'loss'` or the `'confidence'` of
            the neck.
        fast: Which are fast: the `'fastest'`, or `'all_but_slowest'`.
        pairwise: The paper's rule for two modalities in every pair, instead of the released rule above: with i
            owning the tensor, j gives :math:`r(g_j \mid g_i) U_j` beside :math:`g_i` where j is the faster of the
            two, else :math:`g_j` beside :math:`r(g_i \mid g_j) U_i`; what the pairs make of :math:`g_i` is
            averaged over the other modalities that samples have. With two modalities both rules are one.
        use_confidence: Weight with the confidence of the neck; if None, where it has one (else 1); if True, a neck
            without is refused; if False, never (1).
        reach: Starts of names of the parameters that take gradients of modalities; all others move along the main
            gradient only. All parameters if None. The released code reaches
            `('trunk.embedding.cls_token', 'trunk.embedding.pos_embed')` once its crash is fixed.
        eps: Added to :math:`b \cdot b` below the fraction, in units of squared gradients without loss scale, at
            least 0. The released code has 1e-8: where the gradient of a tensor is shorter than about 1e-4, r then
            keeps less of what agrees and takes out less of what is in conflict.

    Differs from the released code: every owned tensor is reached (`reach`); tensors without a gradient count as
    zero instead of a crash; nothing is added in divisions (`eps`); NaN is kept, so that the loss scaler sees it.
    The paper gives no rule for three modalities; this one is that of the code.

    >>> GRADIENT_MODULATORS.build(ReGrad.example_cfg()).pairwise
    False
    """

    min_modalities = 2
    needs_owned = True

    def __init__(
        self,
        *,
        order: str = 'loss',
        fast: str = 'fastest',
        pairwise: bool = False,
        use_confidence: bool | None = None,
        reach: Sequence[str] | None = None,
        eps: float = 0.0,
    ) -> None:
        if isinstance(reach, str) or (reach is not None and not reach):
            raise InputError(
                f"reach must list starts of parameter names, such as ('neck',), or be None; got {reach!r}"
            )
        if not 0 <= eps < float('inf'):
            raise InputError(f'eps must be a finite number, 0 or more, got {eps}')
        if order not in ORDERS or fast not in FAST:
            raise InputError(f'order must be one of {ORDERS} and fast one of {FAST}, got {order!r} and {fast!r}')
        if pairwise and fast != 'fastest':
            raise InputError(
                f'pairwise has one fast modality in every pair, so fast={fast!r} has no effect; leave one out'
            )
        self.order, self.fast = order, fast
        self.eps = eps
        self.pairwise = pairwise
        self.use_confidence = use_confidence
        self.reach = None if reach is None else tuple(reach)
        # what is not reached takes no gradient of modalities: the plain sum would be wrong there
        self.reads_shared = reach is not None

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config that builds this rule."""
        return {'type': 'ReGrad', 'pairwise': False}

    def modulate(self, gradients: ModalityGradients) -> Tensor:
        """Return the rebalanced direction, shape (R,)."""
        segments, rows, products = gradients.segments, gradients.rows, gradients.segment_products
        confidence = self._confidence(gradients).to(products.dtype)
        eps: Tensor | float = self.eps
        if gradients.scale is not None:
            eps = self.eps * gradients.scale.to(products.dtype) ** 2  # products carry the loss scale twice
        if self.pairwise:
            weights = pairwise_weights(
                products, segments.owners, confidence, gradients, ranks=self._ranked(gradients), eps=eps
            )
        else:
            weights = released_weights(products, segments.owners, confidence, self._is_fast(gradients), eps=eps)
        shared = (segments.owners < 0)[:, None]
        direction = segments.combine(rows, torch.where(shared, torch.ones_like(weights), weights))
        for where, name in zip(gradients.slices, gradients.names, strict=True):
            if self.reach is not None and not name.startswith(self.reach):
                direction[where] = 0
        return direction

    def refusal(self, offer: ModalityOffer) -> str | None:
        """Say why this rule would change nothing, or not what it was asked to."""
        missing = super().refusal(offer)
        if missing is not None:
            return missing
        asks = 'use_confidence=True' if self.use_confidence else "order='confidence'"
        if (self.use_confidence or self.order == 'confidence') and offer.has_confidence is False:
            return (
                f'{asks}, but {offer.neck} gives no confidence; take one that does (UAdapterNeck) '
                f'or leave {asks.partition("=")[0]} out'
            )
        for start in self.reach or ():
            if offer.trained is not None and not any(name.startswith(start) for name in offer.trained):
                near = get_close_matches(start, _starts(offer.trained), n=1)
                hint = f'did you mean {near[0]}?' if near else f'names begin like {offer.trained[0]}'
                return f'reach: no trained parameter begins with {start!r}; {hint}'
        if self.reach and offer.owned is not None and not any(n.startswith(self.reach) for n in offer.owned):
            return (
                f'reach={self.reach} names no trained parameter that belongs to one modality, such as '
                f'{offer.owned[0]}; nothing would be rebalanced'
            )
        return None

    def doubt(self, offer: ModalityOffer) -> str | None:
        """Warn where no loss but that of its owner reaches a parameter: the result is the plain sum."""
        if offer.contested != () or offer.has_confidence is not False and self.use_confidence is not False:
            return None
        return (
            'ReGrad will give the plain sum of the gradients: with this trunk and '
            f'{offer.neck}, no parameter that one modality owns gets a gradient from the loss of another; take a '
            'neck that has such parameters and joins the modalities (UAdapterNeck, AMANeck), or expect no change'
        )

    def describe(self, gradients: ModalityGradients) -> dict[str, Tensor]:
        """Return `fast_<modality>`, 1 for the fast one and 0 for the others; its mean over steps is a fraction."""
        is_fast = self._is_fast(gradients).float()
        return {f'fast_{name}': is_fast[i] for i, name in enumerate(gradients.modalities)}

    def _ranked(self, gradients: ModalityGradients) -> Tensor:
        """Return what ranks the modalities (M,), the smallest being the fastest."""
        if self.order == 'loss':
            return gradients.losses
        if gradients.confidence is None:
            raise InputError("order='confidence' needs a neck that gives one; take order='loss'")
        return gradients.confidence

    def _is_fast(self, gradients: ModalityGradients) -> Tensor:
        """Say which modalities are fast (M,)."""
        ranks, is_there = self._ranked(gradients), gradients.counts > 0
        if self.fast == 'all_but_slowest':
            return is_there & (ranks < ranks.masked_fill(~is_there, -torch.inf).max())
        fastest = ranks.masked_fill(~is_there, torch.inf).argmin()
        return torch.arange(len(ranks), device=ranks.device) == fastest

    def _confidence(self, gradients: ModalityGradients) -> Tensor:
        if self.use_confidence is not False and gradients.confidence is not None:
            return gradients.confidence
        return torch.ones_like(gradients.losses)


def _starts(names: Sequence[str]) -> list[str]:
    """List every start of dotted names that ends where a part does."""
    parts = (name.split('.') for name in names)
    return sorted({'.'.join(part[:end]) for part in parts for end in range(1, len(part) + 1)})


def released_weights(
    products: Tensor, owners: Tensor, confidence: Tensor, is_fast: Tensor, *, eps: Tensor | float = 0.0
) -> Tensor:
    """Say how much of each modality's gradient is in the released direction.

    Args:
        products: Inner products (S, M, M).
        owners: Modality k of each segment (S,); rows of unowned ones are to be ignored.
        confidence: Confidence U in each modality (M,).
        is_fast: Which modalities are fast (M,).
        eps: Added to the square of what is projected on; scalar.

    Returns:
        Weights (S, M).
    """
    # r(a | b) is a multiple of b, or a minus a multiple of b, so the direction of a segment is a weighted sum of
    # the M rows, and the weights follow from inner products alone. Hence nothing here is larger than (S, M, M):
    # no vector as long as a gradient is made and no loop runs over tensors. Both cases are computed for all
    # segments and chosen in the end, as a branch would have to read on the host who is fast, and wait for the
    # device.
    own = torch.nn.functional.one_hot(owners.clamp(min=0), len(confidence)).to(products.dtype)  # (S, M)
    others = 1 - own
    with_own = torch.einsum('sm,smn->sn', own, products)  # g_k . g_j
    square = (with_own * own).sum(1, keepdim=True)
    # slow: what the others have along or across g_k
    part = ratio(with_own, square.expand_as(with_own) + eps)
    agrees = with_own > 0
    kept = others * confidence * (~agrees)
    along = (others * confidence * torch.where(agrees, part, -part)).sum(1, keepdim=True)
    slow_weights = own * (1 + along) + kept
    # fast: what g_k has along or across the sum s of the others
    with_sum = (with_own * others).sum(1, keepdim=True)  # g_k . s
    sum_square = torch.einsum('sm,smn,sn->s', others, products, others)[:, None]
    part = ratio(with_sum, sum_square + eps)
    agrees = with_sum > 0
    own_confidence = (own * confidence).sum(1, keepdim=True)
    signed = torch.where(agrees, part, -part)
    fast_weights = others * (1 + own_confidence * signed) + own * own_confidence * (~agrees)
    return torch.where(is_fast[owners.clamp(min=0)][:, None], fast_weights, slow_weights)


def pairwise_weights(
    products: Tensor,
    owners: Tensor,
    confidence: Tensor,
    gradients: ModalityGradients,
    *,
    ranks: Tensor,
    eps: Tensor | float = 0.0,
) -> Tensor:
    """Say how much of each modality's gradient is in the direction of the paper's rule, pair by pair.

    Args:
        products: Inner products (S, M, M).
        owners: Modality i of each segment (S,); rows of unowned ones are to be ignored.
        confidence: Confidence U in each modality (M,).
        gradients: Counts of the step.
        ranks: What ranks the modalities (M,), the smallest being the fastest.
        eps: Added to the square of what is projected on; scalar.

    Returns:
        Weights (S, M).
    """
    # As in `released_weights`, only that each pair (i, j) has a fast and a slow one of its own. A pair contributes
    # a multiple of g_i (`on_own`, `along_own`) and one of g_j (`on_other`, the last line), by who of the two is
    # faster; absent modalities have no pair, and an owner that is alone keeps its gradient (`alone`).
    number = owners.clamp(min=0)
    own = torch.nn.functional.one_hot(number, len(confidence)).to(products.dtype)
    there = (gradients.counts > 0).to(products.dtype)
    others = (1 - own) * there
    with_own = torch.einsum('sm,smn->sn', own, products)  # g_i . g_j
    own_square = (with_own * own).sum(1, keepdim=True).expand_as(with_own)
    squares = products.diagonal(dim1=1, dim2=2)
    agrees = with_own > 0
    sign = torch.where(agrees, 1.0, -1.0).to(products.dtype)
    across = (~agrees).to(products.dtype)
    own_confidence = (own * confidence).sum(1, keepdim=True)
    # j faster: g_i + r(g_j | g_i) U_j;  else: r(g_i | g_j) U_i + g_j;  of equal ones the first is the faster, as
    # where one is fast, or both of a pair would count as the faster one
    rank = ranks.masked_fill(gradients.counts == 0, torch.inf).argsort(stable=True).argsort()
    other_is_faster = rank < rank[number][:, None]
    on_own = torch.where(other_is_faster, torch.ones_like(across), own_confidence * across)
    on_other = own_confidence * sign * ratio(with_own, squares + eps)  # of r(g_i | g_j)
    along_own = confidence * sign * ratio(with_own, own_square + eps)  # of r(g_j | g_i)
    # what the pairs make of g_i counts once, on average; what they make of the others is added
    num_others = others.sum(1, keepdim=True)
    mean = others / num_others.clamp(min=1)
    alone = (num_others == 0).to(products.dtype)
    total_own = alone + (mean * on_own + others * along_own.where(other_is_faster, along_own.new_zeros(()))).sum(
        1, keepdim=True
    )
    return own * total_own + torch.where(other_is_faster, others * confidence * across, others + mean * on_other)
