"""Masks for pretraining: which patches of a sample a model does not see, and which modality it has to guess."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from mmfas.datasets.randomness import current_rng, numpy_draws_only
from mmfas.registry import TRANSFORMS
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError

__all__ = ['DrawPatchMasks']


@TRANSFORMS.register_module()
@numpy_draws_only
class DrawPatchMasks(BaseTransform):
    """Draw which patches of each modality are masked, and in some samples a modality that is hidden as a whole.

    The images stay as they are: `MaskedMultiModalPretrainer` compares with them. Like every draw of a pipeline
    this one derives from (seed, epoch, index): a resumed run sees the masks of an uninterrupted one, and
    validation the same masks in every epoch.

    Required Keys:
        rgb, depth, ir, present
    Added Keys:
        patch_mask (bool (3, rows, columns) over `MODALITIES`, True where masked), hidden (bool (3,), at most one)

    Args:
        patch_size: Side of a patch in pixels, as that of the trunk; it has to divide the images.
        ratio: Patches that are masked in every modality, 0 to 1; rounded to whole patches.
        hide_prob: Samples in which one whole modality, of those present, is hidden, 0 to 1. A sample that has only
            one modality keeps it.

    Raises:
        ValueError: If an argument is out of its range, or patches do not fill the images.
    """

    def __init__(self, *, patch_size: int = 16, ratio: float = 0.5, hide_prob: float = 0.5) -> None:
        if patch_size < 1:
            raise InputError(f'patch_size must be at least 1, but got {patch_size}')
        for name, value in (('ratio', ratio), ('hide_prob', hide_prob)):
            if not 0.0 <= value <= 1.0:
                raise InputError(f'{name} must lie in 0..1, but got {value}')
        self.patch_size, self.ratio, self.hide_prob = patch_size, ratio, hide_prob

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'patch_size': 8}

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Draw the masks of one sample.

        Args:
            results: Sample with images (H, W, 3) of one size.

        Returns:
            The sample with `patch_mask` and `hidden`.
        """
        height, width = results[MODALITIES[0]].shape[:2]
        if height % self.patch_size or width % self.patch_size:
            raise InputError(
                f'{results.get("source_line", "a sample")}: patches of {self.patch_size} pixels do not fill '
                f'images of {width}x{height}; resize them before DrawPatchMasks'
            )
        rng = current_rng()
        rows, columns = height // self.patch_size, width // self.patch_size
        num_masked = round(self.ratio * rows * columns)
        ranks = rng.random((len(MODALITIES), rows * columns)).argsort(axis=1).argsort(axis=1)
        hidden = np.zeros(len(MODALITIES), np.bool_)
        there = [place for place, modality in enumerate(MODALITIES) if results['present'][modality]]
        chance, pick = rng.random(2)
        if chance < self.hide_prob and len(there) > 1:
            hidden[there[int(pick * len(there))]] = True
        results['patch_mask'] = (ranks < num_masked).reshape(len(MODALITIES), rows, columns)
        results['hidden'] = hidden
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(patch_size={self.patch_size}, ratio={self.ratio}, hide_prob={self.hide_prob})'
        )
