"""Curves of what gradient modulation does, without stopping the device in every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from torch import Tensor

from mmfas.registry import HOOKS


@HOOKS.register_module()
class ModulationLogHook(Hook):
    """Log the statistics of the optimizer wrapper: gradient norms and cosines, and what its rule tells.

    The logged values are means over the steps since the last log: `fast_rgb` is the share of steps in which rgb
    was the fast modality. They are summed on the device and read when the logger writes. Steps with a value that
    is not finite, as after an overflow of mixed precision, are left out of its mean. With an optimizer wrapper
    that has no statistics the hook does nothing.

    Args:
        interval: Iterations of an epoch between two reads, at least 1; that of the `LoggerHook` if None.

    Raises:
        ValueError: If `interval` is below 1.
    """

    # Before the logger, which writes what is there.
    priority = 'NORMAL'

    def __init__(self, interval: int | None = None) -> None:
        if interval is not None and interval < 1:
            raise ValueError(f'interval must be at least 1 iteration, got {interval}')
        self.interval = interval
        self._names: tuple[str, ...] = ()
        self._sums: Tensor | None = None

    def before_train(self, runner: Runner) -> None:
        """Take over the interval of the logger."""
        if self.interval is None:
            loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
            self.interval = loggers[0].interval if loggers else 10

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Add the statistics of this step, and hand them to the log when it is time."""
        statistics = getattr(runner.optim_wrapper, 'statistics', {})
        if not statistics:
            return
        self._add(statistics)
        is_last = self.end_of_epoch(runner.train_dataloader, batch_idx)
        if self._sums is not None and (is_last or self.every_n_inner_iters(batch_idx, self.interval or 1)):
            totals, counts = self._sums.tolist()
            self._sums = None
            for name, total, count in zip(self._names, totals, counts, strict=True):
                runner.message_hub.update_scalar(f'train/{name}', total / count if count else float('nan'))

    def _add(self, statistics: Mapping[str, Tensor]) -> None:
        if tuple(statistics) != self._names:
            self._names, self._sums = tuple(statistics), None
        values = torch.stack([value.detach().float() for value in statistics.values()])
        finite = torch.isfinite(values)
        new = torch.stack([torch.where(finite, values, 0.0), finite.float()])
        self._sums = new if self._sums is None else self._sums + new
