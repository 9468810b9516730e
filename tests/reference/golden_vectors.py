"""Published numbers (`tests/data/golden`), of which long gradients and outputs are kept as sketches.

Parameters, inputs and cotangents are whole. A sketch holds the largest magnitude of an array, 256 of its entries,
and all entries in sums of 16 with random signs: a change of one entry by d changes one sum by exactly d. So both
are compared at the tolerance of the entries themselves. `shrink_golden.py` makes the files.
"""

from __future__ import annotations

import gzip
import io
import lzma
import re
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).resolve().parents[1] / 'data' / 'golden'
NUM_VALUES, PER_SUM = 256, 16
#: Key of a sketch: name and shape of the array.
_KEY = re.compile(r'(.+)@(\d+(?:x\d+)*)')


@dataclass(frozen=True)
class Sketch:
    """What is kept of an array.

    Args:
        name: Name of the array, which seeds places and signs.
        shape: Its shape.
        kept: Largest magnitude, values and sums, one after the other, `float32`.
    """

    name: str
    shape: tuple[int, ...]
    kept: Tensor

    @classmethod
    def of(cls, name: str, array: Tensor) -> Sketch:
        """Make the sketch of an array."""
        empty = cls(name, tuple(array.shape), torch.empty(0))
        parts = [array.abs().max()[None], empty.values_of(array), empty.sums_of(array)]
        return cls(name, empty.shape, torch.cat([part.float() for part in parts]))

    @property
    def key(self) -> str:
        """Key in the file."""
        return f'{self.name}@{"x".join(map(str, self.shape))}'

    @property
    def largest(self) -> float:
        """Largest magnitude of the array."""
        return float(self.kept[0])

    @cached_property
    def _order(self) -> tuple[Tensor, Tensor]:
        """Shuffled places of all entries, and a sign for each."""
        random = np.random.RandomState(zlib.crc32(self.name.encode()))  # noqa: NPY002  # its streams never change
        size = int(np.prod(self.shape))
        order, signs = random.permutation(size), 1 - 2 * random.randint(0, 2, size)
        return torch.from_numpy(order), torch.from_numpy(signs)

    def values_of(self, array: Tensor) -> Tensor:
        """Return the entries of an array at the places of the sketch."""
        return array.detach().flatten()[self._order[0][:NUM_VALUES]]

    def sums_of(self, array: Tensor) -> Tensor:
        """Return the sums of an array in float64."""
        order, signs = self._order
        signed = array.detach().flatten().double()[order] * signs
        return torch.nn.functional.pad(signed, (0, -len(signed) % PER_SUM)).unflatten(0, (-1, PER_SUM)).sum(1)

    def difference(self, array: Tensor) -> Tensor:
        """Return how far an array is away, entry by entry and sum by sum."""
        assert tuple(array.shape) == self.shape, f'{self.name}: {tuple(array.shape)} instead of {self.shape}'
        found = torch.cat([self.values_of(array).double(), self.sums_of(array)])
        return found - self.kept[1:].double()


def released_names(name: str) -> list[list[str]]:
    """Read the names and shapes (`3x4`) of the tensors of a released model."""
    with gzip.open(GOLDEN / f'{name}_names.txt.gz', 'rt', encoding='utf-8') as file:
        return [line.split(' ') for line in file.read().splitlines()]


def write_vectors(arrays: dict[str, np.ndarray], file: Path) -> None:
    """Write a file that `golden` reads."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    # Random numbers of four bytes: only the first byte of each has something to compress.
    by_place = dict(id=lzma.FILTER_LZMA2, preset=6, lc=0, lp=2, pb=2)
    file.write_bytes(lzma.compress(content.getvalue(), filters=[by_place]))


def golden(name: str, folder: Path = GOLDEN) -> dict[str, Tensor | Sketch]:
    """Read a file: name -> whole array, or sketch."""
    found: dict[str, Tensor | Sketch] = {}
    content = lzma.decompress((folder / f'{name}.npz.xz').read_bytes())
    with np.load(io.BytesIO(content)) as file:
        for key, array in file.items():
            match = _KEY.fullmatch(key)
            if match is None:
                found[key] = torch.from_numpy(array)
            else:
                shape = tuple(map(int, match[2].split('x')))
                found[match[1]] = Sketch(match[1], shape, torch.from_numpy(array))
    return found


def largest(array: Tensor | Sketch) -> float:
    """Return the largest magnitude."""
    return array.largest if isinstance(array, Sketch) else float(array.abs().max())


def difference(ours: Tensor, theirs: Tensor | Sketch) -> Tensor:
    """Return by how much ours is different: each entry, or what the sketch has of them."""
    if isinstance(theirs, Sketch):
        return theirs.difference(ours)
    assert ours.shape == theirs.shape, f'{tuple(ours.shape)} instead of {tuple(theirs.shape)}'
    return ours.detach() - theirs


def assert_near(
    ours: Tensor, theirs: Tensor | Sketch | list[Sketch], name: str = '', *, tolerance: float = 1e-5
) -> None:
    """Compare with published numbers; differences may be at most `tolerance` of the largest magnitude.

    A list stands for arrays that are stacked in ours.
    """
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for i, part in enumerate(theirs):
            assert_near(ours[i], part, f'{name}[{i}]', tolerance=tolerance)
        return
    worst = float(difference(ours, theirs).abs().max())
    assert worst <= tolerance * largest(theirs), f'{name}: {worst} is above {tolerance} of {largest(theirs)}'
