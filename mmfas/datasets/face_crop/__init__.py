"""Face crop for your own footage: one square, found on one modality, cut out of all registered pictures."""

from mmfas.datasets.face_crop.geometry import (
    ALIGNMENTS,
    NO_FACE,
    SEVERAL_FACES,
    CropSpec,
    SampleCrop,
    Square,
    crop_picture,
    crop_sample,
)
from mmfas.datasets.face_crop.pictures import read_picture
from mmfas.datasets.face_crop.report import CropReport
from mmfas.datasets.face_crop.run import crop_dataset

__all__ = [
    'ALIGNMENTS',
    'NO_FACE',
    'SEVERAL_FACES',
    'CropReport',
    'CropSpec',
    'SampleCrop',
    'Square',
    'crop_dataset',
    'crop_picture',
    'crop_sample',
    'read_picture',
]
