"""The end of a crop: new annotation file, table of all samples, and a list of those without exactly one face."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmfas.datasets.annotations import OWN_DATA_COLUMNS
from mmfas.datasets.face_crop.outcome import WRITTEN, Outcome
from mmfas.datasets.face_crop.samples import CropTask
from mmfas.utils.files import write_atomically

__all__ = ['CropReport', 'write_results']

_COLUMNS = (
    *('sample_id', 'source_line', 'label', 'pai', 'action', 'num_faces', 'score'),
    *('centre_x', 'centre_y', 'side', 'angle_deg', 'message'),
)
_WORDS = {
    'cropped': 'cropped',
    'whole': 'its middle kept',
    'skipped': 'left out',
    'refused': 'REFUSED',
    'broken': 'BROKEN',
}


@dataclass(frozen=True)
class CropReport:
    """What became of the samples of one annotation file or folder.

    Args:
        rows: (sample id, place, label, outcome) of every sample, in their order.
        annotations: The new annotation file; None if samples were refused or broken.
        table: CSV with a row per sample.
        num_kept: Tasks that an earlier run had done.
    """

    rows: tuple[tuple[str, str, int, Outcome], ...]
    annotations: Path | None
    table: Path
    num_kept: int

    @property
    def num_failed(self) -> int:
        """Number of samples that were refused or are broken."""
        return sum(outcome.action in ('refused', 'broken') for _, _, _, outcome in self.rows)

    def text(self, show: int = 20) -> str:
        """Return every sample with no or several faces or a broken picture, and counts per label.

        Args:
            show: Samples per kind; 0 for all.
        """
        kinds = {
            'broken or unusable pictures': lambda o: o.action == 'broken',
            'no face': lambda o: o.action != 'broken' and o.num_faces == 0,
            'several faces': lambda o: o.num_faces > 1,
        }
        lines = []
        for kind, belongs in kinds.items():
            found = [row for row in self.rows if belongs(row[3])]
            lines += [f'{kind}: {len(found)}'] if found else []
            for name, place, label, outcome in found[: show or None]:
                result = outcome.message or f'{outcome.num_faces} faces, {_WORDS[outcome.action]}'
                lines.append(f'  {place} {name} (label {label}): {result}')
            if show and len(found) > show:
                lines.append(f'  ... and {len(found) - show} more (--show 0 prints all; {self.table} has all)')
        for label in (1, 0):
            counts = Counter(outcome.action for _, _, own, outcome in self.rows if own == label)
            if counts:
                numbers = ', '.join(
                    f'{counts[action]} {word}' for action, word in _WORDS.items() if counts[action]
                )
                lines.append(f'label {label}: {numbers}, of {counts.total()}')
        return '\n'.join(lines)


def _row(record: Mapping[str, Any], outcome: Outcome) -> list[Any]:
    """Return the row of the table of samples."""
    numbers = [''] * 4 if outcome.square is None else [str(round(value, 2)) for value in outcome.square]
    known = [record['sample_id'], record['source_line'], record['label'], record.get('pai', '')]
    return [*known, outcome.action, outcome.num_faces, round(outcome.score, 4), *numbers, outcome.message]


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a CSV file whole or not at all."""
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows([header, *rows])
    write_atomically(path, text.getvalue())


def write_results(
    records: Sequence[Mapping[str, Any]],
    tasks: Sequence[CropTask],
    outcomes: Mapping[str, Outcome],
    *,
    out: Path,
    name: str,
    num_kept: int,
) -> CropReport:
    """Write the new annotation file, if nothing failed, and the table of samples.

    Args:
        records: The samples.
        tasks: Their tasks.
        outcomes: Outcomes by name of the task.
        out: Folder of the results.
        name: Name of the annotation file without its suffix.
        num_kept: Tasks that an earlier run had done.

    Returns:
        The report.
    """
    found = [outcomes[task.name] for task in tasks]
    annotations, table = out / f'{name}.csv', out / f'{name}_crop_report.csv'
    _write_csv(table, _COLUMNS, [_row(*pair) for pair in zip(records, found, strict=True)])
    columns = [column for column in OWN_DATA_COLUMNS if column != 'npz']
    rows = [
        [{**record, **task.targets}.get(column, '') for column in columns]
        for record, task, outcome in zip(records, tasks, found, strict=True)
        if outcome.action in WRITTEN
    ]
    failed = any(outcome.action in ('refused', 'broken') for outcome in found)
    if failed or not rows:
        # One of an earlier run would be mistaken for this one's.
        annotations.unlink(missing_ok=True)
    else:
        _write_csv(annotations, columns, rows)
    samples = [(r['sample_id'], r['source_line'], r['label'], o) for r, o in zip(records, found, strict=True)]
    return CropReport(tuple(samples), None if failed or not rows else annotations, table, num_kept)
