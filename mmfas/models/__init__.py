"""Networks: trunks, fusion necks, heads, losses and the model that joins them."""

from mmfas.models.backbones import BaseTrunk, MultiStreamCNN, MultiStreamViT
from mmfas.models.data_preprocessor import FASDataPreprocessor
from mmfas.models.fas import FASDistributedDataParallel, MultiModalFAS, fas_train_step
from mmfas.models.heads import BaseFASHead, LinearFASHead, PrototypeHead
from mmfas.models.layers import CentralDifferenceConv, ProductKeyExperts, StackedLinear
from mmfas.models.losses import BaseLoss, CrossEntropyLoss, FocalLoss
from mmfas.models.necks import (
    AMANeck,
    BaseFusionNeck,
    ConcatNeck,
    CrossAttentionNeck,
    IsolatedGatingMoENeck,
    UAdapterNeck,
)
from mmfas.models.specs import FeatureSpec, OwnedParameter, StreamSpec

__all__ = [
    'AMANeck',
    'BaseFASHead',
    'BaseFusionNeck',
    'BaseLoss',
    'BaseTrunk',
    'CentralDifferenceConv',
    'ConcatNeck',
    'CrossAttentionNeck',
    'CrossEntropyLoss',
    'FASDataPreprocessor',
    'FASDistributedDataParallel',
    'FeatureSpec',
    'FocalLoss',
    'IsolatedGatingMoENeck',
    'LinearFASHead',
    'MultiModalFAS',
    'MultiStreamCNN',
    'MultiStreamViT',
    'OwnedParameter',
    'ProductKeyExperts',
    'PrototypeHead',
    'StackedLinear',
    'StreamSpec',
    'UAdapterNeck',
    'fas_train_step',
]
