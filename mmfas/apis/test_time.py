"""Test-time augmentation: pipelines that give several views, and the model that averages their scores."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.model import BaseModel

from mmfas.registry import MODELS, SCOPE
from mmfas.utils.errors import InputError

__all__ = ['default_views', 'use_views', 'wrap_for_views']

_LOADERS = ('val_dataloader', 'test_dataloader')
_DEFAULT_MODEL = {'type': f'{SCOPE}.AverageScoreTTA'}
_PACKING = 'PackFASInputs'


def default_views(pipeline: list[Any]) -> list[Any]:
    """Turn a test pipeline into one that gives a sample as it is and mirrored.

    Args:
        pipeline: Pipeline that ends with `PackFASInputs`.

    Returns:
        A pipeline that ends with `TestTimeAug`.

    Raises:
        ValueError: If the last step does not pack.
    """
    *steps, packing = pipeline or [None]
    if not str((packing or {}).get('type')).endswith(_PACKING):
        raise InputError(
            f'views can be made of a pipeline that ends with {_PACKING}; write the one with TestTimeAug into '
            'tta_pipeline of the config'
        )
    flips = [dict(type=f'{SCOPE}.RandomFlipModalities', prob=prob) for prob in (0.0, 1.0)]
    packed = {**packing, 'type': f'{SCOPE}.{_PACKING}'}
    return [*steps, dict(type='TestTimeAug', transforms=[flips, [packed]])]


def use_views(cfg: Config) -> Config:
    """Make dev and test sets give several views of every sample.

    Both must have the same ones: the threshold that dev scores fix is applied to the test scores.

    Args:
        cfg: Config; its `tta_pipeline` replaces the pipelines of dev and test sets. Without one, every set gives
            its samples as they are and mirrored.

    Returns:
        A changed copy.

    Raises:
        ValueError: If a data set has no pipeline, or none that views can be made of.
    """
    cfg = copy.deepcopy(cfg)
    loaders = {name: cfg[name] for name in _LOADERS if cfg.get(name)}
    loaders.update((cfg.get('extra_test_dataloaders') or {}).items())
    for name, loader in loaders.items():
        datasets = list(_with_pipeline(loader['dataset']))
        if not datasets:
            raise InputError(f'{name}: its data set has no pipeline, so no views can be made of its samples')
        for dataset in datasets:
            given = cfg.get('tta_pipeline')
            dataset['pipeline'] = copy.deepcopy(given) if given else default_views(dataset['pipeline'])
    return cfg


def _with_pipeline(dataset: Any) -> Iterator[Any]:
    """Yield the configs of data sets with a pipeline, through wrappers."""
    if 'pipeline' in dataset:
        yield dataset
    inner = [dataset['dataset']] if 'dataset' in dataset else dataset.get('datasets') or []
    for part in inner:
        yield from _with_pipeline(part)


def wrap_for_views(cfg: Config, model: BaseModel) -> BaseModel:
    """Put a model into one that merges the predictions of several views.

    Args:
        cfg: Config; its `tta_model`, or else `AverageScoreTTA`, says how.
        model: The model, in evaluation mode.

    Returns:
        The wrapped model, in evaluation mode.
    """
    return MODELS.build({**_DEFAULT_MODEL, **(cfg.get('tta_model') or {}), 'module': model}).eval()
