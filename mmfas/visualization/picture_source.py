"""Pictures of samples to look at, found by the lists that the samples come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mmfas.datasets.face_dataset import MultiModalFaceDataset
from mmfas.datasets.transforms.loading import LoadMultiModalImages
from mmfas.evaluation.worst_samples import Mistake
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError

__all__ = ['DEPTH_RANGE_MM', 'IR_RANGE', 'PictureSource']

#: For the eye only: 16-bit pictures of any camera, from near to far and from dark to bright.
DEPTH_RANGE_MM, IR_RANGE = (200, 2000), (0, 65535)
_HEIGHT_PX = 96


class PictureSource:
    """Finds the pictures of samples by the lists they come from.

    Args:
        lists: Annotation files, as a config names them.
        data_root: Folder that holds the data.

    Raises:
        FileNotFoundError: If a list does not exist.
        ValueError: If a list cannot be read.
    """

    def __init__(self, lists: Sequence[str | Path], data_root: str | Path = '') -> None:
        load = LoadMultiModalImages(depth_range_mm=DEPTH_RANGE_MM, ir_range=IR_RANGE, allow_size_mismatch=True)
        self._dataset = MultiModalFaceDataset([str(path) for path in lists], str(data_root), pipeline=[load])
        infos = (self._dataset.get_data_info(index) for index in range(len(self._dataset)))
        self._index = {info['sample_id']: number for number, info in enumerate(infos)}

    def strip(self, sample: Mistake) -> np.ndarray:
        """Return all pictures of a sample beside each other, black where a modality is absent.

        Args:
            sample: The sample.

        Returns:
            Picture (H, W, 3), uint8, RGB.

        Raises:
            ValueError: If the lists do not hold the sample, or a picture is broken.
            FileNotFoundError: If a picture does not exist.
        """
        if sample.sample_id not in self._index:
            raise InputError(
                f"no list holds the sample '{sample.sample_id}', so there is no picture of it; give the lists "
                'that were scored'
            )
        data = self._dataset[self._index[sample.sample_id]]
        return np.concatenate([_resized(data[modality]) for modality in MODALITIES], axis=1)


def _resized(image: np.ndarray) -> np.ndarray:
    """Bring a picture (H, W, 3) to one height."""
    width = max(1, round(image.shape[1] * _HEIGHT_PX / image.shape[0]))
    method = cv2.INTER_AREA if image.shape[0] > _HEIGHT_PX else cv2.INTER_NEAREST
    return cv2.resize(image, (width, _HEIGHT_PX), interpolation=method)
