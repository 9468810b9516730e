"""Randomness of one sample: derived from (seed, epoch, index), the same for any number of worker processes."""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from mmfas.utils.dataset_epoch import set_dataset_epoch
from mmfas.utils.errors import InputError

__all__ = [
    'EpochClock',
    'current_rng',
    'needs_full_seeding',
    'numpy_draws_only',
    'sample_randomness',
    'set_dataset_epoch',
]


_WORDS = struct.Struct('<6Q')
_POOL: list[np.random.PCG64] = []
_NUMPY_ONLY: set[type] = set()


class EpochClock:
    """Epoch and seed in shared memory, so that workers that are already running see a change.

    >>> clock = EpochClock()
    >>> clock.set(epoch=3, seed=7)
    >>> clock.epoch, clock.seed
    (3, 7)
    """

    def __init__(self, epoch: int = 0, seed: int = 0) -> None:
        self.__setstate__(torch.tensor([epoch, seed], dtype=torch.int64).share_memory_())

    def __getstate__(self) -> torch.Tensor:
        return self._state

    def __setstate__(self, state: torch.Tensor) -> None:
        self._state = state
        # The same memory: reading a NumPy element costs 0.1 us, a torch element ten times that or more.
        self._view = state.numpy()

    def __deepcopy__(self, memo: dict[int, Any]) -> EpochClock:
        # A deep copy of a shared tensor is a private one: worker processes would no longer see a new epoch.
        return EpochClock(self.epoch, self.seed)

    @property
    def epoch(self) -> int:
        """Epoch, counted from 0."""
        return int(self._view[0])

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self._view[1])

    def set(self, epoch: int, seed: int | None = None) -> None:
        """Set the epoch, and the seed unless it is None.

        Raises:
            ValueError: If one of them is negative.
        """
        if epoch < 0 or (seed is not None and seed < 0):
            raise InputError(f'epoch and seed must not be negative, but got epoch={epoch}, seed={seed}')
        self._view[0] = epoch
        if seed is not None:
            self._view[1] = seed


def numpy_draws_only(cls: type) -> type:
    """Mark a transform class that draws from `numpy.random` (or `current_rng`) alone; use as a decorator.

    A pipeline of such transforms is spared the seeding of `random` and torch, half the cost of
    `sample_randomness`. The mark is not inherited: a subclass may draw from anything.
    """
    _NUMPY_ONLY.add(cls)
    return cls


def needs_full_seeding(transforms: Iterable[Any]) -> bool:
    """Tell whether any of the transforms may draw from `random` or torch."""
    return not all(type(transform) in _NUMPY_ONLY for transform in transforms)


@contextmanager
def sample_randomness(seed: int, epoch: int, index: int, *, only_numpy: bool = False) -> Iterator[None]:
    """Run a block with `random`, `numpy.random` and torch's CPU generator seeded for one sample.

    The three outer generators continue afterwards as if nothing had happened, also after an error. Costs about
    30 us. CUDA's generators are not touched. Inside, NumPy's global generator is a PCG64: re-seeding it by
    `numpy.random.seed` raises TypeError, and would be a mistake in a transform.

    Args:
        seed: Seed of the run, >= 0.
        epoch: Epoch, >= 0.
        index: Index of the sample in its data set, >= 0.
        only_numpy: Leave `random` and torch alone; for pipelines that do not draw from them.

    Yields:
        Nothing.

    >>> with sample_randomness(1, 0, 5):
    ...     first = np.random.rand()
    >>> with sample_randomness(1, 0, 5):
    ...     first == np.random.rand()
    True
    """
    digest = hashlib.blake2b(b'%d,%d,%d' % (seed, epoch, index), digest_size=48).digest()
    low, high, increment, spare, python_seed, torch_seed = _WORDS.unpack(digest)
    # Setting a state is ten times as fast as making a generator from a SeedSequence; the pool serves nested use.
    inner_numpy = _POOL.pop() if _POOL else np.random.PCG64(0)
    inner_numpy.state = {
        'bit_generator': 'PCG64',
        'state': {'state': low | high << 64, 'inc': increment | spare << 64 | 1},
        'has_uint32': 0,
        'uinteger': 0,
    }
    # NumPy's outer generator is put aside as a whole: copying its state out and in would cost 70 us.
    outer_numpy = np.random.get_bit_generator()  # type: ignore[attr-defined]
    np.random.set_bit_generator(inner_numpy)  # type: ignore[attr-defined]
    try:
        if only_numpy:
            yield
        else:
            with _python_and_torch(python_seed, torch_seed >> 1):
                yield
    finally:
        np.random.set_bit_generator(outer_numpy)  # type: ignore[attr-defined]
        _POOL.append(inner_numpy)


@contextmanager
def _python_and_torch(python_seed: int, torch_seed: int) -> Iterator[None]:
    """Run a block with `random` and torch's CPU generator seeded, and restore both."""
    outer_python, outer_torch = random.getstate(), torch.default_generator.get_state()
    try:
        random.seed(python_seed)
        torch.default_generator.manual_seed(torch_seed)
        yield
    finally:
        random.setstate(outer_python)
        torch.default_generator.set_state(outer_torch)


def current_rng() -> np.random.Generator:
    """Return a generator on NumPy's present global bit generator; inside `sample_randomness` that of the sample.

    Returns:
        A generator with the same stream as the functions of `numpy.random`, which mmcv's transforms call.
    """
    return np.random.Generator(np.random.get_bit_generator())  # type: ignore[attr-defined]
