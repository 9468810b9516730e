"""The model on several processes."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import Tensor

from mmfas.models.fas.multi_modal_fas import MultiModalFAS
from mmfas.models.fas.train_step import fas_train_step
from mmfas.registry import MODEL_WRAPPERS
from mmfas.utils.errors import InputError


@MODEL_WRAPPERS.register_module()
class FASDistributedDataParallel(MMDistributedDataParallel):
    """Data-parallel wrapper that hands loss terms to optimizer wrappers that need them.

    Differs from mmengine's: buffers are not broadcast by default, `device_ids` are dropped on a CPU (torch
    refuses them there, mmengine always gives them).

    Args:
        module: The model.
        broadcast_buffers: Copy the buffers of process 0 to all before every forward pass.
        **kwargs: Arguments of torch's DistributedDataParallel.

    Raises:
        ValueError: If `detect_anomalous_params` is set, which this training step does not support.
    """

    def __init__(self, module: MultiModalFAS, *, broadcast_buffers: bool = False, **kwargs: Any) -> None:
        if kwargs.get('detect_anomalous_params'):
            raise InputError('detect_anomalous_params is not supported; use find_unused_parameters=True')
        if next(module.parameters()).device.type == 'cpu':
            kwargs = {**kwargs, 'device_ids': None}
        super().__init__(module, broadcast_buffers=broadcast_buffers, **kwargs)

    def train_step(self, data: dict[str, Any], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Run one step of training; see `fas_train_step`.

        The scalars to log are means over the processes: with equal batches, those of one process with all of them.
        """
        return _mean_over_processes(fas_train_step(self, self.module, data, optim_wrapper))


def _mean_over_processes(log_vars: dict[str, Tensor]) -> dict[str, Tensor]:
    """Average scalars over the processes; where a mean is not finite, each keeps its own, to find the culprit."""
    own = torch.stack([value.detach().float() for value in log_vars.values()])
    mean = own.clone()
    all_reduce(mean, op='mean')
    return dict(zip(log_vars, torch.where(torch.isfinite(mean), mean, own).unbind(), strict=True))
