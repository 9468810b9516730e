"""The plain sum: what every other rule is compared with."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmfas.engine.modulators.base import BaseModulator, ModalityGradients
from mmfas.registry import GRADIENT_MODULATORS


@GRADIENT_MODULATORS.register_module(name='Sum')
class SumModulator(BaseModulator):
    """Add the gradients of all modalities, as a stock optimizer wrapper does with the sum of the losses."""

    reads_shared = False
    min_modalities = 0

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config that builds this rule."""
        return {'type': 'Sum'}

    def modulate(self, gradients: ModalityGradients) -> Tensor:
        """Return the sum of the rows, shape (R,)."""
        return gradients.rows.sum(0)
