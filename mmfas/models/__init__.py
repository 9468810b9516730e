"""Networks: trunks, fusion necks, heads, losses and the model that joins them."""

from mmfas.models.backbones import BaseTrunk, MultiStreamCNN, MultiStreamViT
from mmfas.models.data_preprocessor import FASDataPreprocessor
from mmfas.models.fas import FASDistributedDataParallel, MultiModalFAS, fas_train_step
from mmfas.models.heads import (
    BaseFASHead,
    CrossModalFocalHead,
    HyperplaneHead,
    LinearFASHead,
    PrototypeHead,
    TextAlignHead,
    TextContrastHead,
)
from mmfas.models.layers import (
    CentralDifferenceConv,
    DifferentialAttention,
    ExpertMixture,
    ProductKeyExperts,
    StackedLinear,
)
from mmfas.models.losses import (
    AngularMarginLoss,
    BaseLoss,
    CrossEntropyLoss,
    FocalLoss,
    InformationLoss,
    UnnormalizedSmoothingLoss,
)
from mmfas.models.necks import (
    AMANeck,
    BaseFusionNeck,
    ConcatNeck,
    CrossAttentionNeck,
    IsolatedGatingMoENeck,
    MD2ANeck,
    MeanNeck,
    MutualMaskNeck,
    UAdapterNeck,
)
from mmfas.models.pretraining import CrossModalDecoder, MaskedMultiModalPretrainer
from mmfas.models.specs import FeatureSpec, OwnedParameter, StreamSpec

__all__ = [
    'AMANeck',
    'AngularMarginLoss',
    'BaseFASHead',
    'BaseFusionNeck',
    'BaseLoss',
    'BaseTrunk',
    'CentralDifferenceConv',
    'ConcatNeck',
    'CrossAttentionNeck',
    'CrossEntropyLoss',
    'CrossModalDecoder',
    'CrossModalFocalHead',
    'DifferentialAttention',
    'ExpertMixture',
    'FASDataPreprocessor',
    'FASDistributedDataParallel',
    'FeatureSpec',
    'FocalLoss',
    'HyperplaneHead',
    'InformationLoss',
    'IsolatedGatingMoENeck',
    'LinearFASHead',
    'MD2ANeck',
    'MaskedMultiModalPretrainer',
    'MeanNeck',
    'MultiModalFAS',
    'MultiStreamCNN',
    'MultiStreamViT',
    'MutualMaskNeck',
    'OwnedParameter',
    'ProductKeyExperts',
    'PrototypeHead',
    'StackedLinear',
    'StreamSpec',
    'TextAlignHead',
    'TextContrastHead',
    'UAdapterNeck',
    'UnnormalizedSmoothingLoss',
    'fas_train_step',
]
