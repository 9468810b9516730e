"""Verdicts as files: CSV, JSON lines, pictures."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from mmfas.deploy.verdict import Verdict
from mmfas.utils.errors import RunError
from mmfas.utils.files import write_atomically

__all__ = ['COLUMNS', 'csv_of', 'json_line', 'row_of', 'show_picture', 'table_line', 'write_picture']

#: Columns of a CSV file of verdicts.
COLUMNS = (
    *('sample_id', 'decision', 'score', 'threshold', 'margin', 'modalities', 'code', 'reason', 'elapsed_ms'),
    'probability',
)


def row_of(verdict: Verdict) -> list[str]:
    """Return a verdict as the cells of a CSV file.

    Args:
        verdict: The verdict; scores keep all digits.
    """
    values = verdict.to_dict()
    values['modalities'] = '+'.join(verdict.modalities)
    values['elapsed_ms'] = f'{verdict.elapsed_ms:.3f}'
    return ['' if values[name] is None else str(values[name]) for name in COLUMNS]


def csv_of(verdicts: Iterable[Verdict]) -> str:
    """Return verdicts as the text of a CSV file.

    Args:
        verdicts: The verdicts.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(COLUMNS)
    writer.writerows(row_of(verdict) for verdict in verdicts)
    return text.getvalue()


def json_line(verdict: Verdict) -> str:
    """Return a verdict as one line of JSON.

    Args:
        verdict: The verdict.
    """
    return json.dumps(verdict.to_dict(), allow_nan=False)


def table_line(verdict: Verdict) -> str:
    """Return a verdict as a line for people.

    Args:
        verdict: The verdict.
    """
    if verdict.score is None:
        return f'{verdict.decision:<10}  {"":>7}  {verdict.sample_id}: {verdict.code}: {verdict.reason}'
    used = '+'.join(verdict.modalities)
    if verdict.probability is not None:
        used = f'{verdict.probability:.1%} live, {used}'
    return (
        f'{verdict.decision:<10}  {verdict.score:7.4f}  {verdict.sample_id} '
        f'(threshold {verdict.threshold:.4f}, {used}, {verdict.elapsed_ms:.1f} ms)'
    )


def write_picture(picture: np.ndarray, folder: Path, number: int, name: str) -> Path:
    """Write a picture of a verdict.

    Args:
        picture: (H, W, 3), uint8, RGB.
        folder: Where to write.
        number: Number of the sample, which keeps files in order and apart.
        name: Name of the sample.

    Returns:
        The file.
    """
    stem = re.sub(r'[^A-Za-z0-9.-]+', '-', Path(name).name if len(name) > 60 else name).strip('-')
    path = folder / f'{number:04d}_{stem}.png'
    write_atomically(path, cv2.imencode('.png', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes())
    return path


_NO_SCREEN = 'there is no screen to show pictures on; write files instead of showing them'


def show_picture(picture: np.ndarray, title: str, *, wait_ms: int = 0) -> None:
    """Show a picture in a window.

    Args:
        picture: (H, W, 3), uint8, RGB.
        title: Title of the window.
        wait_ms: How long it is shown before the call returns, in milliseconds; 0 until a key is pressed.

    Raises:
        RuntimeError: If there is no screen.
    """
    # OpenCV's own window toolkit ends the process where it finds no screen
    if sys.platform.startswith('linux') and not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        raise RunError(_NO_SCREEN)
    try:
        cv2.imshow(title, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        cv2.waitKey(wait_ms)
    except cv2.error as error:
        raise RunError(_NO_SCREEN) from error
