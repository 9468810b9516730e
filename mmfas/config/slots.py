"""What belongs at each place of a config."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmfas import registry as parts
from mmfas.registry import TypedView


@dataclass(frozen=True)
class Slot:
    """What belongs at one place of a config.

    Args:
        registry: Where the `type` is looked up; None where the part is always `default`.
        default: Type used where the config gives none.
        injected: Arguments that the builder adds, so that a config need not give them; parts of mmfas name more in
            their class attribute `injected`.
        consumed: Keys that the builder takes out, so that the part's signature need not have them.
        is_complete: Whether a missing argument is an error; False where a foreign builder may add some.
        is_leaf: Whether dictionaries below are plain settings without parts.
    """

    registry: Registry | TypedView | None
    default: str | Callable[..., Any] | None = None
    injected: tuple[str, ...] = ()
    consumed: tuple[str, ...] = ()
    is_complete: bool = True
    is_leaf: bool = False


#: Place in the config (list positions left out, `*` matches any depth) -> what belongs there; first match holds.
SLOTS: tuple[tuple[str, Slot], ...] = (
    ('*.clip_grad', Slot(None, is_leaf=True)),
    ('*.paramwise_cfg', Slot(None, is_leaf=True)),
    ('*init_cfg', Slot(parts.WEIGHT_INITIALIZERS, is_leaf=True)),
    ('model', Slot(parts.MODELS)),
    ('model.trunk', Slot(parts.BACKBONES)),
    ('model.trunk.vit', Slot(parts.MODELS, default='mmpretrain.VisionTransformer', consumed=('num_registers',))),
    ('model.neck', Slot(parts.FUSION_NECKS)),
    ('model.head', Slot(parts.HEADS)),
    ('model.head.joint', Slot(parts.HEADS)),
    ('model.head.*loss*', Slot(parts.LOSSES)),
    ('*data_preprocessor', Slot(parts.MODELS)),
    (
        '*_dataloader',
        Slot(None, default=DataLoader, consumed=('num_batch_per_epoch', 'disable_subprocess_warning')),
    ),
    ('*_dataloader.*dataset', Slot(parts.DATASETS)),
    ('*_dataloader.*datasets', Slot(parts.DATASETS)),
    ('*_dataloader.sampler', Slot(parts.DATA_SAMPLERS, injected=('dataset', 'seed'))),
    ('*_dataloader.batch_sampler', Slot(parts.DATA_SAMPLERS, injected=('sampler', 'batch_size'))),
    ('*_dataloader.collate_fn', Slot(parts.FUNCTIONS, injected=('data_batch', 'batch'))),
    ('*_dataloader.worker_init_fn', Slot(parts.FUNCTIONS, injected=('worker_id',), is_complete=False)),
    ('*.pipeline', Slot(parts.TRANSFORMS)),
    ('*_evaluator.metrics', Slot(parts.METRICS)),
    ('*_evaluator', Slot(parts.METRICS)),
    (
        'optim_wrapper',
        Slot(parts.OPTIM_WRAPPERS, default='OptimWrapper', consumed=('constructor', 'paramwise_cfg')),
    ),
    ('optim_wrapper.optimizer', Slot(parts.OPTIMIZERS, injected=('params',))),
    ('optim_wrapper.*modulator', Slot(parts.GRADIENT_MODULATORS)),
    (
        'param_scheduler',
        Slot(parts.PARAM_SCHEDULERS, injected=('optimizer',), consumed=('convert_to_iter_based', 'epoch_length')),
    ),
    ('default_hooks.*', Slot(parts.HOOKS, consumed=('priority',))),
    ('custom_hooks', Slot(parts.HOOKS, consumed=('priority',))),
    ('visualizer', Slot(parts.VISUALIZERS, injected=('name', 'save_dir'))),
    ('visualizer.vis_backends', Slot(parts.VISBACKENDS, injected=('save_dir',))),
    ('model_wrapper_cfg', Slot(parts.MODEL_WRAPPERS, default='MMDistributedDataParallel', injected=('module',))),
    ('train_cfg', Slot(parts.LOOPS, default='EpochBasedTrainLoop', injected=('runner', 'dataloader'))),
    ('val_cfg', Slot(parts.LOOPS, default='ValLoop', injected=('runner', 'dataloader', 'evaluator'))),
    ('test_cfg', Slot(parts.LOOPS, default='TestLoop', injected=('runner', 'dataloader', 'evaluator'))),
    ('log_processor', Slot(parts.LOG_PROCESSORS, default='LogProcessor')),
    ('randomness', Slot(None, default=Runner.set_randomness, injected=('self',))),
)


@functools.lru_cache(maxsize=16384)
def slot_at(plain: str) -> Slot | None:
    """Return the first entry of `SLOTS` for a place, at any depth where it has a `*`; None if there is none."""
    return next((slot for pattern, slot in SLOTS if fnmatchcase(plain, pattern)), None)


@functools.lru_cache(maxsize=16384)
def exact_slot(plain: str) -> tuple[str, Slot]:
    """Return the entry of `SLOTS` that means this very place, not one above it; an empty pattern if none does."""
    for pattern, slot in SLOTS:
        is_same_depth = plain.count('.') == pattern.count('.') or pattern.startswith('*')
        if is_same_depth and fnmatchcase(plain, pattern):
            return pattern, slot
    return '', Slot(None)
