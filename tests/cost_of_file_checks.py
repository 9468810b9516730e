"""What the check of whole files costs beside decoding, by format, and beside loading a sample of three JPEGs.

Run: OMP_NUM_THREADS=1 python tests/cost_of_file_checks.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from test_datasets.image_writers import encoded

from mmfas.analysis.example_data import write_example
from mmfas.datasets import image_files
from mmfas.datasets.image_formats import check_whole, read_header

KINDS = {
    'JPEG, quality 95': ('JPEG', {'quality': 95}),
    'JPEG, quality 75': ('JPEG', {'quality': 75}),
    'progressive JPEG, quality 95': ('JPEG', {'quality': 95, 'progressive': True}),
    'PNG': ('PNG', {}),
    'WebP, quality 90': ('WEBP', {'quality': 90}),
    'TIFF, LZW': ('TIFF', {'compression': 'tiff_lzw'}),
    'TIFF, Deflate': ('TIFF', {'compression': 'tiff_adobe_deflate'}),
}


def photo(edge: int) -> np.ndarray:
    """Return a picture with coarse and fine structure, (edge, edge, 3)."""
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.normal(120, 40, (edge // 8, edge // 8, 3)), (edge, edge))
    return np.clip(coarse + rng.normal(0, 4, coarse.shape), 0, 255).astype(np.uint8)


def milliseconds(*runs: Callable[[], object], rounds: int = 15, calls: int = 20) -> list[float]:
    """Return the CPU time of a call of each, the median of rounds in which they take turns."""
    times = np.zeros((rounds, len(runs)))
    for number in range(-1, rounds):  # the first time does not count
        for column, run in enumerate(runs):
            start = time.process_time()
            for _ in range(calls):
                run()
            times[number, column] = (time.process_time() - start) / calls
    return [float(1e3 * value) for value in np.median(times, axis=0)]


def times_of(data: bytes) -> str:
    """Return the times of decoding a file, of checking it, and of knowing it again."""
    pixels, header = np.frombuffer(data, np.uint8), read_header(data)
    decode, check, known = milliseconds(
        lambda: cv2.imdecode(pixels, cv2.IMREAD_COLOR),
        lambda: check_whole(data, header),
        lambda: (read_header(data), hash(bytes(bytearray(data)))),
    )
    return f'decode {decode:.2f} ms, check {check:.2f} ms, met again {known:.3f} ms'


def print_formats(edge: int = 256) -> None:
    """Print a row per format."""
    for name, (form, options) in KINDS.items():
        print(f'{name:30} {times_of(encoded(photo(edge), form, **options))}')


def print_sample() -> None:
    """Print what a sample of three JPEGs costs, checked and met again, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_example(Path(folder))

        def load(*, forget: bool) -> None:
            for index in range(8):
                if forget:
                    image_files._whole.clear()
                dataset[index]

        def again() -> None:
            load(forget=False)

        # The second of the three still checks what the first has forgotten.
        times = milliseconds(lambda: load(forget=True), again, again, rounds=21, calls=1)
        first, later = times[0] / 8, times[2] / 8
        print(f'a sample: {first:.2f} ms at the first time, {later:.2f} ms later: {first / later - 1:.0%} more')


if __name__ == '__main__':
    cv2.setNumThreads(0)
    print_formats()
    print_sample()
