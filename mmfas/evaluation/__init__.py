"""From scores to numbers that can be trusted: pure rates, score files, reports, and the metric of the Runner."""

from mmfas.evaluation.scores import ScoreTable

__all__ = ['ScoreTable']
