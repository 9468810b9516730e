"""Angles between live and spoof samples of different domains, and between modalities.

Legend: M modalities, B batch, C feature width, E domains, K = 2 classes (spoof, live), N = E*K groups of a domain
and a class.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.structures import LIVE, SPOOF
from mmfas.utils.errors import InputError

REDUCTIONS = ('mean', 'released')


class AngularMarginLoss(nn.Module):
    r"""Draw samples of one class in different domains to one angle (DADM).

    For every two domains and each class, over features f of unit length:

    * margin: :math:`(\cos(f_m^e, f_m^{e'}) - \tau)^2` over all pairs of a sample of e and one of e' in modality m,
      with tau 1 for live samples and less for spoofs, which differ by their instrument;
    * coherence: the squared difference between every :math:`\cos(f_m^e, f_n^e)` of domain e and every
      :math:`\cos(f_m^{e'}, f_n^{e'})` of domain e' for modalities m < n.

    The differences of all pairs follow from means and variances, so the cost grows with the square of the batch,
    not with its fourth power. It depends on the batch of one process, in training only; a sample takes no part in
    modalities that it lacks.

    Differs from the released code: `reduction='mean'` averages both kinds over their cells (two domains, class,
    modality or modalities), each cell being the mean of its terms, and leaves out cells without a sample.
    Released: sums, so that twice the samples make an eleven times larger loss; divided by 3 for three domains; a
    class that one domain of the batch lacks is left out of all.

    Args:
        live: Cosine tau that live samples are drawn to, in [-1, 1].
        spoof: The same for spoofs.
        reduction: `'mean'` or `'released'`.

    Raises:
        ValueError: If an argument is out of range.

    >>> loss = AngularMarginLoss()
    >>> equal = torch.ones(3, 4, 8)
    >>> labels, domains = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])
    >>> value = loss(equal, labels, domains, torch.ones(4, 3).bool(), num_domains=2)
    >>> round(float(value), 5)  # half of (1 - 0.85)^2
    0.01125
    """

    def __init__(self, live: float = 1.0, spoof: float = 0.85, *, reduction: str = 'mean') -> None:
        super().__init__()
        if not -1 <= live <= 1 or not -1 <= spoof <= 1:
            raise InputError(f'angular: live and spoof are cosines in [-1, 1], but got {live} and {spoof}')
        if reduction not in REDUCTIONS:
            raise InputError(f'angular: reduction must be one of {REDUCTIONS}, but got {reduction!r}')
        self.targets = {LIVE: live, SPOOF: spoof}
        self.reduction = reduction

    def forward(
        self, features: Tensor, targets: Tensor, domains: Tensor, present: Tensor, *, num_domains: int
    ) -> Tensor:
        """Compute the loss of a batch, scalar; 0 where no class is in two domains.

        Args:
            features: Features (M, B, C).
            targets: Labels (B,), 1 live and 0 spoof.
            domains: Numbers of the domains (B,), from 0.
            present: Boolean mask (B, M).
            num_domains: Number E of domains, more than the batch may have.
        """
        unit = functional.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=-1)
        groups = functional.one_hot(2 * domains + targets, 2 * num_domains)  # (B, N)
        members = (groups * present.t()[..., None]).to(unit.dtype)  # (M, B, N)
        upper = torch.triu(unit.new_ones(num_domains, num_domains), diagonal=1)
        pairs = upper[:, :, None].repeat(1, 1, 2) * self._complete(members)  # (E, E, K)
        margin, margin_terms = self._margin(unit, members, num_domains)
        parts = [(margin, margin_terms, pairs[None] * (margin_terms > 0))]
        if len(unit) > 1:
            coherence, coherence_terms = self._coherence(unit, members, num_domains)
            parts.append((coherence, coherence_terms, pairs[None] * (coherence_terms > 0)))
        if self.reduction == 'mean':
            return torch.stack([(mean * cell).sum() / cell.sum().clamp(min=1) for mean, _, cell in parts]).sum()
        total = torch.stack([(mean * terms * cell).sum() for mean, terms, cell in parts]).sum()
        num = members.any(0).any(0).unflatten(0, (num_domains, 2)).any(1).sum()  # domains in the batch
        return total / (num * (num - 1) / 2).clamp(min=1)

    def _complete(self, members: Tensor) -> Tensor:
        """Say which classes count (K,): as released, those that every domain of the batch has."""
        has = members.any(0).any(0).unflatten(0, (-1, 2))  # (E, K)
        if self.reduction == 'mean':
            return torch.ones_like(has[0], dtype=members.dtype)
        return (has | ~has.any(1, keepdim=True)).all(0).to(members.dtype)

    def _margin(self, unit: Tensor, members: Tensor, num_domains: int) -> tuple[Tensor, Tensor]:
        """Return the mean of the margin terms and their number, each (M, E, E, K)."""
        cosines = unit @ unit.transpose(1, 2)  # (M, B, B)
        means, numbers = [], []
        for label in (SPOOF, LIVE):
            weight = members[..., label::2]  # (M, B, E)
            squares = (cosines - self.targets[label]).square()
            number = weight.sum(1)[:, :, None] * weight.sum(1)[:, None]
            means.append(weight.transpose(1, 2) @ squares @ weight / number.clamp(min=1))
            numbers.append(number)
        return torch.stack(means, dim=-1), torch.stack(numbers, dim=-1)

    def _coherence(self, unit: Tensor, members: Tensor, num_domains: int) -> tuple[Tensor, Tensor]:
        """Return the mean of the coherence terms and their number, each (modality pairs, E, E, K)."""
        first, second = torch.triu_indices(len(unit), len(unit), offset=1, device=unit.device)
        cosines = unit[first] @ unit[second].transpose(1, 2)  # (Q, B, B) of Q pairs of modalities
        left, right = members[first], members[second]  # (Q, B, N)
        number = left.sum(1) * right.sum(1)  # (Q, N)
        mean = ((cosines @ right) * left).sum(1) / number.clamp(min=1)
        inside = torch.einsum('qbn,qcn->qnbc', left, right)
        spread = (inside * (cosines[:, None] - mean[..., None, None]).square()).sum((2, 3)) / number.clamp(min=1)
        # the mean of (u - v)^2 over all u of one group and v of another: nothing of the size of all pairs is made
        number, mean, spread = (t.unflatten(1, (num_domains, 2)) for t in (number, mean, spread))  # (Q, E, K)
        differences = (mean[:, :, None] - mean[:, None]).square() + spread[:, :, None] + spread[:, None]
        return differences, number[:, :, None] * number[:, None]
