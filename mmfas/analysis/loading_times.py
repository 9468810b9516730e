"""Where the time of loading goes: decode, resize and photometry, timed inside the pipeline, and the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import mmcv
import numpy as np

from mmfas.datasets.transforms import loading
from mmfas.datasets.transforms.photometric import GaussianNoiseModalities, PhotometricModalities

__all__ = ['LoadingTimes', 'measure_loading']

_KERNELS = ('decode', 'resize', 'photometric')


@dataclass(frozen=True)
class LoadingTimes:
    """CPU times per sample in seconds, medians over the samples.

    Args:
        decode: Files to RGB arrays.
        resize: Resizing.
        photometric: Drawing and applying brightness, gamma and noise.
        rest: Everything else: annotation, randomness, geometry without resize, presence, packing.
    """

    decode: float
    resize: float
    photometric: float
    rest: float

    @property
    def kernels(self) -> float:
        """Decode, resize and photometry together, in seconds."""
        return self.decode + self.resize + self.photometric

    @property
    def ratio(self) -> float:
        """Rest divided by the three kernels; the budget of mmfas is 0.15."""
        return self.rest / self.kernels


@contextmanager
def _timed(owner: Any, name: str, add: Callable[[float], None]) -> Iterator[None]:
    """Replace the function `owner.name` by one that reports its time, for the length of a block."""
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        start = time.thread_time()
        try:
            return original(*args, **kwargs)
        finally:
            add(time.thread_time() - start)

    setattr(owner, name, wrapped)
    try:
        yield
    finally:
        setattr(owner, name, original)


class _Dummy:
    """Owner of a function that does nothing, to measure the clock itself."""

    @staticmethod
    def nothing() -> None:
        """Do nothing."""


def _clock_cost(num_calls: int = 200) -> float:
    """Return the seconds that a timed call adds beyond what it reports."""
    costs = []
    inside: list[float] = []
    with _timed(_Dummy, 'nothing', inside.append):
        for _ in range(num_calls):
            start = time.thread_time()
            _Dummy.nothing()
            costs.append(time.thread_time() - start - inside[-1])
    return float(np.median(costs))


def measure_loading(dataset: Any, indices: Sequence[int]) -> LoadingTimes:
    """Load samples in this process and attribute the time.

    Args:
        dataset: A data set; its items go through its pipeline.
        indices: Samples to load, at least one. The first is loaded once more beforehand, to warm up.

    Returns:
        Medians over the samples; the cost of the clock itself is measured and subtracted.
    """
    places = [
        (loading.LoadMultiModalImages, '_load_file', 0),
        (loading, 'read_padisi', 0),
        (mmcv, 'imresize', 1),
        (PhotometricModalities, 'transform', 2),
        (GaussianNoiseModalities, 'transform', 2),
    ]
    spent = np.zeros(len(_KERNELS) + 1)  # the last counts calls

    def adder(column: int) -> Callable[[float], None]:
        def add(seconds: float) -> None:
            spent[column] += seconds
            spent[-1] += 1

        return add

    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # the clock counts this thread only
    dataset[indices[0]]
    clock_cost = _clock_cost()
    rows = np.empty((len(indices), len(_KERNELS) + 1))
    with ExitStack() as stack:
        for owner, name, column in places:
            stack.enter_context(_timed(owner, name, adder(column)))
        for row, index in zip(rows, indices):
            spent[:] = 0
            start = time.thread_time()
            dataset[index]
            total = time.thread_time() - start
            row[:] = (*spent[:-1], total - spent[:-1].sum() - spent[-1] * clock_cost)
    cv2.setNumThreads(num_threads)
    return LoadingTimes(*np.median(rows, axis=0).tolist())
