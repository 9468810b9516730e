"""Layers that methods are made of; none knows of a neck or a head."""

from mmfas.models.layers.activations import quick_gelu
from mmfas.models.layers.attention import attention
from mmfas.models.layers.batch_norm import running_statistics
from mmfas.models.layers.central_difference import CentralDifferenceConv, central_difference_kernel
from mmfas.models.layers.differential_attention import LAMBDA_INIT, Denoised, DifferentialAttention
from mmfas.models.layers.experts import ExpertMixture, GatedExperts, Routed
from mmfas.models.layers.feed_forward import RepeatableGELU, feed_forward
from mmfas.models.layers.lora import LoRALinear, LoRAOptions, add_lora, merge_lora, without_lora
from mmfas.models.layers.product_key_experts import (
    ExpertTable,
    ProductKeyExperts,
    ProductKeyRouter,
    Routing,
    balance_loss,
    expert_usage,
    router_z_loss,
    usage_entropy,
)
from mmfas.models.layers.stacked import StackedLinear

__all__ = [
    'LAMBDA_INIT',
    'CentralDifferenceConv',
    'Denoised',
    'DifferentialAttention',
    'ExpertMixture',
    'ExpertTable',
    'GatedExperts',
    'LoRALinear',
    'LoRAOptions',
    'ProductKeyExperts',
    'ProductKeyRouter',
    'RepeatableGELU',
    'Routed',
    'Routing',
    'StackedLinear',
    'add_lora',
    'attention',
    'balance_loss',
    'central_difference_kernel',
    'expert_usage',
    'feed_forward',
    'merge_lora',
    'quick_gelu',
    'router_z_loss',
    'running_statistics',
    'usage_entropy',
    'without_lora',
]
