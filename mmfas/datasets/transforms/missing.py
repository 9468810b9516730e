"""Missing modalities: absence is `present[m] = False`, and the image becomes zeros of the same size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from mmfas.datasets.randomness import current_rng, numpy_draws_only
from mmfas.registry import TRANSFORMS
from mmfas.structures import MODALITIES, check_modalities
from mmfas.utils.errors import InputError

__all__ = ['FixedMissing', 'RandomModalityDropout']


def _remove(results: dict[str, Any], modalities: Iterable[str]) -> dict[str, Any]:
    """Mark modalities as absent, without changing the caller's arrays and dictionary of presence."""
    present = dict(results['present'])
    for modality in modalities:
        present[modality] = False
        results[modality] = np.zeros_like(results[modality])
    results['present'] = present
    return results


@TRANSFORMS.register_module()
@numpy_draws_only
class RandomModalityDropout(BaseTransform):
    """Remove each modality at random, so that a model learns to work without it.

    Required Keys:
        rgb, depth, ir, present; modalities where the data set loads fewer than three
    Modified Keys:
        rgb, depth, ir, present

    Args:
        prob: Probability of removal, one for all modalities or one each as `{'depth': 0.3}`; unnamed ones stay.
        keep_at_least: Number of modalities that always stay, at least 1. Only those count that the data set loads
            and the sample has; a sample with no more than this keeps them all. If the draws would leave
            fewer, random ones of the removed are put back.

    Raises:
        ValueError: If an argument is out of range, or more are to be kept than the data set loads.
    """

    def __init__(self, prob: float | Mapping[str, float] = 0.3, keep_at_least: int = 1) -> None:
        probs = dict(prob) if isinstance(prob, Mapping) else dict.fromkeys(MODALITIES, float(prob))
        if not set(probs) <= set(MODALITIES) or not all(0 <= p <= 1 for p in probs.values()):
            raise InputError(f'prob must be in [0, 1], alone or by modality of {MODALITIES}, but got {prob}')
        if not 1 <= keep_at_least <= len(MODALITIES):
            raise InputError(f'keep_at_least must be 1 to {len(MODALITIES)}, but got {keep_at_least}')
        self.prob = probs
        self.keep_at_least = keep_at_least

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'prob': 0.3}

    def draw_removed(self, present: tuple[str, ...]) -> tuple[str, ...]:
        """Draw which of the present modalities are removed."""
        # One draw per canonical modality, present or not, so that no modality shifts the draws of another.
        rng = current_rng()
        draws = dict(zip(MODALITIES, rng.random(len(MODALITIES))))
        order = [MODALITIES[i] for i in rng.permutation(len(MODALITIES))]
        removed = [m for m in order if m in present and draws[m] < self.prob.get(m, 0.0)]
        num_removable = max(0, len(present) - self.keep_at_least)
        return tuple(removed[:num_removable])

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Remove the drawn modalities.

        Args:
            results: Sample with images and `present`.

        Returns:
            The sample with fewer modalities.
        """
        loaded = results.get('modalities', MODALITIES)
        if self.keep_at_least > len(loaded):
            raise InputError(
                f'RandomModalityDropout: keep_at_least={self.keep_at_least}, but the data set loads '
                f'{tuple(loaded)} only, so nothing would ever be removed; keep at most {len(loaded)}'
            )
        present = tuple(m for m in MODALITIES if results['present'][m])
        return _remove(results, self.draw_removed(present))

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, keep_at_least={self.keep_at_least})'


@TRANSFORMS.register_module()
@numpy_draws_only
class FixedMissing(BaseTransform):
    """Remove the same modalities from every sample (Protocol 2 of the MMDG benchmark: depth, IR, or both).

    Required Keys:
        rgb, depth, ir, present, sample_id, source_line
    Modified Keys:
        rgb, depth, ir, present

    Args:
        missing: Modalities to remove; at least one of the three must be left.

    Raises:
        ValueError: If a sample has nothing but the missing modalities.
    """

    def __init__(self, missing: tuple[str, ...] | str) -> None:
        self.missing = check_modalities(missing)
        if len(self.missing) == len(MODALITIES):
            raise InputError('at least one modality must be left')

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'missing': ('depth',)}

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Remove the modalities.

        Args:
            results: Sample with images and `present`.

        Returns:
            The sample without them.
        """
        if not any(results['present'][m] for m in MODALITIES if m not in self.missing):
            raise InputError(
                f'{results["sample_id"]} ({results["source_line"]}): has nothing but the missing {self.missing}'
            )
        return _remove(results, self.missing)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(missing={self.missing})'
