"""Pictures of a verdict: what was judged side by side, the score on a scale, the decision in colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

__all__ = ['DECISION_COLOURS', 'draw_verdict']

#: Colour of each decision, RGB; told apart in the common kinds of colour blindness.
DECISION_COLOURS = {
    'live': (0, 114, 178),
    'spoof': (213, 94, 0),
    'undecided': (230, 159, 0),
    'not judged': (110, 110, 110),
}
_SIDE = 160
_STRIP = 58
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_verdict(
    pictures: Mapping[str, np.ndarray], verdict: Mapping[str, Any], *, limits: tuple[float, float]
) -> np.ndarray:
    """Draw a sample with its verdict.

    Args:
        pictures: Modality -> picture (H, W, 3), uint8, RGB; none are needed.
        verdict: `decision`, `score` in [0, 1] or None, `threshold`, `reason`.
        limits: Scores below the first are spoof, from the second on live.

    Returns:
        Picture (218, 160 * M, 3), uint8, RGB, at least 320 wide.
    """
    colour = DECISION_COLOURS[verdict['decision']]
    panels = [_panel(image, name) for name, image in pictures.items()]
    canvas = np.full((_SIDE + _STRIP, max(2, len(panels)) * _SIDE, 3), 255, np.uint8)
    for number, panel in enumerate(panels):
        canvas[:_SIDE, number * _SIDE : (number + 1) * _SIDE] = panel
    width = canvas.shape[1]
    cv2.rectangle(canvas, (0, 0), (width - 1, _SIDE - 1), colour, 3)
    score = verdict['score']
    text = verdict['decision'] if score is None else f'{verdict["decision"]}  {score:.4f}'
    cv2.putText(canvas, text, (6, _SIDE + 20), _FONT, 0.55, colour, 1, cv2.LINE_AA)
    if score is None:
        cv2.putText(canvas, _ascii(verdict['reason'])[: width // 6], (6, _SIDE + 44), _FONT, 0.34, (60, 60, 60), 1)
    else:
        _draw_scale(canvas[_SIDE + 30 :], score, verdict['threshold'], limits, colour)
    return canvas


def _panel(image: np.ndarray, name: str) -> np.ndarray:
    """Fit a picture into a square and name it."""
    scale = _SIDE / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    panel = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    panel[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    cv2.putText(panel, name, (7, 18), _FONT, 0.45, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(panel, name, (7, 18), _FONT, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return panel


def _draw_scale(
    strip: np.ndarray, score: float, threshold: float, limits: tuple[float, float], colour: tuple[int, int, int]
) -> None:
    """Draw the score on a line from 0 to 1, with the threshold and the band in which nothing is decided."""
    left, right, middle = 10, strip.shape[1] - 10, 12

    def at(value: float) -> int:
        return left + round((right - left) * min(max(value, 0.0), 1.0))

    cv2.line(strip, (left, middle), (right, middle), (190, 190, 190), 1, cv2.LINE_AA)
    if limits[0] < limits[1]:
        cv2.line(strip, (at(limits[0]), middle), (at(limits[1]), middle), DECISION_COLOURS['undecided'], 4)
    cv2.line(strip, (at(threshold), middle - 7), (at(threshold), middle + 7), (40, 40, 40), 1, cv2.LINE_AA)
    cv2.circle(strip, (at(score), middle), 5, colour, -1, cv2.LINE_AA)


def _ascii(text: str) -> str:
    """Replace what OpenCV's fonts do not have."""
    return text.encode('ascii', 'replace').decode()
