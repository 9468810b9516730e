"""Cropping a whole data set: files in, files out, over processes, resumable."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmfas.datasets.detectors.base import BaseFaceDetector, build_detector
from mmfas.datasets.face_crop.geometry import CropSpec, crop_sample
from mmfas.datasets.face_crop.outcome import JOURNAL_NAME, Outcome, is_done, stamp_of
from mmfas.datasets.face_crop.pictures import read_picture
from mmfas.datasets.face_crop.report import CropReport, write_results
from mmfas.datasets.face_crop.samples import CropTask, read_crop_samples, tasks_of
from mmfas.datasets.journal import Journal
from mmfas.structures import check_modalities
from mmfas.utils.errors import InputError
from mmfas.utils.files import remove_leftovers, write_atomically
from mmfas.utils.jobs import run_tasks
from mmfas.utils.locks import lock_folder

__all__ = ['crop_dataset']

#: Samples that a process crops before it reports.
_SAMPLES_PER_CHUNK = 8


@dataclass(frozen=True)
class _Work:
    """Some tasks with all that a process needs; the detector as JSON text or as an object of this process."""

    tasks: tuple[CropTask, ...]
    out: str
    detector: str | BaseFaceDetector
    spec: CropSpec
    detect_on: str


@cache
def _detector_of(text: str) -> BaseFaceDetector:
    """Build a detector once per process."""
    return build_detector(json.loads(text))


def _crop(task: CropTask, work: _Work, detector: BaseFaceDetector) -> Outcome:
    """Crop one sample and write its files."""
    spec = work.spec
    base = Outcome(task.name, 'broken', policy=(spec.no_face, spec.several_faces), stamp=stamp_of(task))
    crops: Mapping[str, np.ndarray] = {}
    try:
        pictures = {modality: read_picture(path, modality) for modality, path in task.sources.items()}
        found = crop_sample(pictures, detector, spec, detect_on=work.detect_on)
    except (ValueError, FileNotFoundError) as error:
        outcome = replace(base, message=str(error))
    else:
        crops = found.pictures or {}
        cut = found.square
        square = None if cut is None else (*cut.centre, cut.side, cut.angle_deg)
        score = found.face.score if found.face else 0.0
        outcome = replace(base, action=found.action, num_faces=len(found.faces), score=score, square=square)
    for modality, target in task.targets.items():
        path = Path(work.out, target)
        if modality in crops:
            write_atomically(path, cv2.imencode('.png', crops[modality])[1].tobytes())
        else:
            path.unlink(missing_ok=True)  # of a run with another policy
    return outcome


def _crop_chunk(work: _Work) -> list[Outcome]:
    """Crop some samples (runs in a worker process, or here)."""
    if multiprocessing.parent_process() is not None:
        cv2.setNumThreads(1)  # the processes fill the cores
    detector = _detector_of(work.detector) if isinstance(work.detector, str) else work.detector
    return [_crop(task, work, detector) for task in work.tasks]


def _settings(detector: Mapping[str, Any] | BaseFaceDetector, spec: CropSpec, detect_on: str) -> dict[str, Any]:
    """Return the settings that determine the pixels of a crop."""
    named = type(detector).__name__ if isinstance(detector, BaseFaceDetector) else dict(detector)
    geometry = {'size': spec.size, 'margin': spec.margin, 'align': spec.align}
    return {'detector': named, **geometry, 'detect_on': detect_on}


def crop_dataset(
    source: str | Path,
    out: str | Path,
    *,
    detector: Mapping[str, Any] | BaseFaceDetector,
    spec: CropSpec,
    detect_on: str = 'rgb',
    data_root: str | Path | None = None,
    label: int | None = None,
    num_processes: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CropReport:
    """Crop the faces of an annotation file or folder, or finish what an earlier run began.

    Args:
        source: Annotation file or folder, see `read_crop_samples`.
        out: Folder for crops, the new annotation file and the report.
        detector: Config of a face detector; or, with one process, a detector.
        spec: Geometry and policies.
        detect_on: Modality that is searched.
        data_root: Folder that paths of the annotation file are relative to; its own folder if None.
        label: Label of all samples of a folder.
        num_processes: Worker processes; the files do not depend on it.
        progress: Called with (samples done, samples in all).

    Returns:
        What became of every sample.

    Raises:
        FileNotFoundError: If the source does not exist.
        ValueError: If arguments do not fit, or `out` holds crops of other settings. What is wrong with single
            samples is in the report instead.
        BusyError: If another process crops into `out`.
    """
    check_modalities([detect_on])
    if num_processes > 1 and isinstance(detector, BaseFaceDetector):
        raise InputError('with several processes the detector must be a config, from which each builds its own')
    records, root = read_crop_samples(source, data_root=data_root, label=label)
    tasks = tasks_of(records, root, out)
    settings = json.loads(json.dumps(_settings(detector, spec, detect_on)))
    unique = {task.name: task for task in tasks}
    with lock_folder(out, 'give another OUT', of_data=True):
        path = Path(out, JOURNAL_NAME)
        journal = Journal(path, settings, kind='crop', encode=Outcome.as_json, decode=Outcome.of)
        todo = _open_tasks(unique, journal.entries, out, (spec.no_face, spec.several_faces))
        if todo:
            build_detector(detector)  # an error here, not one per process
        shared = detector if isinstance(detector, BaseFaceDetector) else json.dumps(dict(detector))
        chunks = [tuple(todo[at : at + _SAMPLES_PER_CHUNK]) for at in range(0, len(todo), _SAMPLES_PER_CHUNK)]
        works = [_Work(chunk, str(out), shared, spec, detect_on) for chunk in chunks]
        done = kept = len(unique) - len(todo)
        with journal:
            for found in run_tasks(_crop_chunk, works, num_processes):
                for outcome in found:
                    journal.add(outcome.name, outcome)
                done += len(found)
                progress(done, len(unique))
        name = Path(source).resolve().stem
        return write_results(records, tasks, journal.entries, out=Path(out), name=name, num_kept=kept)


def _open_tasks(
    tasks: Mapping[str, CropTask], outcomes: Mapping[str, Outcome], out: str | Path, policy: tuple[str, str]
) -> list[CropTask]:
    """Return the tasks that need work, after removing what a killed run left in their folders."""
    todo = [task for name, task in tasks.items() if not is_done(task, outcomes.get(name), out, policy)]
    for folder in {Path(out, target).parent for task in todo for target in task.targets.values()}:
        remove_leftovers(folder, of_data=True)
    return todo
