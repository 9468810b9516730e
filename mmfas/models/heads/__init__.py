"""Heads: from fused features to scores and losses."""

from mmfas.models.heads.base import BaseFASHead, liveness, sum_and_count
from mmfas.models.heads.class_prototypes import DomainClasses, single_side_prototypical_loss
from mmfas.models.heads.cross_modal_focal import CrossModalFocalHead, cross_modal_focal_losses
from mmfas.models.heads.hyperplane import HyperplaneHead, HyperplaneOptions, align_hyperplanes
from mmfas.models.heads.linear import LinearFASHead
from mmfas.models.heads.prototype import PrototypeHead
from mmfas.models.heads.text_align import TextAlignHead, closest_anchor_logits
from mmfas.models.heads.text_anchors import MMDA_PROMPTS, PROMPT_SETS, TextAnchors, read_prompts
from mmfas.models.heads.text_contrast import TextContrastHead, ViewContrast, simclr_losses
from mmfas.models.heads.text_tower import CLIP_ARCH, TextTower
from mmfas.models.heads.u_dsa import UDSA, States

__all__ = [
    'CLIP_ARCH',
    'MMDA_PROMPTS',
    'PROMPT_SETS',
    'UDSA',
    'BaseFASHead',
    'DomainClasses',
    'HyperplaneHead',
    'HyperplaneOptions',
    'CrossModalFocalHead',
    'LinearFASHead',
    'PrototypeHead',
    'States',
    'TextAlignHead',
    'TextAnchors',
    'TextContrastHead',
    'TextTower',
    'align_hyperplanes',
    'ViewContrast',
    'closest_anchor_logits',
    'cross_modal_focal_losses',
    'liveness',
    'read_prompts',
    'simclr_losses',
    'single_side_prototypical_loss',
    'sum_and_count',
]
