"""Optimizers."""

from mmfas.engine.optimizers.row_adamw import RowAdamW

__all__ = ['RowAdamW']
