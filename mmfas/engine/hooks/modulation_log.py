"""Curves of what gradient modulation does, without stopping the device in every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from torch import Tensor

from mmfas.registry import HOOKS
from mmfas.utils.errors import InputError


@HOOKS.register_module()
class ModulationLogHook(Hook):
    """Log the statistics of the optimizer wrapper: gradient norms and cosines, and what its rule reports.

    What the rule reports is logged as its mean over the steps since the last log: `fast_rgb` is the fraction of
    steps in which rgb was the fast modality. Norms and cosines, over all parameters, are those of the step that is
    logged: they cost backward passes through all weights, so they are measured in that step only. Values are
    summed on the device and read when the logger writes. Steps with a value that is not finite, as after an
    overflow of mixed precision, are left out of its mean. With an optimizer wrapper that has no statistics the
    hook does nothing.

    Args:
        interval: Iterations of an epoch between two reads, at least 1; that of the `LoggerHook` if None.

    Raises:
        ValueError: If `interval` is below 1.
    """

    # Before the logger, which writes what is there.
    priority = 'NORMAL'

    def __init__(self, interval: int | None = None) -> None:
        if interval is not None and interval < 1:
            raise InputError(f'interval must be at least 1 iteration, got {interval}')
        self.interval = interval
        self._sums: dict[str, Tensor] = {}

    def before_train(self, runner: Runner) -> None:
        """Take over the interval of the logger."""
        if self.interval is None:
            loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
            self.interval = loggers[0].interval if loggers else 10

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Ask for norms and cosines if this step is logged."""
        if hasattr(runner.optim_wrapper, 'measures_gradients'):
            runner.optim_wrapper.measures_gradients = self._is_logged(runner, batch_idx)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Add the statistics of this step, and hand them to the log when it is time."""
        for name, value in getattr(runner.optim_wrapper, 'statistics', {}).items():
            value = value.detach().float()
            is_finite = torch.isfinite(value)
            new = torch.stack([torch.where(is_finite, value, 0.0), is_finite.float()])
            self._sums[name] = self._sums[name] + new if name in self._sums else new
        if self._sums and self._is_logged(runner, batch_idx):
            names, values = list(self._sums), torch.stack(list(self._sums.values())).tolist()
            self._sums = {}
            for name, (total, count) in zip(names, values, strict=True):
                runner.message_hub.update_scalar(f'train/{name}', total / count if count else float('nan'))

    def _is_logged(self, runner: Runner, batch_idx: int) -> bool:
        """Tell whether the logger writes after this step, or the epoch ends."""
        is_last = self.end_of_epoch(runner.train_dataloader, batch_idx)
        return is_last or self.every_n_inner_iters(batch_idx, self.interval or 1)
