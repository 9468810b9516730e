"""Heads: from fused features to scores and losses."""

from mmfas.models.heads.base import BaseFASHead, liveness, sum_and_count
from mmfas.models.heads.linear import LinearFASHead

__all__ = ['BaseFASHead', 'LinearFASHead', 'liveness', 'sum_and_count']
