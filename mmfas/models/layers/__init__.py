"""Layers that two methods share."""

from mmfas.models.layers.central_difference import CentralDifferenceConv, central_difference_kernel
from mmfas.models.layers.stacked import StackedLinear

__all__ = ['CentralDifferenceConv', 'StackedLinear', 'central_difference_kernel']
