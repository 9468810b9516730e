"""Let parts of the model change themselves after every step of the optimizer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn

from mmfas.registry import HOOKS
from mmfas.structures import StepAware
from mmfas.utils.errors import WrongTypeError


@HOOKS.register_module()
class AfterStepHook(Hook):
    """Call `after_step` of every part that has it, once for each step of the optimizer.

    With accumulated gradients that is once for all batches of a step. What the parts do must follow from weights
    and buffers, which checkpoints hold, and from the number of the epoch: then a resumed run goes on as if it had
    not been interrupted. A run that ends before the epoch in which a part begins is warned of.

    Raises:
        TypeError: When training starts, if no part has anything to do.
    """

    # before averages of weights are taken (NORMAL) and checkpoints are written
    priority = 'HIGH'

    def before_train(self, runner: Runner) -> None:
        """Refuse a model in which the hook would do nothing; warn of a run in which a part would."""
        parts = _parts_of(runner)
        if not parts:
            raise WrongTypeError(
                'AfterStepHook needs a part with `after_step`, but the model has none; take a part that has it '
                '(HyperplaneHead, MutualMaskNeck) or take the hook out of custom_hooks'
            )
        # a run that counts iterations is in epoch 0 until it ends
        num_epochs = 1 if isinstance(runner.train_loop, IterBasedTrainLoop) else runner.max_epochs
        for part in parts:
            first = getattr(part, 'first_epoch', 0)
            if first >= max(num_epochs, 1):
                key = getattr(part, 'first_epoch_key', 'first_epoch')
                print_log(
                    f'{key}={first} has no effect: this run has {num_epochs} epoch(s), numbered from 0; '
                    f'{type(part).__name__} does nothing after its steps',
                    logger='current',
                    level=logging.WARNING,
                )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Call the parts if this batch ended a step."""
        if runner.optim_wrapper.should_update():
            for part in _parts_of(runner):
                part.after_step(runner.epoch)


def _parts_of(runner: Runner) -> list[StepAware]:
    """List the parts of the model that want to know of steps."""
    model: nn.Module = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return [part for part in model.modules() if isinstance(part, StepAware)]
