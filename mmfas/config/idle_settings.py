"""Settings that nothing acts on, because of others beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmfas.config.hooks import hooks_of
from mmfas.config.lookup import find_part, scope_of, type_name
from mmfas.config.monitored import unwatched
from mmfas.config.needed_views import pipelines_of
from mmfas.config.schedules import schedules_of
from mmfas.registry import TRANSFORMS
from mmfas.structures import MODALITIES

_PACK = 'PackFASInputs'


def idle_problems(cfg: Mapping[str, Any], scope: str) -> Iterator[str]:
    """Find settings without effect that nobody means.

    Args:
        cfg: A whole config as for Runner whose top is of the right kinds.
        scope: Where types without a prefix are looked up.

    Yields:
        One line for every setting.
    """
    yield from _pipelines(cfg, scope)
    averages = [path for path, hook in hooks_of(cfg) if type_name(hook).endswith('EMAHook')]
    if len(averages) > 1:
        yield f'{averages[1]}: a second EMAHook would undo what {averages[0]} does to the weights; keep one'
    if _counts_iterations(cfg):
        for path, part in schedules_of('param_scheduler', cfg.get('param_scheduler')):
            if part.get('by_epoch', True) and not part.get('convert_to_iter_based'):
                yield f'{path}: would never step, as this loop counts iterations; set by_epoch=False'
    scaling = cfg.get('auto_scale_lr')
    if isinstance(scaling, Mapping) and scaling.get('enable') and not scaling.get('base_batch_size'):
        yield 'auto_scale_lr.base_batch_size: missing, the rate cannot be scaled without it'


def idle_notes(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Find settings without effect that may be meant, or that configs inherit.

    Args:
        cfg: A whole config as for Runner in which nothing else is wrong.

    Yields:
        One line for every setting.
    """
    if cfg.get('val_dataloader') is None:
        yield from unwatched(cfg)
        loop = cfg.get('train_cfg')
        for key in ('val_begin', 'val_interval'):
            if isinstance(loop, Mapping) and loop.get(key, 1) != 1:
                yield f'train_cfg.{key}: nothing is validated (val_dataloader is missing), so this does nothing'
    for path, hook in hooks_of(cfg):
        if not type_name(hook).endswith('CheckpointHook'):
            continue
        if hook.get('rule') is not None and not hook.get('save_best'):
            yield f'{path}.rule: is for save_best, which is not set'
        if hook.get('by_epoch', True) and _counts_iterations(cfg):
            yield f'{path}: only the last checkpoint is written: this loop counts iterations; set by_epoch=False'
    yield from _unread_modalities(cfg)


def _counts_iterations(cfg: Mapping[str, Any]) -> bool:
    """Tell whether the loop of mmengine runs through the data as one epoch."""
    loop = cfg.get('train_cfg')
    if not isinstance(loop, Mapping):
        return False
    return type_name(loop) == 'IterBasedTrainLoop' or 'type' not in loop and loop.get('by_epoch') is False


def _pipelines(cfg: Mapping[str, Any], scope: str) -> Iterator[str]:
    """Yield pipelines of transforms of mmfas that do not end with what packs a sample, once."""
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for steps in pipelines_of(cfg.get(key)):
            known = [step for step in steps if isinstance(step, Mapping)]
            if not known:
                continue  # a data set may pack its samples itself
            found = [find_part(TRANSFORMS, step.get('type'), scope_of(step, scope))[0] for step in known]
            is_ours = all(getattr(part, '__module__', '').startswith('mmfas.') for part in found)
            if len(known) < len(steps) or not is_ours:
                continue  # parts of others may pack, too
            names = [type_name(step) for step in known]
            if names.count(_PACK) != 1 or names[-1] != _PACK:
                yield f'{key}: a pipeline must end with {_PACK}, once, got {", ".join(names)}'


def _unread_modalities(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield modalities that the model has and no training sample."""
    model, loader = cfg.get('model'), cfg.get('train_dataloader')
    if not isinstance(model, Mapping) or type_name(model) != 'MultiModalFAS' or not isinstance(loader, Mapping):
        return
    wanted, read = _names(model), set[str]()
    for dataset in _datasets(loader.get('dataset')):
        read |= _names(dataset) if type_name(dataset) == 'MultiModalFaceDataset' else set(MODALITIES)
    if read and (absent := [name for name in MODALITIES if name in wanted - read]):
        yield f'model.modalities: {", ".join(absent)} of the model would be absent in every training sample'


def _names(part: Mapping[str, Any]) -> set[str]:
    """Return the modalities of a part."""
    given = part.get('modalities', MODALITIES)
    return {given} if isinstance(given, str) else set(given)


def _datasets(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield data sets that hold no others."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _datasets(item)
    elif isinstance(value, Mapping):
        inner = value.get('dataset', value.get('datasets'))
        yield from [value] if inner is None else _datasets(inner)
