"""Loading the same samples from many files and out of one, turn about."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mmfas.datasets.packed_files import pack_files
from mmfas.datasets.transforms.loading import LoadMultiModalImages
from mmfas.utils.errors import InputError

__all__ = ['compare_packed']


def _loader_of(dataset: Any) -> LoadMultiModalImages:
    """Return the step of a pipeline that reads pictures, of files of this machine."""
    for step in getattr(dataset.pipeline, 'transforms', ()):
        if isinstance(step, LoadMultiModalImages) and step.backend_args is None:
            return step
    raise InputError(
        'the pipeline has no LoadMultiModalImages that reads files of this machine, so there is nothing to compare'
    )


def compare_packed(
    dataset: Any,
    indices: Sequence[int],
    file: str | os.PathLike[str],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Load samples from their files and out of a packed one.

    Args:
        dataset: A `MultiModalFaceDataset`.
        indices: Samples to load, at least one; they are loaded once before by both ways, so that the disk is not
            what is measured.
        file: The tar to pack their pictures into.
        clock: Function that returns the time in seconds; `time.process_time` on a busy machine.

    Returns:
        Seconds per sample (files, packed), medians.

    Raises:
        ValueError: If the pipeline reads no files of this machine.
    """
    loader, root = _loader_of(dataset), dataset.data_root or '.'
    infos = [{**dataset.get_data_info(index), 'modalities': dataset.modalities} for index in indices]
    paths = [path for info in infos for path in info['img_paths'].values()]
    pack_files([os.path.relpath(path, root) for path in paths], root, file)
    packed = copy.copy(loader)
    packed.backend_args, packed._backend = dict(backend='packed', file=os.fspath(file), root=root), None
    seconds = np.empty((2, len(infos)))
    for _ in range(2):  # the first round warms up
        for column, info in enumerate(infos):
            order = ((0, loader), (1, packed))
            for row, step in order if column % 2 else order[::-1]:
                sample = dict(info)
                start = clock()
                step(sample)
                seconds[row, column] = clock() - start
    files, out_of_one = np.median(seconds, axis=1).tolist()
    return files, out_of_one
