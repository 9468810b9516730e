"""Further views of the samples: does the training pipeline make them if the head needs them, and only then?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from mmfas.config.lookup import type_name


def view_problems(cfg: Mapping[str, Any], built: nn.Module | Exception) -> Iterator[str]:
    """Find views that are lacking, or that nothing looks at.

    Args:
        cfg: A whole config as for Runner in which nothing else is wrong.
        built: Its model, see `mmfas.config.fitting.build_without_memory`. One that could not be built, or is of
            another toolkit, says nothing of views.

    Yields:
        One line for every pipeline that does not fit the head.
    """
    head_of_model = getattr(built, 'head', None)
    needed = getattr(head_of_model, 'needs_views', None)
    if needed is None:
        return
    head = type(head_of_model).__name__
    for name in ('train', 'val', 'test'):
        pipelines = list(pipelines_of(cfg.get(f'{name}_dataloader')))
        makes = [any(_is_adding(step) for step in steps) for steps in pipelines]
        if name == 'train' and needed and cfg.get('train_cfg') is not None and pipelines and not all(makes):
            remedy = "put dict(type='AddViews', ...) behind the loading, or set the weights of their losses to 0"
            yield f'train_dataloader: {head} needs further views of every sample; {remedy}'
        elif any(makes) and (name != 'train' or not needed):
            user = head if name == 'train' else 'scoring'
            yield f'{name}_dataloader: {user} has no use for further views of the samples; take AddViews out'


def _is_adding(step: Any) -> bool:
    """Tell whether a step of a pipeline makes views."""
    return isinstance(step, Mapping) and type_name(step) == 'AddViews'


def pipelines_of(value: Any) -> Iterator[list[Any]]:
    """Yield the pipelines of a loader, of data sets inside data sets too.

    Args:
        value: Config of a loader or of a data set.
    """
    if not isinstance(value, Mapping):
        return
    if isinstance(value.get('pipeline'), list | tuple):
        yield list(value['pipeline'])
    for key, inner in value.items():
        if key in ('dataset', 'datasets'):
            for item in inner if isinstance(inner, list | tuple) else [inner]:
                yield from pipelines_of(item)
