"""Reading the logs of training runs: curves of any scalar, and time per epoch."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmfas.utils.errors import InputError, MissingFileError, UnknownKeyError

#: What every row is placed and timed by.
_CLOCK = ('step', 'epoch', 'iter', 'time', 'data_time')


@dataclass(frozen=True)
class EpochTime:
    """How long one epoch took.

    Args:
        epoch: Epoch, counted from 1.
        num_iters: Iterations.
        iter_s: Mean duration of an iteration in seconds.
        data_s: Mean time of it spent waiting for data, in seconds.
    """

    epoch: int
    num_iters: int
    iter_s: float
    data_s: float


@dataclass(frozen=True)
class TrainingLog:
    """The scalars of one run.

    Args:
        name: Name of the run.
        rows: What was logged, in order: training rows have `epoch` and `iter`, validation rows only `step`.
    """

    name: str
    rows: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, path: str | Path) -> TrainingLog:
        """Read the log of a run.

        Args:
            path: A `scalars.json`, or the work dir of a run: then all its parts are joined, and where a resumed
                part repeats steps, the later part counts.

        Returns:
            The log.

        Raises:
            FileNotFoundError: If there is no log.
            ValueError: If a file is not text, or a line is not JSON or holds text instead of numbers; names
                file and line.
        """
        source = Path(path)
        files = [source] if source.is_file() else sorted(source.glob('*/vis_data/scalars.json'))
        if not files:
            raise MissingFileError(
                f"'{source}' has no log: give a scalars.json or a work dir that holds <time>/vis_data/scalars.json"
            )
        merged: dict[tuple[bool, int], dict[str, Any]] = {}
        for file in files:
            rows = _read_rows(file)
            first = min((row['step'] for row in rows if 'epoch' in row), default=None)
            if first is not None:
                epoch = min(row['epoch'] for row in rows if 'epoch' in row)
                merged = {key: row for key, row in merged.items() if key[1] < (first if key[0] else epoch)}
            merged.update({('epoch' in row, row['step']): row for row in rows})
        name = source.name if source.is_dir() else f'{source.parent.parent.name}'
        return cls(name, tuple(merged.values()))

    def keys(self) -> list[str]:
        """Return the names of everything that was logged, sorted."""
        return sorted({key for row in self.rows for key in row} - {'epoch', 'iter', 'step'})

    def curve(self, key: str) -> tuple[list[float], list[float]]:
        """Return one curve over epochs.

        Args:
            key: Scalar, such as `'loss'` or `'dev/hter'`.

        Returns:
            Epochs (fractions within an epoch for training rows) and values.

        Raises:
            KeyError: If nothing of this name was logged.
            ValueError: If it is not a single number.
        """
        per_epoch = self._iters_per_epoch()
        points = [
            (row['iter'] / per_epoch if 'iter' in row else float(row['step']), row[key])
            for row in self.rows
            if key in row
        ]
        if not points:
            raise UnknownKeyError(f"'{key}' was not logged; logged were {', '.join(self.keys())}")
        wrong = next((value for _, value in points if not isinstance(value, int | float)), 0.0)
        if not isinstance(wrong, int | float):
            raise InputError(f"'{key}' of {self.name} cannot be drawn: it holds {wrong!r:.80}, not a number")
        return [x for x, _ in points], [y for _, y in points]

    def epoch_times(self) -> list[EpochTime]:
        """Return how long each epoch took, validation not included."""
        groups: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in self.rows:
            if 'epoch' in row and 'time' in row:
                groups[row['epoch']].append(row)
        per_epoch = self._iters_per_epoch()
        return [
            EpochTime(epoch, round(per_epoch), _mean(rows, 'time'), _mean(rows, 'data_time'))
            for epoch, rows in sorted(groups.items())
        ]

    def _iters_per_epoch(self) -> float:
        """Iterations of an epoch; exact where the end of epochs is logged (`LoggerHook(ignore_last=False)`)."""
        train = [row for row in self.rows if 'epoch' in row]
        ratios = [row['iter'] / row['epoch'] for row in train]
        return max(ratios, default=1.0)


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    values = [row[key] for row in rows if key in row]
    return sum(values) / len(values) if values else 0.0


def _read_rows(file: Path) -> list[dict[str, Any]]:
    """Read one JSON object per line."""
    rows = []
    try:
        text = file.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise InputError(f'{file} is not UTF-8 text ({error.reason}); is it a scalars.json?') from error
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f'{file}:{number} is not JSON ({error.msg}); is it a scalars.json?') from error
        _check_row(row, f'{file}:{number}')
        if 'step' in row:
            rows.append(row)
    return rows


def _check_row(row: Any, place: str) -> None:
    """Refuse a row that is not an object, or has text where a number belongs."""
    if not isinstance(row, dict):
        raise InputError(f'{place} holds a {type(row).__name__}, not an object; is it a scalars.json?')
    for key, value in row.items():
        # A metric may be a list, one number per class.
        if isinstance(value, str) or (key in _CLOCK and not isinstance(value, int | float)):
            raise InputError(
                f"{place}: '{key}' must be a number, but is {value!r:.80}; correct or remove the line"
            )
