"""Arithmetic on the pieces of a flat gradient, all pieces at once.

A rule that only adds, projects and scales gradients yields, in every piece, a weighted sum of the rows, and the
weights follow from the inner products of the rows. So no rule needs a loop over tensors: inner products, weights,
weighted sum.

Legend: M rows (one per modality), S segments, Q entries of all segments, P entries of a row, P >= Q.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """The leading entries of a flat gradient, cut into pieces of which a rule treats each as one vector.

    A piece is a tensor that one modality owns, or its slice of a stacked one. Entries after the last piece belong
    to no modality.

    Args:
        lengths: Entries of each piece, shape (S,), integer.
        owners: Number of the modality that owns it, -1 where none does, shape (S,), integer.
        num_entries: Sum Q of the lengths, known to the host.

    >>> Segments.of((2, 3), (0, 1)).num_entries
    5
    """

    lengths: Tensor
    owners: Tensor
    num_entries: int

    @classmethod
    def of(
        cls, lengths: Sequence[int], owners: Sequence[int], device: torch.device | str | None = None
    ) -> Segments:
        """Make segments from plain numbers.

        Args:
            lengths: Entries of each piece.
            owners: Number of the modality that owns it, -1 for none.
            device: Where the gradients are.
        """
        sizes, numbers = (torch.tensor(list(values), dtype=torch.long) for values in (lengths, owners))
        return cls(sizes.to(device), numbers.to(device), num_entries=sum(lengths))

    def spread(self, values: Tensor) -> Tensor:
        """Repeat one value per segment (S,) over its entries: (Q,)."""
        # with the size given, the host need not wait for the lengths
        return values.repeat_interleave(self.lengths, output_size=self.num_entries)

    def sum(self, entries: Tensor) -> Tensor:
        """Sum entries (Q,) over each segment: (S,)."""
        return torch.segment_reduce(entries, 'sum', lengths=self.lengths, unsafe=True)

    def products_of(self, rows: Tensor) -> Tensor:
        """Multiply the rows with each other in each segment.

        Args:
            rows: Rows (M, P).

        Returns:
            Inner products (S, M, M), double precision as in `inner_products`.
        """
        num_rows = rows.shape[0]
        head = rows[:, : self.num_entries]
        products = rows.new_zeros(len(self.lengths), num_rows, num_rows, dtype=torch.float64)
        for i in range(num_rows):
            left = head[i].double()
            for j in range(i, num_rows):
                products[:, i, j] = products[:, j, i] = self.sum(left * head[j])
        return products

    def combine(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Add the rows up, weighted in each segment; where there is no segment, with weight 1.

        Args:
            rows: Rows (M, P).
            weights: Weights (S, M).

        Returns:
            Sum (P,).
        """
        total = rows.sum(0)
        head = torch.zeros_like(total[: self.num_entries])
        for row, weight in zip(rows, weights.to(rows.dtype).unbind(1), strict=True):
            head.addcmul_(row[: self.num_entries], self.spread(weight))
        total[: self.num_entries] = head
        return total


def inner_products(rows: Tensor) -> Tensor:
    """Multiply whole rows with each other.

    Args:
        rows: Rows (M, P).

    Returns:
        Inner products (M, M), double precision: float32 would underflow, and the rules depend on the sign.
    """
    products = rows.new_zeros(len(rows), len(rows), dtype=torch.float64)
    for i, row in enumerate(rows):
        left = row.double()
        for j in range(i, len(rows)):
            products[i, j] = products[j, i] = left @ rows[j].double()
    return products


def ratio(above: Tensor, below: Tensor) -> Tensor:
    """Divide, where zero by zero is zero; NaN and infinity come through.

    Args:
        above: Numerators, any shape.
        below: Denominators, same shape.

    >>> ratio(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 2.0])).tolist()
    [0.0, 0.5]
    """
    empty = below == 0
    return torch.where(empty, torch.zeros_like(above), above / torch.where(empty, torch.ones_like(below), below))
