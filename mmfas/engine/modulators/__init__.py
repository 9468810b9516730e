"""Rules that turn several gradients into one."""

from mmfas.engine.modulators.base import BaseModulator, ModalityGradients
from mmfas.engine.modulators.sum import SumModulator

__all__ = ['BaseModulator', 'ModalityGradients', 'SumModulator']
