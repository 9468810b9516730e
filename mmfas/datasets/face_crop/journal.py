"""What became of every sample, written down at once, so that a run that was killed continues."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmfas.datasets.face_crop.samples import CropTask
from mmfas.utils.jobs import write_atomic

__all__ = ['JOURNAL_NAME', 'Outcome', 'is_done', 'read_journal', 'stamp_of', 'start_journal']

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


def _outcome_of(row: Mapping[str, Any]) -> Outcome:
    square = row['square']
    lists = {
        'square': None if square is None else tuple(square),
        'policy': tuple(row['policy']),
        'stamp': tuple(map(tuple, row['stamp'])),
    }
    return Outcome(**{**row, **lists})


def read_journal(path: Path, settings: Mapping[str, Any]) -> dict[str, Outcome]:
    """Read what earlier runs noted.

    Args:
        path: The journal; it need not exist.
        settings: What decides on the crops; it must be that of the earlier runs.

    Returns:
        Outcomes by name of the task.

    Raises:
        ValueError: If the file is no journal, or of other settings; the message names them.
    """
    if not path.is_file():
        return {}
    complete = path.read_text(encoding='utf-8').split('\n')[:-1]  # a kill may have cut the last line off
    if not complete:
        return {}
    try:
        earlier, *rows = (json.loads(line) for line in complete)
        outcomes = {row['name']: _outcome_of(row) for row in rows}
        differences = [f'{key} = {earlier.get(key)!r}, now {value!r}' for key, value in settings.items()]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"'{path}' is broken ({error}); delete it to crop all again") from error
    differences = [text for key, text in zip(settings, differences) if earlier.get(key) != settings[key]]
    if differences:
        raise ValueError(
            f"'{path.parent}' holds crops with {'; '.join(differences)}. Give another folder, or delete this one"
        )
    return outcomes


def line_of(outcome: Outcome) -> str:
    """Return the line of an outcome.

    Args:
        outcome: The outcome.
    """
    return json.dumps(asdict(outcome)) + '\n'


def start_journal(path: Path, settings: Mapping[str, Any], outcomes: Mapping[str, Outcome]) -> None:
    """Write the journal anew: settings, then the outcomes that are known, by name.

    Args:
        path: The journal.
        settings: What decides on the crops.
        outcomes: Outcomes by name.
    """
    lines = [json.dumps(dict(settings)) + '\n', *(line_of(outcomes[name]) for name in sorted(outcomes))]
    write_atomic(path, ''.join(lines).encode())
