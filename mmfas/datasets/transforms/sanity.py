"""Sanity checks of a procedure: transforms that remove information on purpose."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from mmfas.registry import TRANSFORMS
from mmfas.structures import LIVE, SPOOF
from mmfas.utils.errors import InputError

__all__ = ['RandomLabel']


@TRANSFORMS.register_module()
class RandomLabel(BaseTransform):
    """Give every sample a random label, the same in every epoch.

    A model trained so must score AUC 0.5 on true labels; if it does better, something leaks.

    Required Keys:
        sample_id
    Modified Keys:
        gt_label

    Args:
        live_share: Probability of the label live, in [0, 1].
        seed: Seed of the labels.
    """

    def __init__(self, live_share: float = 0.5, seed: int = 0) -> None:
        if not 0 <= live_share <= 1:
            raise InputError(f'live_share must be in [0, 1], but got {live_share}')
        self.live_share = live_share
        self.seed = seed

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__}

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace the label.

        Args:
            results: Sample with its `sample_id`.

        Returns:
            The same sample with another `gt_label`.
        """
        rng = np.random.default_rng([self.seed, zlib.crc32(results['sample_id'].encode())])
        results['gt_label'] = LIVE if rng.random() < self.live_share else SPOOF
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(live_share={self.live_share}, seed={self.seed})'
