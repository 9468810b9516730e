"""Values that mmengine and torch would only refuse with a traceback, or not at all, are named by the check."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine.config import Config
from test_check import broken

from mmfas.apis.training import train
from mmfas.config.check import check_config
from mmfas.datasets.samplers import DomainClassBalancedSampler
from mmfas.utils.distributed import start_distributed

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    'no end': ({'train_cfg__max_epochs': None}, 'train_cfg.max_epochs: must be an integer of at least 1'),
    'intervals': ({'train_cfg__dynamic_intervals': [(1, 0)]}, 'train_cfg: dynamic_intervals must be pairs'),
    'interval': ({'train_cfg__dynamic_intervals': 5}, 'train_cfg: dynamic_intervals must be pairs'),
    'no batches': ({'train_dataloader__num_batch_per_epoch': 0}, 'num_batch_per_epoch: must be at least 1'),
    'prefetch': ({'train_dataloader__prefetch_factor': -1}, 'prefetch_factor: must be at least 1'),
    'timeout': ({'train_dataloader__timeout': -1}, 'timeout: must be at least 0'),
    'start': (
        {'train_dataloader__multiprocessing_context': 'x'},
        "must be one of ('fork', 'forkserver'",
    ),
    'alone': ({'train_dataloader__multiprocessing_context': 'fork'}, 'multiprocessing_context: needs workers'),
    'shuffle': ({'train_dataloader__shuffle': True}, 'train_dataloader.shuffle: the sampler decides the order'),
    'one name': ({'default_hooks__checkpoint__filename_tmpl': 'x.pth'}, 'must be a file name with one {}'),
    'two numbers': ({'default_hooks__checkpoint__filename_tmpl': '{}_{}.pth'}, 'must be a file name with one {}'),
    'elsewhere': ({'default_hooks__checkpoint__filename_tmpl': '../{}.pth'}, 'must be a file name with one {}'),
    'no log': ({'default_hooks__logger': dict(type='LoggerHook', interval=-1)}, 'interval: must be at least 1'),
    'averages': (
        {'custom_hooks': [dict(type='EMAHook', momentum=2.0)]},
        'momentum must be above 0 and below',
    ),
    'begin': ({'custom_hooks': [dict(type='EMAHook', begin_iter=-1)]}, 'begin_iter: must be at least 0'),
    'gamma': ({'param_scheduler': [dict(type='ExponentialLR', gamma=[0.5])]}, 'gamma: must be a number'),
    'visualizer': ({'visualizer': dict(type='Visualizer', name=5)}, 'visualizer.name: must be a string'),
    'compile': ({'compile': 5}, 'compile: must be True, False or a dict'),
}


@pytest.mark.parametrize('what', WRONG)
def test_a_value_that_the_engine_cannot_use_is_named(what: str) -> None:
    changes, expected = WRONG[what]
    assert [problem for problem in check_config(broken(**changes)) if expected in problem]


@pytest.mark.parametrize(
    'changes',
    [
        {'train_cfg__dynamic_intervals': [(0, 5), (10, 1)]},
        {'default_hooks__checkpoint__filename_tmpl': 'step_{}.pth'},
        {'custom_hooks': [dict(type='EMAHook', momentum=0.001, begin_epoch=0)]},
        {'param_scheduler': [dict(type='ExponentialLR', gamma=0.5)]},
    ],
)
def test_values_that_it_can_use_are_accepted(changes: dict[str, Any]) -> None:
    assert check_config(broken(**changes)) == []


def test_what_no_check_knows_ends_in_a_sentence(tmp_path: Any) -> None:
    cfg = Config(dict(work_dir=str(tmp_path), model=dict(type='MultiModalFAS', trunk=5, neck=5, head=5)))
    with pytest.raises(ValueError, match='the run cannot be built from this config: '):
        train(cfg)
    with pytest.raises(ValueError, match='work_dir is not set'):
        train(Config(dict(work_dir=None)))


class _Toy:
    def group_keys(self) -> list[tuple[str, int]]:
        return [('a', 0), ('a', 1)] * 4

    def __len__(self) -> int:
        return 8


@pytest.mark.parametrize('seed', [-1, 1.5, 'x', True, 2**70])
def test_seeds_of_samplers_are_looked_at(seed: Any) -> None:
    with pytest.raises(ValueError, match='seed must be an integer from 0 to 4294967295'):
        DomainClassBalancedSampler(_Toy(), seed=seed)


@pytest.mark.parametrize('name', ['RANK', 'WORLD_SIZE', 'MASTER_PORT'])
def test_ranks_that_are_no_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.setenv(other, 'x' if other == name else '1')
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    with pytest.raises(RuntimeError, match=f"{name} must be a number, 0 or more, got 'x'"):
        start_distributed('pytorch')
