"""Heads: from fused features to scores and losses."""

from mmfas.models.heads.base import BaseFASHead
from mmfas.models.heads.linear import LinearFASHead

__all__ = ['BaseFASHead', 'LinearFASHead']
