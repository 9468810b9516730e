"""Transforms that act on all modalities of one sample."""

from mmfas.datasets.transforms.geometry import (
    CenterCropModalities,
    RandomCropModalities,
    RandomFlipModalities,
    RandomResizedCropModalities,
    ResizeModalities,
)
from mmfas.datasets.transforms.imitation import ImitateAttacks
from mmfas.datasets.transforms.loading import LoadMultiModalImages
from mmfas.datasets.transforms.local_descriptors import IRLocalDescriptors
from mmfas.datasets.transforms.masking import DrawPatchMasks
from mmfas.datasets.transforms.missing import FixedMissing, RandomModalityDropout
from mmfas.datasets.transforms.packing import PackFASInputs
from mmfas.datasets.transforms.photometric import GaussianNoiseModalities, PhotometricModalities
from mmfas.datasets.transforms.sanity import RandomLabel
from mmfas.datasets.transforms.views import AddViews

__all__ = [
    'AddViews',
    'CenterCropModalities',
    'DrawPatchMasks',
    'FixedMissing',
    'GaussianNoiseModalities',
    'IRLocalDescriptors',
    'ImitateAttacks',
    'LoadMultiModalImages',
    'PackFASInputs',
    'PhotometricModalities',
    'RandomCropModalities',
    'RandomFlipModalities',
    'RandomLabel',
    'RandomModalityDropout',
    'RandomResizedCropModalities',
    'ResizeModalities',
]
