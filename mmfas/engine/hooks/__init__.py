"""Hooks of the training loop: exact resume, safe checkpoints, early stopping, prototypes, a guard against NaN."""

from mmfas.engine.hooks.checkpoint import SafeCheckpointHook
from mmfas.engine.hooks.early_stopping import ResumableEarlyStoppingHook
from mmfas.engine.hooks.loss_guard import LossGuardHook
from mmfas.engine.hooks.prototypes import PrototypeRefreshHook
from mmfas.engine.hooks.sample_seed import SampleSeedHook

__all__ = [
    'LossGuardHook',
    'PrototypeRefreshHook',
    'ResumableEarlyStoppingHook',
    'SafeCheckpointHook',
    'SampleSeedHook',
]
