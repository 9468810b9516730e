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

__all__ = ['PATTERN_PRESETS', 'FixedMissing', 'RandomModalityDropout']

#: Published choices of what is left of a sample: modalities that stay -> weight. FaceBagNet (CVPRW 2019) leaves
#: half of the samples whole, takes one modality from a quarter and all but one from a quarter; MMANet (CVPR 2023)
#: draws one of the seven subsets, all equally often.
PATTERN_PRESETS: dict[str, dict[str, float]] = {
    'facebagnet': {
        'rgb+depth+ir': 6,
        **dict.fromkeys(('depth+ir', 'rgb+ir', 'rgb+depth', 'rgb', 'depth', 'ir'), 1),
    },
    'mmanet': dict.fromkeys(('rgb', 'depth', 'ir', 'rgb+depth', 'rgb+ir', 'depth+ir', 'rgb+depth+ir'), 1),
}


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
    """Remove modalities at random, so that a model learns to work without them.

    Either each modality by itself (`prob`), or one of several patterns of what stays (`patterns`).

    Required Keys:
        rgb, depth, ir, present; modalities where the data set loads fewer than three; epoch with `warmup`
    Modified Keys:
        rgb, depth, ir, present

    Args:
        prob: Probability of removal, one for all modalities or one each as `{'depth': 0.3}`; unnamed ones stay.
            None for 0.3, or with `patterns`.
        keep_at_least: Number of modalities that always stay, at least 1 (None for 1, or with `patterns`). Only
            those count that the data set loads and the sample has; a sample with no more than this keeps them all.
            If the draws would leave fewer, random ones of the removed are put back.
        patterns: What stays -> weight, such as `{'rgb+depth+ir': 2, 'rgb': 1}`, or the name of a preset:
            `'facebagnet'` (half of the samples whole, a quarter without one modality, a quarter with one alone) or
            `'mmanet'` (all seven subsets equally often). A sample that lacks modalities keeps what it has of the
            drawn pattern; patterns of which it has nothing are not drawn, and if there are no others, it stays
            as it is.
        warmup: Epochs until the full rate: in epoch e (from 0) a sample comes into question with probability
            `min(1, e / warmup)`, so that the first epoch removes nothing. 0 for the full rate from the start.

    Raises:
        ValueError: If an argument is out of range, options exclude each other, or more are to be kept than the
            data set loads.
    """

    def __init__(
        self,
        prob: float | Mapping[str, float] | None = None,
        keep_at_least: int | None = None,
        *,
        patterns: Mapping[str, float] | str | None = None,
        warmup: int = 0,
    ) -> None:
        if patterns is not None and (prob is not None or keep_at_least is not None):
            raise InputError(
                'patterns say what stays, so prob and keep_at_least have no effect beside them; leave them out, '
                f'got prob={prob} and keep_at_least={keep_at_least}'
            )
        prob = 0.3 if prob is None else prob
        keep_at_least = 1 if keep_at_least is None else keep_at_least
        probs = dict(prob) if isinstance(prob, Mapping) else dict.fromkeys(MODALITIES, float(prob))
        if not set(probs) <= set(MODALITIES) or not all(0 <= p <= 1 for p in probs.values()):
            raise InputError(f'prob must be in [0, 1], alone or by modality of {MODALITIES}, but got {prob}')
        if not 1 <= keep_at_least <= len(MODALITIES):
            raise InputError(f'keep_at_least must be 1 to {len(MODALITIES)}, but got {keep_at_least}')
        if warmup < 0:
            raise InputError(f'warmup must be a number of epochs, 0 or more, but got {warmup}')
        self.prob = probs
        self.keep_at_least = keep_at_least
        self.patterns = None if patterns is None else _read_patterns(patterns)
        self.warmup = warmup

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this transform."""
        return {'type': cls.__name__, 'prob': 0.3}

    @property
    def droppable(self) -> tuple[str, ...]:
        """Modalities that may be removed from a sample that has all."""
        if self.patterns is not None:
            drawn = [stay for stay, weight in self.patterns.items() if weight > 0]
            return tuple(m for m in MODALITIES if any(m not in stay for stay in drawn))
        may_drop = self.keep_at_least < len(MODALITIES)
        return tuple(m for m in MODALITIES if may_drop and self.prob.get(m, 0.0) > 0)

    def draw_removed(self, present: tuple[str, ...]) -> tuple[str, ...]:
        """Draw which of the present modalities are removed."""
        if self.patterns is not None:
            return self._draw_pattern(self.patterns, present)
        # One draw per canonical modality, present or not, so that no modality shifts the draws of another.
        rng = current_rng()
        draws = dict(zip(MODALITIES, rng.random(len(MODALITIES))))
        order = [MODALITIES[i] for i in rng.permutation(len(MODALITIES))]
        removed = [m for m in order if m in present and draws[m] < self.prob.get(m, 0.0)]
        num_removable = max(0, len(present) - self.keep_at_least)
        return tuple(removed[:num_removable])

    @staticmethod
    def _draw_pattern(patterns: Mapping[tuple[str, ...], float], present: tuple[str, ...]) -> tuple[str, ...]:
        """Draw a pattern of which the sample has something, and return what it takes away."""
        draw = current_rng().random()  # always one number, whatever the sample has
        kept = [(stay, weight) for stay, weight in patterns.items() if set(stay) & set(present) and weight > 0]
        if not kept:
            return ()
        reached = np.cumsum([weight for _, weight in kept])
        # the last bound is left out: rounding could reach it
        stay, _ = kept[int(np.searchsorted(reached[:-1], draw * reached[-1], side='right'))]
        return tuple(m for m in present if m not in stay)

    def _is_spared(self, results: Mapping[str, Any]) -> bool:
        """Tell whether warm-up leaves this sample alone; without warm-up nothing is drawn."""
        if not self.warmup:
            return False
        if 'epoch' not in results:
            raise InputError(
                f'RandomModalityDropout: warmup={self.warmup} needs the epoch of the sample, which this data set '
                'does not give; use MultiModalFaceDataset or set warmup=0'
            )
        return bool(current_rng().random() >= results['epoch'] / self.warmup)

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
        return results if self._is_spared(results) else _remove(results, self.draw_removed(present))

    def __repr__(self) -> str:
        warmup = f', warmup={self.warmup}' if self.warmup else ''
        if self.patterns is not None:
            patterns = {'+'.join(stay): weight for stay, weight in self.patterns.items()}
            return f'{type(self).__name__}(patterns={patterns}{warmup})'
        return f'{type(self).__name__}(prob={self.prob}, keep_at_least={self.keep_at_least}{warmup})'


def _read_patterns(patterns: Mapping[str, float] | str) -> dict[tuple[str, ...], float]:
    """Turn `{'rgb+depth': 1}` or the name of a preset into modalities that stay -> weight."""
    if isinstance(patterns, str):
        if patterns not in PATTERN_PRESETS:
            raise InputError(f'patterns must be weights or one of {sorted(PATTERN_PRESETS)}, but got {patterns!r}')
        patterns = PATTERN_PRESETS[patterns]
    read: dict[tuple[str, ...], float] = {}
    for name, weight in patterns.items():
        stay = tuple(m for m in MODALITIES if m in str(name).split('+'))
        if sorted(stay) != sorted(str(name).split('+')) or stay in read:
            raise InputError(
                f'a pattern names what stays, each set once, as in rgb+depth of {MODALITIES}, but got {name!r}'
            )
        if not 0 <= weight < np.inf:
            raise InputError(f'the weight of the pattern {name!r} must be 0 or more, but got {weight}')
        read[stay] = float(weight)
    if not any(read.values()):
        raise InputError(f'patterns must hold at least one weight above 0, but got {dict(patterns)}')
    return read


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
