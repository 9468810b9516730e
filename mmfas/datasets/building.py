"""From a config to its data sets, as the commands need them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmfas.registry import DATASETS, SCOPE

__all__ = ['SPLITS', 'build_split']

#: Names of the splits a config can have; each stands under `<name>_dataloader`.
SPLITS = ('train', 'val', 'test')


def build_split(config: Mapping[str, Any], split: str) -> list[Any]:
    """Build the data sets of one split, without a loader.

    Args:
        config: Whole config with `<split>_dataloader`, one or a list of them.
        split: `'train'`, `'val'` or `'test'`.

    Returns:
        One data set per loader; none if the config has no such split.
    """
    loaders = config.get(f'{split}_dataloader')
    if not loaders:
        return []
    loaders = [loaders] if isinstance(loaders, Mapping) else loaders
    return [DATASETS.build({'_scope_': SCOPE, **loader['dataset']}) for loader in loaders]
