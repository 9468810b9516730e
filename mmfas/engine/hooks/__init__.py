"""Hooks of the training loop: exact resume, checkpoints, early stopping, prototypes, curves, a NaN guard."""

from mmfas.engine.hooks.after_step import AfterStepHook
from mmfas.engine.hooks.checkpoint import SafeCheckpointHook
from mmfas.engine.hooks.early_stopping import ResumableEarlyStoppingHook
from mmfas.engine.hooks.loss_guard import LossGuardHook
from mmfas.engine.hooks.modulation_log import ModulationLogHook
from mmfas.engine.hooks.prototypes import PrototypeRefreshHook
from mmfas.engine.hooks.sample_seed import SampleSeedHook

__all__ = [
    'AfterStepHook',
    'LossGuardHook',
    'ModulationLogHook',
    'PrototypeRefreshHook',
    'ResumableEarlyStoppingHook',
    'SafeCheckpointHook',
    'SampleSeedHook',
]
