"""Pictures that look the same in two lists: recompressed, scaled, or neighbouring frames of one recording.

Legend: N, K pictures of two lists; B bits of a hash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mmfas.datasets.face_dataset import MultiModalFaceDataset
from mmfas.datasets.transforms import LoadMultiModalImages

__all__ = ['HASH_BITS', 'NearCopies', 'difference_hash', 'hash_distances', 'near_copies']

#: Rows and columns of comparisons between neighbours.
_SIDE = 16
HASH_BITS = _SIDE * _SIDE
#: A picture whose grey values spread less than this, from 0 to 255, shows nothing that could be compared.
_LEAST_SPREAD = 4.0
_CHUNK = 512
#: 16-bit pictures of any camera, from near to far in mm and from dark to bright; 8-bit ones are as they are.
_DEPTH_RANGE_MM, _IR_RANGE = (200, 2000), (0, 65535)

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class NearCopies:
    """What was found.

    Args:
        pairs: Line in the first list, line in the second, bits in which their hashes differ; the closest first.
        num_flat: Pictures of either list that show too little to be compared.
        num_compared: Pictures of the first and of the second list that were compared.
    """

    pairs: tuple[tuple[str, str, int], ...]
    num_flat: int
    num_compared: tuple[int, int]


def difference_hash(picture: np.ndarray) -> Bits | None:
    """Return whether each of 16 x 16 cells is brighter than its right neighbour (dHash of 256 bits).

    It survives scaling, recompression and changes of brightness, but no crop and no mirror. Of the 162 pictures
    of SynthFAS tiny, small and noisy, those of different recordings differ in 42 bits or more; JPEG of
    quality 75 changes 10 bits in the median and 35 at most, half the size 12 and 26.

    Args:
        picture: Picture (H, W, 3), uint8, RGB.

    Returns:
        Bits (256,); None for a picture that is flat.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    if float(grey.std()) < _LEAST_SPREAD:
        return None
    # smoothed by the mean over cells, in floating point: rounding would decide between equal neighbours
    cells = cv2.resize(grey.astype(np.float32), (_SIDE + 1, _SIDE), interpolation=cv2.INTER_AREA)
    return (cells[:, :-1] > cells[:, 1:]).ravel()


def hash_distances(first: Bits, second: Bits) -> NDArray[np.int64]:
    """Count the bits in which hashes differ.

    Args:
        first: Hashes (N, B).
        second: Hashes (K, B).

    Returns:
        Distances (N, K), 0 to B.
    """
    one, other = first.astype(np.float32), second.astype(np.float32)
    # bits that only one of the two has; products of 0 and 1 are exact
    only = one.sum(1)[:, None] + other.sum(1)[None] - 2 * (one @ other.T)
    return only.astype(np.int64)


def near_copies(
    first: MultiModalFaceDataset,
    second: MultiModalFaceDataset,
    *,
    modality: str = 'rgb',
    max_distance: int = 24,
    num_threads: int = 4,
    advance: Callable[[int], None] = lambda count: None,
) -> NearCopies:
    """Compare the pictures of two lists by how they look.

    Args:
        first: One list.
        second: The other one.
        modality: Which picture of a sample is compared; samples without it are left out.
        max_distance: Bits, of 256, in which hashes may differ.
        num_threads: Threads that decode.
        advance: Called with the number of pictures done since the last call.

    Returns:
        Pairs of lines that look alike.

    Raises:
        ValueError: If a picture cannot be read.
        FileNotFoundError: If one is missing.
    """
    hashed = [_hashes(dataset, modality, num_threads, advance) for dataset in (first, second)]
    (lines_a, bits_a, flat_a), (lines_b, bits_b, flat_b) = hashed
    found = [
        (lines_a[start + row], lines_b[column], distance)
        for start, row, column, distance in _close(bits_a, bits_b, max_distance)
    ]
    found.sort(key=lambda pair: pair[2])
    return NearCopies(tuple(found), flat_a + flat_b, (len(lines_a), len(lines_b)))


def _close(first: Bits, second: Bits, max_distance: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield start of a chunk, row in it, column and distance of close pairs."""
    if not len(first) or not len(second):
        return
    for start in range(0, len(first), _CHUNK):
        distances = hash_distances(first[start : start + _CHUNK], second)
        for row, column in np.argwhere(distances <= max_distance).tolist():
            yield start, row, column, int(distances[row, column])


def _hashes(
    dataset: MultiModalFaceDataset, modality: str, num_threads: int, advance: Callable[[int], None]
) -> tuple[list[str], Bits, int]:
    """Return lines and hashes (N, B) of the pictures, and how many are flat."""
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    infos = [info for info in infos if modality in info['img_paths'] or 'npz' in info['img_paths']]
    lines, bits = [], []
    with ThreadPoolExecutor(num_threads) as pool:
        for start in range(0, len(infos), _CHUNK):
            chunk = infos[start : start + _CHUNK]
            for info, found in zip(chunk, pool.map(lambda info: _hash(info, modality), chunk), strict=True):
                if found is not None:
                    lines.append(f'{info["source_line"]} {info["sample_id"]}')
                    bits.append(found)
            advance(len(chunk))
    return lines, _stacked(bits), len(infos) - len(lines)


def _hash(info: Mapping[str, Any], modality: str) -> Bits | None:
    """Load one picture of a sample and return its hash."""
    loaded = _loader()({**info, 'modalities': (modality,)})
    assert loaded is not None
    return difference_hash(loaded[modality]) if loaded['present'][modality] else None


@cache
def _loader() -> LoadMultiModalImages:
    """Return the one loader, whose tables of 16-bit values are made once."""
    return LoadMultiModalImages(depth_range_mm=_DEPTH_RANGE_MM, ir_range=_IR_RANGE)


def _stacked(bits: Sequence[Bits]) -> Bits:
    """Return hashes (N, B), also of no picture."""
    return np.stack(bits) if bits else np.zeros((0, HASH_BITS), np.bool_)
