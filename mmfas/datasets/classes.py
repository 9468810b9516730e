"""Which classes a data set has, checked before anything is computed on it."""

from __future__ import annotations

from typing import Any

from mmfas.datasets.samplers import group_keys_of
from mmfas.structures import LIVE
from mmfas.utils.errors import InputError

__all__ = ['require_both_classes']


def require_both_classes(dataset: Any, place: str) -> None:
    """Raise if a dev split has one class only: no threshold can be chosen on it.

    Args:
        dataset: A data set; one that does not provide the classes of its samples passes.
        place: Its place in the config, such as `'val_dataloader'`, for the message.

    Raises:
        ValueError: If all of its samples are of one class; the message names its lists.
    """
    try:
        labels = [label for _, label in group_keys_of(dataset)]
    except TypeError:
        return
    if len(set(labels)) != 1:
        return
    kind, other = ('live faces', 'attacks') if labels[0] == LIVE else ('attacks', 'live faces')
    files = ', '.join(f"'{file}'" for file in _lists_of(dataset)) or type(dataset).__name__
    raise InputError(
        f'{place}: all {len(labels)} samples of {files} are {kind}, so no threshold can be chosen on them; add '
        f'lists with {other}, or check which label means live (live_label)'
    )


def _lists_of(dataset: Any) -> list[str]:
    """Return the annotation files of a data set, through wrappers."""
    inner = [*getattr(dataset, 'datasets', ()), *([dataset.dataset] if hasattr(dataset, 'dataset') else ())]
    if inner:
        return [file for part in inner for file in _lists_of(part)]
    files = getattr(dataset, 'ann_file', None) or []
    return [files] if isinstance(files, str) else [str(file) for file in files]
