"""Fusion necks: where the modalities meet."""

from mmfas.models.layers.uncertainty import TokenConfidence
from mmfas.models.necks.ama import AMANeck
from mmfas.models.necks.base import BaseFusionNeck, State, concat_streams, grid_of, zero_absent
from mmfas.models.necks.concat import ConcatNeck
from mmfas.models.necks.cross_attention import CrossAttentionNeck
from mmfas.models.necks.grouped_u_adapter import GroupedUAdapter
from mmfas.models.necks.isolated_gating_adapter import IsolatedGatingAdapter, ReleasedBlockOptions
from mmfas.models.necks.isolated_gating_moe import IsolatedGatingMoENeck
from mmfas.models.necks.md2a import MD2ANeck
from mmfas.models.necks.mean import MeanNeck
from mmfas.models.necks.mutual_mask import ConvolutionalAdapter, InformationOptions, MutualMaskNeck
from mmfas.models.necks.prompt import PromptBypass, PromptGenerator, PromptOptions
from mmfas.models.necks.u_adapter import UAdapterNeck

__all__ = [
    'AMANeck',
    'BaseFusionNeck',
    'ConcatNeck',
    'ConvolutionalAdapter',
    'CrossAttentionNeck',
    'GroupedUAdapter',
    'InformationOptions',
    'IsolatedGatingAdapter',
    'IsolatedGatingMoENeck',
    'MD2ANeck',
    'MutualMaskNeck',
    'MeanNeck',
    'PromptBypass',
    'PromptGenerator',
    'PromptOptions',
    'ReleasedBlockOptions',
    'State',
    'TokenConfidence',
    'UAdapterNeck',
    'concat_streams',
    'grid_of',
    'zero_absent',
]
