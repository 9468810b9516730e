"""Hooks of the training loop: exact resume, safe checkpoints, early stopping, a guard against NaN."""

from mmfas.engine.hooks.checkpoint import SafeCheckpointHook
from mmfas.engine.hooks.early_stopping import ResumableEarlyStoppingHook
from mmfas.engine.hooks.loss_guard import LossGuardHook
from mmfas.engine.hooks.sample_seed import SampleSeedHook

__all__ = ['LossGuardHook', 'ResumableEarlyStoppingHook', 'SafeCheckpointHook', 'SampleSeedHook']
