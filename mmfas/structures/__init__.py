"""What travels between the packages: samples, fusion context, fused features, losses, the repeat protocol."""

from mmfas.structures.after_step import StepAware
from mmfas.structures.data_sample import FASDataSample, domain_code, domain_codes_of, targets_of
from mmfas.structures.fusion import FusedFeatures, FusionContext
from mmfas.structures.loss_terms import LossTerms
from mmfas.structures.modality import LIVE, MODALITIES, SPOOF, check_modalities
from mmfas.structures.modality_offer import ModalityOffer
from mmfas.structures.repeated_passes import RepeatAware, expect_repeats

__all__ = [
    'LIVE',
    'MODALITIES',
    'SPOOF',
    'FASDataSample',
    'FusedFeatures',
    'FusionContext',
    'LossTerms',
    'RepeatAware',
    'StepAware',
    'ModalityOffer',
    'check_modalities',
    'domain_code',
    'domain_codes_of',
    'expect_repeats',
    'targets_of',
]
