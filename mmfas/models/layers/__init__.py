"""Layers that two methods share."""

from mmfas.models.layers.stacked import StackedLinear

__all__ = ['StackedLinear']
