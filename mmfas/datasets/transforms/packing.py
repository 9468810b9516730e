"""Packing: the end of the pipeline, a dictionary that any collate function understands."""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmfas.datasets.randomness import numpy_draws_only
from mmfas.registry import TRANSFORMS
from mmfas.structures import MODALITIES, FASDataSample
from mmfas.utils.errors import InputError

__all__ = ['PackFASInputs']

_META_KEYS = ('sample_id', 'domain', 'pai', 'subject', 'video', 'img_paths', 'source_line')


def _rebuild_sample(fields: dict[str, Any], arrays: dict[str, np.ndarray]) -> FASDataSample:
    """Rebuild the sample that `_reduce_sample` took apart."""
    sample = FASDataSample()
    sample.__dict__.update(fields)
    sample.__dict__.update({key: torch.from_numpy(array) for key, array in arrays.items()})
    return sample


def _reduce_sample(sample: FASDataSample) -> tuple[Any, ...]:
    """Take a sample apart for the way between two processes, its CPU tensors as arrays.

    A tensor would travel as a file descriptor of its own: a few workers with large batches run out of them.
    """
    fields, arrays = dict(vars(sample)), {}
    for key, value in vars(sample).items():
        if isinstance(value, torch.Tensor) and value.device.type == 'cpu' and not value.requires_grad:
            arrays[key] = fields.pop(key).numpy()
    return _rebuild_sample, (fields, arrays)


ForkingPickler.register(FASDataSample, _reduce_sample)


def _to_tensor(image: np.ndarray) -> torch.Tensor:
    """Turn (H, W, 3) into a contiguous (3, H, W) tensor (OpenCV's split is 4 times as fast as a transpose)."""
    planes = np.empty((3, image.shape[0], image.shape[1]), np.uint8)
    cv2.split(image, [planes[0], planes[1], planes[2]])
    return torch.from_numpy(planes)


@TRANSFORMS.register_module()
@numpy_draws_only
class PackFASInputs(BaseTransform):
    """Pack images and annotation for the model.

    Every modality key is always packed; `data_samples.present` says which ones are real.

    Required Keys:
        rgb, depth, ir, present, gt_label, sample_id, domain, pai, subject, video, img_paths, source_line; views
        where `AddViews` made some; patch_mask and hidden where `DrawPatchMasks` drew them
    Added Keys:
        inputs (modality -> uint8 tensor (3, H, W)), data_samples (`FASDataSample`); inputs_view (modality -> uint8
        tensor (V, 3, H, W)) where there are views
    Deleted Keys:
        everything else
    """

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__}

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack one sample.

        Args:
            results: Sample with uint8 images (H, W, 3) of one size.

        Returns:
            `inputs` and `data_samples`. The label is left out where the sample has none.

        Raises:
            ValueError: If the images have not been loaded.
        """
        if 'present' not in results:
            raise InputError(
                "PackFASInputs finds no images; start the pipeline with dict(type='LoadMultiModalImages')"
            )
        present = results['present']
        sample = FASDataSample()
        for key in _META_KEYS:
            if key in results:  # one by one: set_metainfo would deep-copy
                sample.set_field(results[key], key, field_type='metainfo')
        sample.present = torch.from_numpy(np.array([present[m] for m in MODALITIES]))
        if 'gt_label' in results:
            sample.gt_label = results['gt_label']
        for key in ('patch_mask', 'hidden'):
            if key in results:
                sample.set_field(torch.from_numpy(results[key]), key, dtype=torch.Tensor)
        packed = {'inputs': {m: _to_tensor(results[m]) for m in MODALITIES}, 'data_samples': sample}
        if 'views' in results:
            views = {m: torch.stack([_to_tensor(view[m]) for view in results['views']]) for m in MODALITIES}
            packed['inputs_view'] = views
        return packed

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
