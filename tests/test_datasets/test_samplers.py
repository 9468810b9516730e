"""Balanced sampling: balance in every window, coverage, shards."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils.data import Subset

from mmfas.datasets import DomainClassBalancedSampler, group_keys_of, samplers
from mmfas.registry import DATA_SAMPLERS

GROUPS = {('C', 0): 50, ('C', 1): 7, ('S', 0): 90, ('S', 1): 12, ('W', 0): 30, ('W', 1): 11}


class Toy(torch.utils.data.Dataset):
    """A data set that knows its groups only."""

    def __init__(self, groups: dict[tuple[str, int], int]) -> None:
        self.keys = [key for key, count in groups.items() for _ in range(count)]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> int:
        return index

    def group_keys(self) -> list[tuple[str, int]]:
        return self.keys


def shards(dataset: Any, world_size: int, monkeypatch: pytest.MonkeyPatch, epoch: int = 0) -> list[list[int]]:
    """Return what every one of `world_size` processes gets."""
    out = []
    for rank in range(world_size):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, world_size))
        sampler = DomainClassBalancedSampler(dataset, seed=1)
        sampler.set_epoch(epoch)
        out.append(list(sampler))
        assert len(out[-1]) == len(sampler)
    return out


@pytest.mark.parametrize('world_size', [1, 2, 3])
@pytest.mark.parametrize('window', [4, 6, 7, 12, 32])
def test_every_window_is_balanced(world_size: int, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Toy(GROUPS)
    for shard in shards(dataset, world_size, monkeypatch):
        for start in range(len(shard) - window + 1):
            counts = Counter(dataset.keys[i] for i in shard[start : start + window])
            assert max(counts.values()) - min(counts.get(key, 0) for key in GROUPS) <= 1


@pytest.mark.parametrize('world_size', [2, 3, 4, 6])
@pytest.mark.parametrize('batch', [1, 4, 7])
def test_batches_of_all_processes_are_those_of_one(
    world_size: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Toy({**GROUPS, ('C', 0): 52})  # 34 rounds of 6 groups: 204 samples
    for epoch in (0, 5):
        (whole,) = shards(dataset, 1, monkeypatch, epoch)
        parts = shards(dataset, world_size, monkeypatch, epoch)
        assert {len(part) for part in parts} == {204 // world_size}
        for at in range(0, 204 // world_size, batch):
            together = [index for part in parts for index in part[at : at + batch]]
            assert sorted(together) == sorted(whole[at * world_size : (at + batch) * world_size])


@pytest.mark.parametrize('num_domains', [1, 2, 3, 4, 5])
@pytest.mark.parametrize('world_size', [2, 4, 5])
def test_both_classes_come_to_every_process(
    num_domains: int, world_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Toy({(f'd{number}', label): 40 for number in range(num_domains) for label in (0, 1)})
    for shard in shards(dataset, world_size, monkeypatch):
        labels = [dataset.keys[i][1] for i in shard]
        assert all(3 <= sum(labels[at : at + 8]) <= 5 for at in range(len(labels) - 7))


def test_order_of_one_process_is_that_of_earlier_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    (order,) = shards(Toy(GROUPS), 1, monkeypatch, epoch=3)
    assert len(order) == 204
    assert hashlib.sha256(str(order).encode()).hexdigest()[:16] == 'a3d1611617a37e46'


def test_uneven_epochs_are_refused_or_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Toy(GROUPS)
    monkeypatch.setattr(samplers, 'get_dist_info', lambda: (4, 5))
    told = (
        r'204 samples per epoch, which do not divide evenly among 5 processes.*take 1, 2, 3, 4, 6 processes, or '
        r'leave out the last 4 samples of every epoch with train_dataloader\.sampler\.drop_uneven=True'
    )
    with pytest.raises(ValueError, match=told):
        DomainClassBalancedSampler(dataset, seed=1)
    cut = DomainClassBalancedSampler(dataset, seed=1, drop_uneven=True)
    assert len(list(cut)) == len(cut) == 40
    monkeypatch.setattr(samplers, 'get_dist_info', lambda: (0, 1))
    one = DomainClassBalancedSampler(dataset, seed=1, drop_uneven=True)
    assert list(one) == list(DomainClassBalancedSampler(dataset, seed=1))


@pytest.mark.parametrize('domain', ['unknown', '', None])
def test_unknown_domains_are_refused_and_a_few_are_announced(domain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"that of all 7 samples is unknown: fill .*dict.domain='own'"):
        DomainClassBalancedSampler(Toy({(domain, 0): 4, (domain, 1): 3}), seed=0)
    told: list[str] = []
    monkeypatch.setattr(samplers, 'print_log', lambda text, **kwargs: told.append(text))
    sampler = DomainClassBalancedSampler(Toy({('C', 0): 4, ('C', 1): 3, (domain, 1): 3}), seed=0)
    assert len(sampler) == 12
    (text,) = told
    assert text.endswith('the domain of 3 of 10 samples is unknown; they count as one domain of their own')
    DomainClassBalancedSampler(Toy({('own', 0): 4, ('own', 1): 3}), seed=0)
    assert len(told) == 1  # one named domain is no reason to warn


def test_turns_of_default_samplers_are_batches_of_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The samplers of mmengine deal in turn as well; this is what the pages promise of them."""
    from mmengine.dataset import sampler as engine

    parts: dict[int, list[int]] = {}
    for rank, world_size in ((0, 1), (0, 2), (1, 2)):
        monkeypatch.setattr(engine, 'get_dist_info', lambda rank=rank, world=world_size: (rank, world))
        parts[2 * world_size + rank] = list(engine.DefaultSampler(Toy(GROUPS), seed=3))
    assert [index for pair in zip(parts[4], parts[5], strict=True) for index in pair] == parts[2]


