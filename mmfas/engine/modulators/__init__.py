"""Rules that turn several gradients into one."""

from mmfas.engine.modulators.base import BaseModulator, ModalityGradients
from mmfas.engine.modulators.ogm_ge import OGMGE
from mmfas.engine.modulators.pcgrad import PCGrad
from mmfas.engine.modulators.regrad import ReGrad
from mmfas.engine.modulators.segments import Segments
from mmfas.engine.modulators.sum import SumModulator

__all__ = ['OGMGE', 'BaseModulator', 'ModalityGradients', 'PCGrad', 'ReGrad', 'Segments', 'SumModulator']
