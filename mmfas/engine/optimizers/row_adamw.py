"""AdamW that updates only those rows of a table that were read.

Legend: E rows of a table, D their width, R rows with a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from mmfas.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class RowAdamW(torch.optim.AdamW):
    """AdamW in which a sparse gradient updates its rows only; dense gradients are treated as by AdamW.

    `torch.optim.SparseAdam` takes no dense gradients and has no weight decay, `torch.optim.AdamW` takes no sparse
    ones; a model with tables of experts (`experts.sparse_gradients=True`) has both. The cost of a sparse step is
    that of the rows read, whatever the number of rows E.

    A row that is not read keeps its value and moments, whereas AdamW would decay its moments, move it by what is
    left of them, and apply weight decay. Bias correction counts the steps of the whole table, as in SparseAdam.
    If every step reads every row, the two are equal.

    Args:
        params: Parameters or groups of them.
        lr: Rate.
        betas: Decay of the two moments.
        eps: Added to the root of the second moment.
        weight_decay: Decoupled weight decay as in AdamW, for the rows that are read.
        fused: Update dense gradients in one kernel, see `torch.optim.AdamW`.

    >>> table = nn.Parameter(torch.zeros(4, 2))
    >>> nn.functional.embedding(torch.tensor([2]), table, sparse=True).sum().backward()
    >>> RowAdamW([table], lr=0.5).step()
    >>> table.tolist()
    [[0.0, 0.0], [0.0, 0.0], [-0.5, -0.5], [0.0, 0.0]]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, fused=fused)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient.

        Args:
            closure: Computes the loss and its gradients again, as in torch.

        Returns:
            What the closure returned; None without one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        rows: list[tuple[dict[str, Any], nn.Parameter, Tensor]] = []
        for group in self.param_groups:
            for parameter in group['params']:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    rows.append((group, parameter, parameter.grad))
                    parameter.grad = None  # AdamW refuses it
        super().step()
        for group, parameter, gradient in rows:
            parameter.grad = gradient
            self._update_rows(parameter, gradient.coalesce(), group)
        return loss

    def _update_rows(self, table: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        """Update the rows (R, D) of a table (E, D) that a coalesced gradient has."""
        state = self.state[table]
        if not state:
            state['step'] = torch.zeros((), dtype=torch.float32)
            state['exp_avg'], state['exp_avg_sq'] = torch.zeros_like(table), torch.zeros_like(table)
        state['step'] += 1
        step, (beta, beta_sq) = float(state['step']), group['betas']
        index, slope = gradient.indices()[0], gradient.values()
        mean = state['exp_avg'][index].lerp_(slope, 1 - beta)
        square = state['exp_avg_sq'][index].mul_(beta_sq).addcmul_(slope, slope, value=1 - beta_sq)
        state['exp_avg'].index_copy_(0, index, mean)
        state['exp_avg_sq'].index_copy_(0, index, square)
        size = square.sqrt_().div_(math.sqrt(1 - beta_sq**step)).add_(group['eps'])
        value = table[index].mul_(1 - group['lr'] * group['weight_decay'])
        table.index_copy_(0, index, value.addcdiv_(mean, size, value=-group['lr'] / (1 - beta**step)))
