"""Patterns of `custom_keys` that set nothing are refused or noted; so is clipping that turns gradients round."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmfas.apis.training import train
from mmfas.engine.optim_wrappers import GradientModulationOptimWrapper
from mmfas.utils import paramwise
from mmfas.utils.paramwise import idle_patterns, pattern_problems

pytestmark = pytest.mark.engine


class Net(nn.Module):
    """Names of several depths; one parameter is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
        self.head = nn.ModuleDict(dict(classifier=nn.Linear(2, 2)))
        self.scale = nn.Parameter(torch.ones(()))
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


CASES = {
    'trunk': None,
    'scale': None,
    'classifier.bias': None,
    'backbone': 'no parameter has it in its name',
    'trnk': 'no parameter has it in its name, did you mean trunk?',
    'head.clasifier': 'no parameter has it in its name, did you mean head.classifier?',
    'trunk.*': 'no parameter has it in its name',
    'frozen': 'the 2 parameters with it in their names are not trained',
}


@pytest.mark.parametrize('pattern', CASES)
def test_one_pattern(pattern: str) -> None:
    cfg = dict(custom_keys={pattern: dict(lr_mult=0.5)})
    found = idle_patterns(cfg, Net())
    if CASES[pattern] is None:
        assert found == {}
    else:
        assert list(found) == [pattern] and found[pattern].startswith(CASES[pattern])
    # the rule of mmengine is the reference: a pattern that sets nothing leaves every rate as it is
    wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0), paramwise_cfg=cfg)
    built = build_optim_wrapper(Net(), wrapper)
    assert any(group['lr'] == 0.5 for group in built.optimizer.param_groups) == (not found)


def test_a_pattern_in_the_shadow_of_longer_ones() -> None:
    cfg = dict(custom_keys={'trunk': dict(lr_mult=0.5), 'trunk.0': {}, 'trunk.1': {}})
    assert idle_patterns(cfg, Net()) == {
        'trunk': "every parameter with it in its name takes another pattern first, such as 'trunk.0'"
    }
    assert idle_patterns(None, Net()) == idle_patterns(dict(norm_decay_mult=0.0), Net()) == {}


@pytest.mark.parametrize(
    ('pattern', 'options', 'is_mistake'),
    [
        ('trnk', dict(lr_mult=0.1), True),
        ('backbone', dict(lr_mult=0.1, decay_mult=0.0), True),
        ('absolute_pos_embed', dict(decay_mult=0.0), False),  # schedules that several networks share have it
        ('frozen', dict(lr_mult=0.1), False),
    ],
)
@pytest.mark.parametrize('constructor', [None, 'mmpretrain.LearningRateDecayOptimWrapperConstructor'])
def test_which_patterns_are_mistakes(
    pattern: str, options: dict[str, float], is_mistake: bool, constructor: str | None
) -> None:
    wrapper = dict(constructor=constructor, paramwise_cfg=dict(custom_keys={pattern: options}))
    problems, notes = pattern_problems(wrapper, Net())
    assert (len(problems), len(notes)) == (int(is_mistake), int(not is_mistake))
    assert (problems + notes)[0].startswith(f'optim_wrapper.paramwise_cfg.custom_keys.{pattern}: sets nothing, ')
    assert pattern_problems(dict(wrapper, constructor='Other'), Net()) == ([], [])  # whose patterns are its own


def test_training_refuses_them_before_the_first_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[str] = []
    loop = SimpleNamespace(dataloader=[None])
    runner = SimpleNamespace(
        model=Net(), train_loop=loop, train=lambda: None, register_hook=lambda hook, priority: None
    )
    monkeypatch.setattr('mmfas.apis.training.Runner.from_cfg', lambda cfg: runner)
    monkeypatch.setattr(paramwise, 'print_log', lambda message, **kwargs: told.append(message))

    def config(**keys: dict[str, float]) -> Config:
        wrapper = dict(type='OptimWrapper', paramwise_cfg=dict(custom_keys=keys))
        return Config(dict(work_dir=str(tmp_path), optim_wrapper=wrapper))

    with pytest.raises(ValueError, match=r'custom_keys.trnk: sets nothing, .* did you mean trunk\?'):
        train(config(trnk=dict(lr_mult=0.1), head=dict(lr_mult=0.1)))
    assert train(config(frozen=dict(lr_mult=0.1), head=dict(lr_mult=0.1))) is runner
    assert told == [
        'optim_wrapper.paramwise_cfg.custom_keys.frozen: sets nothing, '
        'the 2 parameters with it in their names are not trained'
    ]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(clip_grad=dict(max_norm=-1.0)), 'clip_grad.max_norm: must be above 0'),
        (dict(clip_grad=dict(max_norm=float('nan'))), 'clip_grad.max_norm: must be above 0, got nan'),
        (dict(clip_grad=dict(max_nrm=1.0)), 'clip_grad.max_nrm: unexpected, did you mean max_norm?'),
        (dict(accumulative_counts=0), 'accumulative_counts: must be at least 1, got 0'),
    ],
)
def test_our_wrappers_refuse_it_without_a_config(options: dict[str, Any], message: str) -> None:
    optimizer = torch.optim.SGD(Net().parameters(), lr=0.1)
    with pytest.raises(ValueError, match=message.replace('?', r'\?')):
        GradientModulationOptimWrapper(optimizer, dict(type='Sum'), **options)
