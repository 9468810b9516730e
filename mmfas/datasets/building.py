"""From a config to its data sets, as the commands need them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmfas.registry import DATA_SAMPLERS, DATASETS, SCOPE

__all__ = ['SPLITS', 'build_split', 'sampling_problems']

#: Names of the splits a config can have; each has the key `<name>_dataloader`.
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


def sampling_problems(config: Mapping[str, Any]) -> list[str]:
    """Find out whether the training samples can be drawn in balance; reads lists, but not pictures.

    Args:
        config: Whole config; one without the balanced sampler is left alone.

    Returns:
        What is wrong as one sentence; empty if nothing is.
    """
    loader = config.get('train_dataloader') or {}
    sampler = loader.get('sampler') or {}
    if not str(sampler.get('type')).endswith('DomainClassBalancedSampler'):
        return []
    try:
        dataset = DATASETS.build({'_scope_': SCOPE, **loader['dataset']})
        DATA_SAMPLERS.build({'_scope_': SCOPE, **sampler}, default_args={'dataset': dataset, 'seed': 0})
    except (OSError, TypeError, ValueError) as error:
        return [f'train_dataloader: {error}']
    return []
