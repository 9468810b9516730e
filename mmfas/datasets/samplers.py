"""Samplers: every stretch of a batch holds all domains and both classes alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmfas.registry import DATA_SAMPLERS
from mmfas.structures import LIVE

__all__ = ['DomainClassBalancedSampler', 'HasGroupKeys', 'group_keys_of']


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
        TypeError: If a data set does not say its groups.
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
    raise TypeError(
        f'{type(dataset).__name__} does not say the domain and class of its samples: give it a method '
        'group_keys() -> list[tuple[str, int]], or use a DefaultSampler'
    )


@DATA_SAMPLERS.register_module()
class DomainClassBalancedSampler(Sampler):
    """Deal samples like cards: one of every (domain, class) group in turn.

    In any stretch of consecutive samples, so also in every batch whatever its size, the groups differ by at most
    one sample. Small groups are dealt again from the start when they run out (reshuffled), large ones are cut;
    over the epochs all their samples come up. An epoch has about as many samples as the data set. With several
    processes each gets whole rounds of its own, equally many: the shards share no sample unless its group had to
    be repeated. The order depends on (seed, epoch) alone.

    Args:
        dataset: Data set with `group_keys()`, or a wrapper, see `group_keys_of`.
        seed: Seed, equal in all processes; None draws one and shares it.

    >>> class Toy:
    ...     def group_keys(self):
    ...         return [('C', 0)] * 6 + [('C', 1)] * 2 + [('W', 0)] * 3 + [('W', 1)]
    ...     def __len__(self):
    ...         return 12
    >>> sampler = DomainClassBalancedSampler(Toy(), seed=0)
    >>> sorted(Toy().group_keys()[i] for i in list(sampler)[4:8])
    [('C', 0), ('C', 1), ('W', 0), ('W', 1)]
    """

    def __init__(self, dataset: Any, seed: int | None = None) -> None:
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        groups: dict[tuple[str, int], list[int]] = {}
        for index, key in enumerate(group_keys_of(dataset)):
            groups.setdefault(key, []).append(index)
        if not groups:
            raise ValueError('the data set is empty')
        labels = {label for _, label in groups}
        if len(labels) == 1:
            kind = 'live faces' if labels == {LIVE} else 'attacks'
            raise ValueError(
                f'DomainClassBalancedSampler needs live faces and attacks, but all {len(dataset)} samples are '
                f'{kind}: check the labels of ann_file (1 = live), or use a DefaultSampler to train on one class '
                'on purpose'
            )
        self._groups = {key: np.array(groups[key]) for key in sorted(groups)}
        num_samples = sum(len(members) for members in groups.values())
        self._rounds_per_rank = -(-num_samples // (len(groups) * self.world_size))

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config; the data set is given by the one who builds."""
        return {'type': cls.__name__, 'seed': 0}

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
        num_rounds = self._rounds_per_rank * self.world_size
        table = np.stack([self._draw(self._groups[key], num_rounds, rng) for key in order], axis=1)
        return iter(table[self.rank :: self.world_size].ravel().tolist())

    def __len__(self) -> int:
        return self._rounds_per_rank * len(self._groups)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that the order depends on.

        Args:
            epoch: Epoch, >= 0.
        """
        self.epoch = epoch
