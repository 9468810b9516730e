"""Fusion necks: where the modalities meet."""

from mmfas.models.necks.base import BaseFusionNeck
from mmfas.models.necks.concat import ConcatNeck

__all__ = ['BaseFusionNeck', 'ConcatNeck']
