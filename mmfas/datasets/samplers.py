"""Samplers: any run of consecutive samples is balanced over domains and classes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from math import gcd
from typing import Any, Protocol

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.logging import print_log
from torch.utils.data import Sampler

from mmfas.datasets.protocols import UNKNOWN
from mmfas.registry import DATA_SAMPLERS
from mmfas.structures import LIVE
from mmfas.utils.errors import InputError, WrongTypeError

__all__ = ['DomainClassBalancedSampler', 'HasGroupKeys', 'group_keys_of', 'seats']

#: Domain of a sample in a data set that does not know it.
_NO_DOMAIN = (None, '', UNKNOWN)


class HasGroupKeys(Protocol):
    """What a data set must offer to be sampled in balance."""

    def group_keys(self) -> list[tuple[str, int]]:
        """Return (domain, label) of every sample, in the order of the indices."""


def group_keys_of(dataset: Any) -> list[tuple[str, int]]:
    """Collect the groups of a data set, through `ConcatDataset`, `RepeatDataset` and `Subset`.

    Args:
        dataset: A data set with `group_keys()`, or a wrapper around such ones.

    Returns:
        (domain, label) of every sample.

    Raises:
        TypeError: If a data set does not provide its groups.
    """
    if hasattr(dataset, 'group_keys'):
        return list(dataset.group_keys())
    if hasattr(dataset, 'datasets'):
        return [key for inner in dataset.datasets for key in group_keys_of(inner)]
    if hasattr(dataset, 'dataset'):
        keys = group_keys_of(dataset.dataset)
        if hasattr(dataset, 'indices'):
            return [keys[index] for index in dataset.indices]
        if hasattr(dataset, 'times'):
            return keys * dataset.times
    raise WrongTypeError(
        f'{type(dataset).__name__} does not say the domain and class of its samples: give it a method '
        'group_keys() -> list[tuple[str, int]], or use a DefaultSampler'
    )


@DATA_SAMPLERS.register_module()
class DomainClassBalancedSampler(Sampler):
    """Draw one sample of every (domain, class) group in turn, as cards are dealt.

    In any stretch of consecutive samples, so also in every batch whatever its size, the groups differ by at most
    one sample. Small groups are dealt again from the start when they run out (reshuffled), large ones are cut;
    over the epochs all their samples come up. An epoch has about as many samples as the data set. The order
    depends on (seed, epoch) alone.

    With W processes, the first W samples go to one process each, then the next W, and so on: the batches of all
    processes in a step are, together, the batch that one process with W times their size would have in that step.
    Which of the W a process gets changes from turn to turn so that its own stretches are balanced too.

    Args:
        dataset: Data set with `group_keys()`, or a wrapper, see `group_keys_of`.
        seed: Seed, equal in all processes; None draws one and broadcasts it.
        drop_uneven: With several processes, leave out the last samples of an epoch, fewer than processes, that
            cannot be dealt evenly. Training then differs from that of one process in the last, smaller batch of
            an epoch, unless the loader drops that one.

    Raises:
        ValueError: If the data set is empty, has one class or no known domain, or an epoch cannot be dealt evenly.

    >>> class Toy:
    ...     def group_keys(self):
    ...         return [('C', 0)] * 6 + [('C', 1)] * 2 + [('W', 0)] * 3 + [('W', 1)]
    ...     def __len__(self):
    ...         return 12
    >>> sampler = DomainClassBalancedSampler(Toy(), seed=0)
    >>> sorted(Toy().group_keys()[i] for i in list(sampler)[4:8])
    [('C', 0), ('C', 1), ('W', 0), ('W', 1)]
    """

    def __init__(self, dataset: Any, seed: int | None = None, *, drop_uneven: bool = False) -> None:
        is_number = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
        if seed is not None and not (is_number and 0 <= seed < 2**32):
            raise InputError(f'seed must be an integer from 0 to 4294967295 (2**32 - 1), got {seed!r}')
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        groups: dict[tuple[str, int], list[int]] = {}
        for index, (domain, label) in enumerate(group_keys_of(dataset)):
            groups.setdefault((UNKNOWN if domain is None else domain, label), []).append(index)
        _check_groups(groups)
        self._groups = {key: np.array(groups[key]) for key in sorted(groups)}
        num_samples = sum(len(members) for members in groups.values())
        self._num_rounds = -(-num_samples // len(groups))
        if self._length % self.world_size and not drop_uneven:
            raise InputError(_uneven(self._length, self.world_size))

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config; the builder adds the data set."""
        return {'type': cls.__name__, 'seed': 0}

    @property
    def _length(self) -> int:
        """Number of samples of an epoch, over all processes."""
        return self._num_rounds * len(self._groups)

    def _deal_order(self, rng: np.random.Generator) -> list[tuple[str, int]]:
        """Order the groups so that neighbours differ in class and domain where that is possible."""
        domains = sorted({domain for domain, _ in self._groups})
        labels = sorted({label for _, label in self._groups})
        domains = [domains[i] for i in rng.permutation(len(domains))]
        order = [
            (domain, labels[(shift + place) % len(labels)])
            for shift in range(len(labels))
            for place, domain in enumerate(domains)
        ]
        return [key for key in order if key in self._groups]

    @staticmethod
    def _draw(members: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw `count` members: whole shuffles one after the other, the last one cut."""
        shuffles = [rng.permutation(members) for _ in range(-(-count // len(members)))]
        return np.concatenate(shuffles)[:count]

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = self._deal_order(rng)
        dealt = np.stack([self._draw(self._groups[key], self._num_rounds, rng) for key in order], axis=1).ravel()
        turns = np.arange(len(self)) * self.world_size
        places = seats(np.array([label == LIVE for _, label in order]), self.world_size)[:, self.rank]
        return iter(dealt[turns + np.resize(places, len(self))].tolist())

    def __len__(self) -> int:
        return self._length // self.world_size

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that the order depends on.

        Args:
            epoch: Epoch, >= 0.
        """
        self.epoch = epoch


def seats(is_live: np.ndarray, world_size: int) -> np.ndarray:
    """Assign the `world_size` samples of every turn to the processes.

    If it were always the same one, each of two processes would see only half of an even number of groups. With G
    groups, and g the greatest common divisor of G and the number of processes, a process gets G / g different
    groups in G / g turns, and by moving one seat on after that, every group once in G turns. Which seat it begins
    with in each of the first G / g turns is free, and chosen so that its classes alternate.

    Args:
        is_live: Class of each group in the order of dealing, boolean (G,).
        world_size: Number W of processes, at least 1.

    Returns:
        Numbers from 0 to W - 1, shape (G, W); turn t of process r takes `seats[t % G, r]`.

    >>> seats(np.array([True, False, True, False, True, False]), 2).tolist()
    [[0, 1], [1, 0], [0, 1], [1, 0], [0, 1], [1, 0]]
    """
    num_groups = len(is_live)
    num_sets = gcd(num_groups, world_size)
    sign = np.where(is_live, 1, -1)
    ranks = np.arange(world_size)
    excess = np.zeros(world_size, dtype=int)  # live faces of a process, less its attacks
    first = []
    for turn in range(num_groups // num_sets):
        options = [(ranks + shift) % world_size for shift in range(num_sets)]
        gains = [sign[(turn * world_size + option) % num_groups] for option in options]
        best = min(range(num_sets), key=lambda shift: int(np.abs(excess + gains[shift]).sum()))
        excess += gains[best]
        first.append(best)
    shifts = [(shift + later) % num_sets for later in range(num_sets) for shift in first]
    return (ranks + np.array(shifts)[:, None]) % world_size


def _check_groups(groups: Mapping[tuple[str, int], Sequence[int]]) -> None:
    """Raise if there are no groups to balance; warn if some domains are unknown."""
    if not groups:
        raise InputError('the data set is empty')
    num_samples = sum(map(len, groups.values()))
    labels = {label for _, label in groups}
    if len(labels) == 1:
        kind = 'live faces' if labels == {LIVE} else 'attacks'
        raise InputError(
            f'DomainClassBalancedSampler needs live faces and attacks, but all {num_samples} samples are '
            f'{kind}: check the labels of ann_file (1 = live), or use a DefaultSampler to train on one class '
            'on purpose'
        )
    unknown = sum(len(members) for (domain, _), members in groups.items() if domain in _NO_DOMAIN)
    if unknown == num_samples:
        raise InputError(
            f'DomainClassBalancedSampler balances domains, but that of all {num_samples} samples is unknown: '
            'fill the column domain of ann_file or meta_file; to balance the classes alone, name the data as one '
            "domain, such as dataset=dict(domain='own')"
        )
    if unknown:
        print_log(
            f'DomainClassBalancedSampler: the domain of {unknown} of {num_samples} samples is unknown; they count '
            'as one domain of their own',
            logger='current',
            level=logging.WARNING,
        )


def _uneven(length: int, world_size: int) -> str:
    """Return the error for an epoch that cannot be dealt evenly, with remedies."""
    fitting = [count for count in range(1, 2 * world_size) if length % count == 0]
    return (
        f'DomainClassBalancedSampler deals {length} samples per epoch, which do not divide evenly among '
        f'{world_size} processes, so that training would depend on their number: take '
        f'{", ".join(map(str, fitting))} processes, or leave out the last {length % world_size} samples of every '
        'epoch with train_dataloader.sampler.drop_uneven=True'
    )
