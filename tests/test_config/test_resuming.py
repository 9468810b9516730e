"""Settings that the state of a checkpoint overrides are named; all others are followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmfas.config.resuming import overridden_settings, read_dumped

BASE = Path(__file__).parents[2] / 'configs/mmdg/mmdg_mini-vit_1xb32-12e_synthfas-cps2w.py'


def changed(**options: Any) -> list[str]:
    """Compare the shipped config, as a checkpoint has it, with itself after some changes."""
    cfg = Config.fromfile(BASE)
    dumped = cfg.pretty_text
    cfg.merge_from_dict(options)
    return overridden_settings(dumped, cfg.to_dict())


def test_the_same_config_has_no_difference() -> None:
    assert changed() == []
    assert read_dumped(Config.fromfile(BASE).pretty_text)['train_cfg']['max_epochs'] == 12


@pytest.mark.parametrize(
    ('option', 'value', 'place'),
    [
        ('optim_wrapper.optimizer.lr', 1e-5, 'optim_wrapper.optimizer.lr: 0.001 in the checkpoint, 1e-05 in the'),
        ('optim_wrapper.optimizer.betas', (0.5, 0.999), 'optim_wrapper.optimizer.betas[0]: 0.9'),
        ('optim_wrapper.paramwise_cfg.norm_decay_mult', 3.0, 'optim_wrapper.paramwise_cfg'),
        ('param_scheduler', [], 'param_scheduler'),
        ('default_hooks.checkpoint.save_best', 'dev/auc', "hooks.CheckpointHook.save_best: 'dev/hter' in the"),
    ],
)
def test_what_the_state_brings_back_is_named(option: str, value: Any, place: str) -> None:
    lines = changed(**{option: value})
    assert len(lines) == 1 and place in lines[0]


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('train_dataloader.batch_size', 3),
        ('train_cfg.max_epochs', 99),
        ('optim_wrapper.clip_grad', dict(max_norm=2.0)),
        ('default_hooks.logger.interval', 7),
    ],
)
def test_what_is_followed_is_not(option: str, value: Any) -> None:
    assert changed(**{option: value}) == []


def test_a_dumped_config_is_read_without_running_it() -> None:
    text = "a = dict(b=__import__('os').system('false'))\nc = {'d': (1, -2.5, None)}\nimport os\nf = open"
    assert read_dumped(text) == {'c': {'d': (1, -2.5, None)}}
    assert overridden_settings('not python at all', {}) == []
