"""What became of a sample, as the journal of a crop keeps it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmfas.datasets.face_crop.samples import CropTask

__all__ = ['JOURNAL_NAME', 'WRITTEN', 'Outcome', 'is_done', 'stamp_of']

JOURNAL_NAME = 'crop_faces.jsonl'
#: Actions that leave crops behind.
WRITTEN = ('cropped', 'whole')


@dataclass(frozen=True)
class Outcome:
    """What became of a sample.

    Args:
        name: Name of its task.
        action: `'cropped'`, `'whole'`, `'skipped'`, `'refused'` or `'broken'`.
        num_faces: Faces that were found.
        score: Score of the face that was cut out; 0 if there is none.
        square: (centre x, centre y, side, angle) of the cut in pixels and degrees; None if there is none.
        message: What is wrong with a broken one.
        policy: Policies (no face, several faces) that decided.
        stamp: Size and time of every picture.
    """

    name: str
    action: str
    num_faces: int = 0
    score: float = 0.0
    square: tuple[float, float, float, float] | None = None
    message: str = ''
    policy: tuple[str, str] = ('', '')
    stamp: tuple[tuple[int, int], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Outcome:
        """Return the outcome that a line of a journal holds.

        Args:
            row: Plain values.
        """
        square = row['square']
        lists = {
            'square': None if square is None else tuple(square),
            'policy': tuple(row['policy']),
            'stamp': tuple(map(tuple, row['stamp'])),
        }
        return cls(**{**row, **lists})


def stamp_of(task: CropTask) -> tuple[tuple[int, int], ...]:
    """Return size in bytes and time of change of every picture; (0, 0) where there is none.

    Args:
        task: The task.
    """
    stamps = []
    for path in task.sources.values():
        try:
            status = os.stat(path)
            stamps.append((status.st_size, status.st_mtime_ns))
        except OSError:
            stamps.append((0, 0))
    return tuple(stamps)


def is_done(task: CropTask, outcome: Outcome | None, out: str | Path, policy: tuple[str, str]) -> bool:
    """Tell whether a task needs no more work.

    Args:
        task: The task.
        outcome: What an earlier run noted, or None.
        out: Folder of the results.
        policy: Policies of this run; they decide again where they differ.
    """
    if outcome is None or outcome.action in ('refused', 'broken') or outcome.stamp != stamp_of(task):
        return False
    if outcome.num_faces != 1 and outcome.policy != policy:
        return False
    return outcome.action not in WRITTEN or all(Path(out, target).is_file() for target in task.targets.values())
