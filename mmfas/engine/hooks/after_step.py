"""Let parts of the model change themselves after every step of the optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmfas.registry import HOOKS
from mmfas.structures import StepAware
from mmfas.utils.errors import WrongTypeError


@HOOKS.register_module()
class AfterStepHook(Hook):
    """Call `after_step` of every part that has it, once for each step of the optimizer.

    With accumulated gradients that is once for all batches of a step. What the parts do must follow from weights
    and buffers, which checkpoints hold, and from the number of the epoch: then a resumed run goes on as if it had
    not been interrupted.

    Raises:
        TypeError: When training starts, if no part has anything to do.
    """

    # before averages of weights are taken (NORMAL) and checkpoints are written
    priority = 'HIGH'

    def before_train(self, runner: Runner) -> None:
        """Refuse a model in which the hook would do nothing."""
        if not _parts_of(runner):
            raise WrongTypeError(
                'AfterStepHook needs a part with `after_step`, but the model has none; take a part that has it '
                '(HyperplaneHead, MutualMaskNeck) or take the hook out of custom_hooks'
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
