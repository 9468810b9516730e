"""Pretraining of a trunk without labels: masked and cross-modal reconstruction."""

from mmfas.models.pretraining.decoder import CrossModalDecoder
from mmfas.models.pretraining.masked_pretrainer import MaskedMultiModalPretrainer

__all__ = ['CrossModalDecoder', 'MaskedMultiModalPretrainer']
