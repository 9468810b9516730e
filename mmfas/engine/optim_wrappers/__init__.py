"""Optimizer wrappers."""

from mmfas.engine.optim_wrappers.bfloat16 import BFloat16GradientModulationOptimWrapper, BFloat16OptimWrapper
from mmfas.engine.optim_wrappers.gradient_modulation import (
    AmpGradientModulationOptimWrapper,
    GradientModulationOptimWrapper,
)

__all__ = [
    'AmpGradientModulationOptimWrapper',
    'BFloat16GradientModulationOptimWrapper',
    'BFloat16OptimWrapper',
    'GradientModulationOptimWrapper',
]
