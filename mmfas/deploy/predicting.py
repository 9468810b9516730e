"""Judging many samples: results on disk at once, so that a stopped run continues; folders that are watched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from mmfas.datasets.journal import Journal
from mmfas.deploy.inferencer import FASInferencer
from mmfas.deploy.inputs import NothingThereError, Sample, read_inputs
from mmfas.deploy.verdict import Verdict
from mmfas.deploy.verdict_files import csv_of, json_line
from mmfas.utils.errors import InputError
from mmfas.utils.files import write_atomically
from mmfas.utils.locks import lock_folder

__all__ = ['FORMATS', 'judge_to_file', 'watch_folder', 'write_verdicts']

FORMATS = ('.csv', '.jsonl')
#: A watched file is read when it has not changed for this many seconds: cameras write slowly.
SETTLED_S = 0.5
#: Path, size and time of the last change (ns) of the files of a sample.
_State: TypeAlias = tuple[tuple[str, int, int], ...]


def judge_to_file(
    inferencer: FASInferencer,
    samples: list[Sample],
    path: str | Path,
    *,
    batch_size: int = 1,
    show: Callable[[int, int], None] = lambda done, total: None,
) -> list[Verdict]:
    """Judge samples and write the verdicts to a file; a run that was stopped continues where it was.

    Args:
        inferencer: What judges.
        samples: What to judge; their names must differ.
        path: File that ends in `.csv` or `.jsonl`. Until all is done, a journal `<path>.journal` stands beside it.
        batch_size: Samples that are scored at once.
        show: Called with the numbers of samples done and in all.

    Returns:
        The verdicts, in the order of the samples.

    Raises:
        ValueError: If the file ends otherwise, two samples have one name, or the journal is of another bundle or
            quality gate.
        BusyError: If another process writes the same file.
    """
    target = Path(path)
    if target.suffix not in FORMATS:
        raise InputError(f"verdicts are written as {' or '.join(FORMATS)}, got '{target}'")
    names = {sample.sample_id for sample in samples}
    if len(names) < len(samples):
        raise InputError('two of the samples have one name: give a CSV file with a column sample_id')
    journal = Journal(
        target.with_name(f'{target.name}.journal'),
        dict(bundle=inferencer.bundle.sha256, quality_gate=inferencer.quality_gate),
        kind='prediction',
        encode=Verdict.to_dict,
        decode=Verdict.from_dict,
    )
    with lock_folder(target.parent, 'give another --out', name=f'.{target.name}.lock'):
        with journal:
            left = [sample for sample in samples if sample.sample_id not in journal.entries]
            for number, verdict in enumerate(inferencer.stream(left, batch_size=batch_size), 1):
                journal.add(verdict.sample_id, verdict)
                show(len(samples) - len(left) + number, len(samples))
        verdicts = [journal.entries[sample.sample_id] for sample in samples]
        write_verdicts(target, verdicts)
        journal.path.unlink()
    return verdicts


def write_verdicts(path: Path, verdicts: Iterable[Verdict]) -> None:
    """Write verdicts as the ending of a file says.

    Args:
        path: File that ends in `.csv` or `.jsonl`.
        verdicts: The verdicts.
    """
    lines = (f'{json_line(verdict)}\n' for verdict in verdicts)
    write_atomically(path, csv_of(verdicts) if path.suffix == '.csv' else ''.join(lines))


def watch_folder(
    inferencer: FASInferencer,
    folder: str | Path,
    *,
    interval_s: float = 0.5,
    is_over: Callable[[], bool] = lambda: False,
) -> Iterator[Verdict]:
    """Judge every sample of a folder as its files appear, and again when they change.

    A sample is judged when none of its files has changed for half a second; one that lacks a required modality
    waits for it. So a file that is written in several goes, or the picture of a slower camera, gets the verdict
    that it would have got at once, after one on what was there before.

    Args:
        inferencer: What judges.
        folder: Folder to watch.
        interval_s: Seconds between two looks.
        is_over: Asked after every look; True ends the watch.

    Yields:
        A verdict for every sample.

    Raises:
        FileNotFoundError: If the folder does not exist, or no longer.
        ValueError: If two of its files are one modality of one sample.
    """
    place = Path(folder)
    if not place.is_dir():
        if place.exists():
            raise InputError(f"'{place}' is a file; --watch takes a folder")
        read_inputs(place)  # raises
    since: dict[str, tuple[_State, float]] = {}
    judged: dict[str, _State] = {}
    while True:
        for sample in _samples_now(place):
            name, state = sample.sample_id, _state_of(sample)
            if state is None or state == judged.get(name) or inferencer.bundle.missing(sample.pictures):
                continue
            if since.get(name, ((), 0.0))[0] != state:
                since[name] = state, time.monotonic()
            if _is_settled(state, since[name][1]):
                judged[name] = state
                yield from inferencer.stream([sample])
        if is_over():
            return
        time.sleep(interval_s)


def _samples_now(folder: Path) -> list[Sample]:
    """Return the samples in a folder, which may hold none yet."""
    try:
        return read_inputs(folder)
    except NothingThereError:
        return []
    except FileNotFoundError:
        if not folder.is_dir():
            raise
        return []  # a file was renamed between two looks at it: the next look finds it


def _state_of(sample: Sample) -> _State | None:
    """Return path, size and time of every file of a sample; None if one has gone."""
    paths = sorted(str(path) for path in sample.pictures.values())
    try:
        found = [(path, os.stat(path)) for path in paths]
    except FileNotFoundError:
        return None
    return tuple((path, status.st_size, status.st_mtime_ns) for path, status in found)


def _is_settled(state: _State, since_s: float) -> bool:
    """Tell whether files have not changed for a while, by their times or, as clocks may differ, by our looks."""
    latest_s = max(changed for _, _, changed in state) / 1e9
    return time.time() - latest_s >= SETTLED_S or time.monotonic() - since_s >= SETTLED_S
