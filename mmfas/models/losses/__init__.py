"""Losses that heads can be given."""

from mmfas.models.losses.base import BaseLoss
from mmfas.models.losses.classification import CrossEntropyLoss, FocalLoss, UnnormalizedSmoothingLoss

__all__ = ['BaseLoss', 'CrossEntropyLoss', 'FocalLoss', 'UnnormalizedSmoothingLoss']
