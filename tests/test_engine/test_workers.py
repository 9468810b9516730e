"""The processes of loaders: none is left when a training has ended, however it did."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from engine_process import CONFIG
from mmengine.config import Config

from mmfas.apis.training import train

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures('small_and_quiet')]


def config(work_dir: Path) -> Config:
    """Return a config of one epoch whose loaders keep a worker each."""
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({'work_dir': str(work_dir), 'train_cfg.max_epochs': 1})
    for name in ('train', 'val'):
        cfg[f'{name}_dataloader'].update(num_workers=1, persistent_workers=True)
    return cfg


def test_workers_end_with_the_training_and_start_again_when_asked(tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    runner = train(config(tmp_path))
    assert set(multiprocessing.active_children()) == before
    loader = runner.train_loop.dataloader
    assert len(list(loader)) == 4
    (worker,) = set(multiprocessing.active_children()) - before
    loader._iterator._shutdown_workers()
    assert not worker.is_alive()


def test_workers_end_with_a_training_that_fails_or_stops(tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    train(config(tmp_path / 'steps'), steps=2)
    assert set(multiprocessing.active_children()) == before
    cfg = config(tmp_path / 'broken')
    cfg.train_dataloader.dataset.nan_at = 6
    with pytest.raises(FloatingPointError, match='is NaN or infinite'):
        train(cfg)
    assert set(multiprocessing.active_children()) == before
