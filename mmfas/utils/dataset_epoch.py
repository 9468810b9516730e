"""Setting the epoch of data sets, through wrappers of any depth."""

from __future__ import annotations

from typing import Any


def set_dataset_epoch(dataset: Any, epoch: int, seed: int | None = None) -> int:
    """Set the epoch of every data set inside `dataset`, through wrappers such as `ConcatDataset`.

    Args:
        dataset: A data set with `set_epoch(epoch, seed)`, or a wrapper with `dataset` or `datasets`. A wrapper
            that has `set_epoch` itself is trusted to pass it on.
        epoch: Epoch, >= 0.
        seed: Seed of the run, or None to keep the one that is set.

    Returns:
        The number of data sets whose epoch was set; 0 if none of them has `set_epoch`.
    """
    if callable(getattr(dataset, 'set_epoch', None)):
        dataset.set_epoch(epoch, seed)
        return 1
    inner = [dataset.dataset] if hasattr(dataset, 'dataset') else getattr(dataset, 'datasets', [])
    return sum(set_dataset_epoch(part, epoch, seed) for part in inner)