def test_neighbours_alternate_in_class(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Toy(GROUPS)
    (order,) = shards(dataset, 1, monkeypatch)
    assert all({dataset.keys[i][1] for i in order[at : at + 2]} == {0, 1} for at in range(0, 12, 6))


def test_shards_are_disjoint_where_nothing_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = shards(Toy(dict.fromkeys(GROUPS, 20)), 2, monkeypatch)
    assert len(first) == len(second) == 60
    assert not set(first) & set(second)
    assert len(set(first) | set(second)) == 120


def test_small_groups_repeat_evenly_and_large_ones_are_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Toy(GROUPS)
    seen: set[int] = set()
    for epoch in range(12):
        (order,) = shards(dataset, 1, monkeypatch, epoch)
        assert abs(len(order) - len(dataset)) < len(GROUPS)
        small = Counter(i for i in order if dataset.keys[i] == ('C', 1))
        assert max(small.values()) - min(small.values()) <= 1
        seen.update(order)
    assert len(seen) == len(dataset)


def test_epochs_differ_and_repeat_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [shards(Toy(GROUPS), 1, monkeypatch, epoch)[0] for epoch in (0, 1, 0)]
    assert runs[0] == runs[2] and runs[0] != runs[1]
    assert list(DomainClassBalancedSampler(Toy(GROUPS), seed=2)) != runs[0]


def test_one_domain_and_no_sample() -> None:
    assert sorted(DomainClassBalancedSampler(Toy({('C', 0): 2, ('C', 1): 2}), seed=0)) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match='the data set is empty'):
        DomainClassBalancedSampler(Toy({}), seed=0)


class Wrapper:
    """A wrapper with attributes only."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def test_groups_through_wrappers() -> None:
    a, b = Toy({('C', 0): 2}), Toy({('W', 1): 1})
    assert group_keys_of(Wrapper(datasets=[a, b])) == [('C', 0), ('C', 0), ('W', 1)]
    keys = group_keys_of(Wrapper(dataset=Wrapper(datasets=[a, b]), times=2))
    assert keys == [('C', 0), ('C', 0), ('W', 1)] * 2
    assert group_keys_of(Subset(Toy({('C', 0): 2, ('C', 1): 1}), [2, 0])) == [('C', 1), ('C', 0)]
    for bad in (Wrapper(), Wrapper(dataset=a)):
        with pytest.raises(TypeError, match=r'Wrapper does not say the domain and class .* use a DefaultSampler'):
            group_keys_of(bad)


def test_built_like_the_runner_does() -> None:
    config = {'_scope_': 'mmfas', **DomainClassBalancedSampler.example_cfg()}
    sampler = DATA_SAMPLERS.build(config, default_args={'dataset': Toy(GROUPS), 'seed': 4})
    assert isinstance(sampler, DomainClassBalancedSampler)
    assert isinstance(DomainClassBalancedSampler(Toy(GROUPS)).seed, int)


@pytest.mark.parametrize(('label', 'kind'), [(1, 'live faces'), (0, 'attacks')])
def test_one_class_is_refused(label: int, kind: str) -> None:
    with pytest.raises(ValueError, match=f'all 5 samples are {kind}: check the labels of ann_file'):
        DomainClassBalancedSampler(Toy({('C', label): 3, ('W', label): 2}), seed=0)
