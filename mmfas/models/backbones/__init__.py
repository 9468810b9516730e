"""Trunks that turn images of several modalities into streams, block by block."""

from mmfas.models.backbones.base import BaseTrunk
from mmfas.models.backbones.multi_stream_cnn import MultiStreamCNN
from mmfas.models.backbones.multi_stream_vit import MultiStreamViT

__all__ = ['BaseTrunk', 'MultiStreamCNN', 'MultiStreamViT']
