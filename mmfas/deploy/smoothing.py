"""Scores of a running video, smoothed as evaluation reduces the frames of a video to one score."""

from __future__ import annotations

from collections import deque

from mmfas.evaluation.functional.aggregation import aggregate_scores
from mmfas.evaluation.score_rules import ScoreRules
from mmfas.utils.errors import InputError

__all__ = ['ScoreSmoother']


class ScoreSmoother:
    """Reduces the scores of the latest frames by `rules.frame_reduction`: mean, median or max.

    With a window as long as a video, the last value is the score that evaluation gives the video at
    `level='video'`. A threshold that was chosen on single frames (`level='frame'`) is not the best one for
    smoothed scores: they spread less.

    Args:
        rules: How frames become one score.
        window: Number of latest frames; 0 for all since the start.

    Raises:
        ValueError: If the window is negative.

    >>> smoother = ScoreSmoother(ScoreRules(frame_reduction='median'), window=3)
    >>> [smoother.add(score) for score in (0.25, 0.75, None, 1.0)]
    [0.25, 0.5, 0.5, 0.875]
    """

    def __init__(self, rules: ScoreRules, window: int) -> None:
        if window < 0:
            raise InputError(f'window must be 0 (all frames) or more, got {window}')
        self.rules = rules
        self.window = window
        self._scores: deque[float | None] = deque(maxlen=window or None)

    def add(self, score: float | None) -> float | None:
        """Take the score of the next frame.

        Args:
            score: Liveness in [0, 1]; None for a frame that was not judged, which takes a place in the window but
                has no say.

        Returns:
            The smoothed score; None if no frame of the window was judged.
        """
        self._scores.append(score)
        judged = [value for value in self._scores if value is not None]
        if not judged:
            return None
        reduced, _ = aggregate_scores(judged, ['window'] * len(judged), frame_reduction=self.rules.frame_reduction)
        return float(reduced[0])

    def reset(self) -> None:
        """Forget all scores, as when another person steps in."""
        self._scores.clear()
