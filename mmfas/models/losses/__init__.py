"""Losses that heads can be given."""

from mmfas.models.losses.angular_margin import AngularMarginLoss
from mmfas.models.losses.base import BaseLoss
from mmfas.models.losses.classification import CrossEntropyLoss, FocalLoss, UnnormalizedSmoothingLoss
from mmfas.models.losses.information import InformationLoss

__all__ = [
    'AngularMarginLoss',
    'BaseLoss',
    'CrossEntropyLoss',
    'FocalLoss',
    'InformationLoss',
    'UnnormalizedSmoothingLoss',
]
