"""Metrics for mmengine's evaluator."""

from mmfas.evaluation.metrics.fas_metric import FASMetric
from mmfas.evaluation.metrics.rebuild_metric import RebuildMetric

__all__ = ['FASMetric', 'RebuildMetric']
