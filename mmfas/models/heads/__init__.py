"""Heads: from fused features to scores and losses."""

from mmfas.models.heads.base import BaseFASHead, liveness, sum_and_count
from mmfas.models.heads.linear import LinearFASHead
from mmfas.models.heads.prototype import PrototypeHead, single_side_prototypical_loss

__all__ = [
    'BaseFASHead',
    'LinearFASHead',
    'PrototypeHead',
    'liveness',
    'single_side_prototypical_loss',
    'sum_and_count',
]
