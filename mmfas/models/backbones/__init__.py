"""Trunks that turn images of several modalities into streams, block by block."""

from mmfas.models.backbones.base import BaseTrunk
from mmfas.models.backbones.multi_stream_vit import MultiStreamViT

__all__ = ['BaseTrunk', 'MultiStreamViT']
