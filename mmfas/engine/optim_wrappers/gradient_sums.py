"""Gradients, losses and counts of the batches since the last step.

Legend: M modalities, P entries of all trainable parameters, R entries that the rule reads (P, or only the leading
ones that modalities own), N parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

from mmfas.engine.modulators import ModalityGradients
from mmfas.engine.optim_wrappers.gradient_layout import GradientLayout
from mmfas.structures import LossTerms


class GradientSums:
    """What the batches since the last step have added up to.

    `rows` are the gradients of the summed losses of the modalities. `main` (P,) is the gradient of the main losses
    or, where `is_total`, that of all losses, those of the modalities as means. `losses`, `counts` and `confidence`
    are (M,), the last one weighted with the counts.

    Args:
        layout: Where parameters lie.
        modalities: Modalities that have a loss of their own.
        num_read: Number R of entries that the rule reads.
        is_measured: Whether `rows` are whole (M, P) though the rule reads less. Else they are (M, R), there is one
            batch only, and where R < P `main` is the gradient of all its losses.
    """

    def __init__(
        self, layout: GradientLayout, modalities: Sequence[str], *, num_read: int, is_measured: bool
    ) -> None:
        num = len(modalities)
        kind: dict[str, Any] = dict(dtype=torch.float32, device=layout.parameters[0].device)
        self.is_measured = is_measured
        self.is_total = not is_measured and num > 0 and num_read < layout.num_entries
        self.rows = torch.empty(num, num_read if self.is_total else layout.num_entries, **kind)
        # made when its gradient is there: the graph is gone then, and the peak of memory with it
        self.main = torch.empty(0, **kind)
        self.losses = torch.zeros(num, **kind)
        self.counts = torch.zeros(num, **kind)
        self.confidence = torch.zeros(num, **kind)
        self.layout = layout
        self.modalities = tuple(modalities)
        self.num_read = num_read
        self.is_used = [False] * len(layout.parameters)
        self.has_confidence = False
        self.num_batches = 0

    def parameters_of(self, index: int) -> Sequence[torch.nn.Parameter]:
        """Return the parameters whose gradients belong into a row; number M is that of the main losses."""
        parameters = self.layout.parameters
        return parameters if index == len(self.modalities) else parameters[: self.layout.count(self.rows.shape[1])]

    def add_gradients(self, index: int, grads: Sequence[Tensor | None]) -> None:
        """Add the gradients of one loss, one for each of `parameters_of`, to its row."""
        for number, grad in enumerate(grads):
            self.is_used[number] |= grad is not None
        # The first batch is written straight into its row: with a single batch per step, the usual case, a buffer
        # of the size of all parameters and one pass through it are saved.
        is_first = self.num_batches == 0
        if is_first and index == len(self.modalities):
            self.main = self.rows.new_empty(self.layout.num_entries)
        total = self.rows[index] if index < len(self.modalities) else self.main
        if is_first:
            self.layout.join(grads, out=total)
            return
        row = torch.empty_like(total)
        self.layout.join(grads, out=row)
        total += row

    def add_terms(self, terms: LossTerms) -> None:
        """Add losses, counts and confidence of one batch."""
        self.num_batches += 1
        if not self.modalities:
            return
        totals, counts = (torch.stack(pair).detach() for pair in zip(*terms.per_modality.values()))
        self.losses += totals
        self.counts += counts
        if terms.confidence:
            # Weighted with the counts: a batch without a modality says nothing about the confidence in it.
            means = torch.stack([terms.confidence[name] for name in self.modalities])
            self.confidence += means.detach() * counts
            self.has_confidence = True

    def reduce(self) -> list[bool]:
        """Sum everything over the processes in one message; tell which parameters have a gradient anywhere."""
        if get_world_size() == 1:
            return self.is_used
        used = torch.tensor(self.is_used, dtype=self.main.dtype).to(self.main.device, non_blocking=True)
        # One message instead of six: the latency of a message outweighs the small tensors at the end.
        parts = [self.rows.view(-1), self.main, self.losses, self.counts, self.confidence, used]
        packed = torch.cat(parts)
        all_reduce(packed)
        rows, self.main, self.losses, self.counts, self.confidence, used = packed.split([len(p) for p in parts])
        self.rows = rows.view_as(self.rows)
        # The host waits for the mask only on a process that lacks a gradient itself.
        return self.is_used if all(self.is_used) else (used > 0).tolist()

    def gradients(self, scale: Tensor | None = None) -> tuple[ModalityGradients, Tensor]:
        """Turn the sums into means.

        Args:
            scale: Loss scale that the sums carry, scalar; None for none.

        Returns:
            What the rule is given, and a gradient (P,) that is final where the rule reads nothing: the plain sum.
        """
        counts = self.counts.clamp(min=1)
        rows, main = self.rows.div_(counts[:, None]), self.main.div_(get_world_size())
        head, tail = slice(0, self.num_read), slice(self.num_read, None)
        # The caller adds `main` to what the rule returns. With `is_total` the last pass was of all losses
        # together, so the part of the modalities is taken off again where the rule works, and stays where it reads
        # nothing: the plain sum. Without, `main` is of the main losses alone and the rows are added where the rule
        # reads nothing.
        if self.is_total:
            main[head] -= rows.sum(0)
        elif self.num_read < len(main):
            main[tail] += rows[:, tail].sum(0)
        count = self.layout.count(self.num_read)
        given = ModalityGradients(
            modalities=self.modalities,
            rows=rows[:, head],
            main=main[head],
            losses=self.losses / counts,
            counts=self.counts,
            confidence=self.confidence / counts if self.has_confidence else None,
            segments=self.layout.segments,
            slices=self.layout.slices[:count],
            names=self.layout.names[:count],
            scale=scale,
        )
        return given, main
