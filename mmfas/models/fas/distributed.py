"""The model on several processes."""

from __future__ import annotations

from typing import Any

from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import Tensor

from mmfas.models.fas.multi_modal_fas import MultiModalFAS
from mmfas.models.fas.train_step import fas_train_step
from mmfas.registry import MODEL_WRAPPERS


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
            raise ValueError('detect_anomalous_params is not supported; use find_unused_parameters=True')
        if next(module.parameters()).device.type == 'cpu':
            kwargs = {**kwargs, 'device_ids': None}
        super().__init__(module, broadcast_buffers=broadcast_buffers, **kwargs)

    def train_step(self, data: dict[str, Any], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Run one step of training; see `fas_train_step`."""
        return fas_train_step(self, self.module, data, optim_wrapper)
