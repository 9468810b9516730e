"""Fusion necks: where the modalities meet."""

from mmfas.models.necks.ama import AMANeck
from mmfas.models.necks.base import BaseFusionNeck, State, concat_streams, grid_of, zero_absent
from mmfas.models.necks.concat import ConcatNeck
from mmfas.models.necks.cross_attention import CrossAttentionNeck

__all__ = [
    'AMANeck',
    'BaseFusionNeck',
    'ConcatNeck',
    'CrossAttentionNeck',
    'State',
    'concat_streams',
    'grid_of',
    'zero_absent',
]
