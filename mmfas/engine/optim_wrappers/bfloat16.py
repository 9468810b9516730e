"""Mixed precision in bfloat16, on a CPU too: its range is that of float32, so that no loss has to be scaled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmfas.engine.optim_wrappers.gradient_modulation import GradientModulationOptimWrapper
from mmfas.registry import OPTIM_WRAPPERS


class _BFloat16(OptimWrapper):
    """Runs the forward pass with bfloat16 where torch considers it safe; weights and their steps stay float32."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass of a model, or of its wrapper, in mixed precision."""
        kind = self.optimizer.param_groups[0]['params'][0].device.type
        with super().optim_context(model), torch.autocast(kind, dtype=torch.bfloat16):
            yield


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(_BFloat16):
    """`OptimWrapper` in mixed precision with bfloat16, on a CPU or a GPU.

    Args:
        optimizer: The optimizer.
        accumulative_counts: Batches per step.
        clip_grad: Clipping, as in mmengine.
    """


@OPTIM_WRAPPERS.register_module()
class BFloat16GradientModulationOptimWrapper(_BFloat16, GradientModulationOptimWrapper):
    """`GradientModulationOptimWrapper` in mixed precision with bfloat16, on a CPU or a GPU.

    Args:
        optimizer: The optimizer.
        modulator: Config of a gradient modulator, or the modulator.
        accumulative_counts: Batches per step.
        clip_grad: Clipping after modulation, as in mmengine.
    """
