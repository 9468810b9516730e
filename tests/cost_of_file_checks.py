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


def milliseconds(run: Callable[[], object], rounds: int = 15, calls: int = 20) -> float:
    """Return the CPU time of a call, the least of several rounds: other processes only add."""
    run()
    best = np.inf
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(calls):
            run()
        best = min(best, (time.process_time() - start) / calls)
    return 1e3 * best


def times_of(data: bytes) -> str:
    """Return the times of decoding a file, of checking it, and of knowing it again."""
    pixels, header = np.frombuffer(data, np.uint8), read_header(data)
    decode = milliseconds(lambda: cv2.imdecode(pixels, cv2.IMREAD_COLOR))
    check = milliseconds(lambda: check_whole(data, header))
    known = milliseconds(lambda: (read_header(data), hash(bytes(bytearray(data)))))
    return f'decode {decode:.2f} ms, check {check:.2f} ms, met again {known:.3f} ms'


def print_formats(edge: int = 256) -> None:
    """Print a row per format."""
    for name, (form, options) in KINDS.items():
        print(f'{name:30} {times_of(encoded(photo(edge), form, **options))}')


def print_sample() -> None:
    """Print what a sample of three JPEGs costs, checked and met again, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_example(Path(folder))
        ratios = []
        for _ in range(9):
            times = []
            for forget in (True, False):

                def load(forget: bool = forget) -> None:
                    for index in range(8):
                        if forget:
                            image_files._whole.clear()
                        dataset[index]

                times.append(milliseconds(load, rounds=3, calls=2) / 8)
            ratios.append((*times, times[0] / times[1] - 1))
        first, later, extra = np.median(ratios, axis=0)
        print(f'a sample: {first:.2f} ms at the first time, {later:.2f} ms later: {extra:.0%} more')


if __name__ == '__main__':
    cv2.setNumThreads(0)
    print_formats()
    print_sample()
