"""Data sets, transforms, samplers and the synthetic benchmark."""

from mmfas.datasets import transforms
from mmfas.datasets.face_dataset import MultiModalFaceDataset
from mmfas.datasets.protocols import Provenance, parse_provenance
from mmfas.datasets.randomness import sample_randomness, set_dataset_epoch
from mmfas.datasets.samplers import DomainClassBalancedSampler, group_keys_of

__all__ = [
    'DomainClassBalancedSampler',
    'MultiModalFaceDataset',
    'Provenance',
    'group_keys_of',
    'parse_provenance',
    'sample_randomness',
    'set_dataset_epoch',
    'transforms',
]
