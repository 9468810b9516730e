"""Metrics for mmengine's evaluator."""

from mmfas.evaluation.metrics.fas_metric import FASMetric

__all__ = ['FASMetric']
