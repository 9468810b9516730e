"""Optimizer wrappers."""

from mmfas.engine.optim_wrappers.gradient_modulation import (
    AmpGradientModulationOptimWrapper,
    GradientModulationOptimWrapper,
)

__all__ = ['AmpGradientModulationOptimWrapper', 'GradientModulationOptimWrapper']
