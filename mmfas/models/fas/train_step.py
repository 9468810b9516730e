"""One training step, shared by the model and its distributed wrapper."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import Tensor


def fas_train_step(
    wrapper: BaseModel | MMDistributedDataParallel,
    core: BaseModel,
    data: dict[str, Any],
    optim_wrapper: OptimWrapper,
) -> dict[str, Tensor]:
    """Run one step of training.

    An optimizer wrapper with `needs_loss_terms = True` is handed the separate loss terms beside their sum; for
    every other one this is the step of mmengine.

    Args:
        wrapper: What runs the forward pass: the model, or the module that wraps it.
        core: The model.
        data: A collated batch, before the data preprocessor.
        optim_wrapper: Turns the loss into an update.

    Returns:
        Scalars to log, `loss` (their sum) first.
    """
    with optim_wrapper.optim_context(wrapper):
        data = core.data_preprocessor(data, True)
        terms = wrapper._run_forward(data, mode='loss_terms')
        losses = terms.to_losses()
    total, log_vars = core.parse_losses(losses)
    if getattr(optim_wrapper, 'needs_loss_terms', False):
        optim_wrapper.update_params(total, loss_terms=terms)
    else:
        optim_wrapper.update_params(total)
    return log_vars
