"""Records that travel between the rooms: samples, fusion context, fused features, loss terms."""

from mmfas.structures.data_sample import FASDataSample, domain_code, domain_codes_of, targets_of
from mmfas.structures.fusion import FusedFeatures, FusionContext
from mmfas.structures.loss_terms import LossTerms
from mmfas.structures.modality import LIVE, MODALITIES, SPOOF, check_modalities

__all__ = [
    'LIVE',
    'MODALITIES',
    'SPOOF',
    'FASDataSample',
    'FusedFeatures',
    'FusionContext',
    'LossTerms',
    'check_modalities',
    'domain_code',
    'domain_codes_of',
    'targets_of',
]
