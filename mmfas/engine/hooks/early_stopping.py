"""Early stopping that a resumed run continues."""

from __future__ import annotations

import math

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmfas.registry import HOOKS
from mmfas.utils.errors import InputError, UnknownKeyError

_STATE = 'early_stopping'


@HOOKS.register_module(name=['ResumableEarlyStoppingHook', 'EarlyStoppingHook'])
class ResumableEarlyStoppingHook(Hook):
    """Stop training when a metric no longer improves; takes the place of mmengine's hook in configs of mmfas.

    Differs from mmengine's `EarlyStoppingHook`: best value, used-up patience and the decision to stop are saved
    with the checkpoint, and an equal value is not an improvement (there, a metric that stays flat never stops a
    run).

    Args:
        monitor: Metric to watch, such as `'dev/hter'`.
        rule: `'less'` or `'greater'`: which value is better.
        min_delta: A value counts as better only if it is by more than this, not negative, unit of the metric.
        patience: Validations in a row without improvement before training stops, at least 1.

    Raises:
        ValueError: If an argument is out of range.
        KeyError: After a validation, if the metric was not computed.
    """

    # Before the checkpoint hook, whose file then has this hook's state.
    priority = 'LOW'

    def __init__(self, monitor: str, rule: str = 'less', *, min_delta: float = 0.0, patience: int = 5) -> None:
        if rule not in ('less', 'greater'):
            raise InputError(f"rule must be 'less' or 'greater', got {rule!r}")
        if min_delta < 0 or patience < 1:
            raise InputError(f'min_delta must be >= 0 and patience >= 1, got {min_delta} and {patience}')
        self.monitor = monitor
        self.sign = 1.0 if rule == 'greater' else -1.0
        self.min_delta = min_delta
        self.patience = patience
        self.best = -math.inf
        self.wait_count = 0

    def before_train(self, runner: Runner) -> None:
        """Continue where the checkpoint left off."""
        if _STATE in runner.message_hub.runtime_info:
            self.best, self.wait_count, _ = runner.message_hub.get_info(_STATE)
            # Judged anew, so that a run that is resumed with more patience goes on.
            runner.train_loop.stop_training = self.wait_count >= self.patience

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Judge the metric and note the state."""
        if not metrics or self.monitor not in metrics:
            known = ', '.join(sorted(metrics or {})) or 'nothing'
            raise UnknownKeyError(f"early stopping watches '{self.monitor}', but the validation gave {known}")
        value = self.sign * float(metrics[self.monitor])
        improved = value > self.best + self.min_delta
        self.best = value if improved else self.best
        self.wait_count = 0 if improved else self.wait_count + 1
        stop = self.wait_count >= self.patience
        if stop:
            runner.train_loop.stop_training = True
            runner.logger.info(
                f'{self.monitor} has not improved in {self.wait_count} validations (best '
                f'{self.sign * self.best:.4f}): training stops'
            )
        runner.message_hub.update_info(_STATE, (self.best, self.wait_count, stop))
