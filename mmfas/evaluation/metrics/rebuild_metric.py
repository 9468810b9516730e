"""The metric of pretraining: how well held-out samples are restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from mmfas.registry import METRICS
from mmfas.structures import MODALITIES
from mmfas.utils.errors import UnknownKeyError

__all__ = ['RebuildMetric']

#: Which patches count; those of one modality as well.
_KINDS = ('all', 'masked', 'seen', 'hidden')
_PLACES = tuple(enumerate(MODALITIES))


@METRICS.register_module()
class RebuildMetric(BaseMetric):
    """Mean reconstruction loss over held-out samples; smaller is better.

    Gives `all` (every patch: the training loss), `masked` (masked patches of modalities that are not hidden),
    `seen` (the other ones), `hidden` (patches of hidden modalities), and `rgb`, `depth`, `ir` (every patch of one
    modality), each a mean over patches. What no sample has is left out.

    Args:
        collect_device: `'cpu'` or `'gpu'`, the way results travel between processes.
        prefix: Prefix of the metric names.
        collect_dir: Folder through which processes exchange results on `'cpu'`.
    """

    needs_both_classes = False

    def __init__(
        self, collect_device: str = 'cpu', prefix: str = 'rebuild', *, collect_dir: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)

    @classmethod
    def names_given_by(cls, cfg: Mapping[str, Any]) -> tuple[str, ...]:
        """List the metrics that a config of this class can give.

        Args:
            cfg: Arguments of this class.

        >>> RebuildMetric.names_given_by({})[:2]
        ('rebuild/all', 'rebuild/masked')
        """
        return tuple(f'{cfg.get("prefix", "rebuild")}/{name}' for name in (*_KINDS, *MODALITIES))

    @classmethod
    def better_values_of(cls, name: str) -> str:
        """Say that less of an error is better.

        Args:
            name: One of `names_given_by`.
        """
        return 'less'

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep sum and number of patches of every kind, sample by sample.

        Args:
            data_batch: The batch; not read.
            data_samples: Dicts of samples with `rebuild_error`, `patch_mask` and `hidden`.

        Raises:
            KeyError: If a sample was not restored.
        """
        for sample in data_samples:
            missing = [key for key in ('rebuild_error', 'patch_mask', 'hidden') if sample.get(key) is None]
            if missing:
                raise UnknownKeyError(f'RebuildMetric needs {missing} in every data sample; use it in pretraining')
            error = np.asarray(sample['rebuild_error'], np.float64)
            mask, hidden = np.asarray(sample['patch_mask']), np.asarray(sample['hidden'])[:, None, None]
            chosen = {
                'all': np.ones_like(mask), 'masked': mask & ~hidden, 'seen': ~mask & ~hidden,
                'hidden': np.broadcast_to(hidden, mask.shape),
                **{name: np.eye(len(MODALITIES), dtype=bool)[place][:, None, None] for place, name in _PLACES},
            }  # fmt: skip
            there = ~np.isnan(error)
            picked = {name: error[there & np.broadcast_to(which, mask.shape)] for name, which in chosen.items()}
            self.results.append({name: (values.sum(), values.size) for name, values in picked.items()})

    def compute_metrics(self, results: list[dict[str, tuple[float, int]]]) -> dict[str, float]:
        """Return the means over the gathered samples.

        Args:
            results: Sums and counts of `process`.
        """
        metrics = {}
        for name in (*_KINDS, *MODALITIES):
            total = sum(float(result[name][0]) for result in results)
            count = sum(int(result[name][1]) for result in results)
            if count:
                metrics[name] = total / count
        return metrics
