"""Randomness that depends on (seed, epoch) alone, so that a resumed run continues exactly."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmfas.registry import HOOKS
from mmfas.utils.dataset_epoch import set_dataset_epoch


def seed_process(*numbers: int) -> None:
    """Seed python, numpy and torch from a few numbers; near numbers give unrelated streams.

    Args:
        *numbers: Non-negative integers such as seed, epoch and rank.
    """
    python, numpy, torch_seed = np.random.SeedSequence(numbers).generate_state(3).tolist()
    random.seed(python)
    np.random.seed(numpy)  # noqa: NPY002 - the global generator is what third-party transforms draw from
    torch.manual_seed(torch_seed)


@HOOKS.register_module()
class SampleSeedHook(Hook):
    """Tell data sets the epoch, and seed the process from (seed, epoch, rank) when an epoch begins.

    mmengine does not save the state of random generators, so a run that was killed and resumed would draw other
    numbers than an uninterrupted one. Here every draw derives from numbers that the checkpoint has: a sample's
    from (seed, epoch, index), the model's (dropout) from (seed, epoch, rank), the order of the samples from (seed,
    epoch).
    """

    priority = 'HIGH'

    def before_train(self, runner: Runner) -> None:
        """Give the sampler the run's seed: a resumed run without a fixed one learns it from the checkpoint.

        A seed that the config gives to the sampler itself stays.
        """
        loader_cfg = runner.cfg.get('train_dataloader') or {}
        if (loader_cfg.get('sampler') or {}).get('seed') is not None:
            return
        loader = runner.train_dataloader
        for sampler in (loader.sampler, getattr(loader.batch_sampler, 'sampler', None)):
            if sampler is not None and isinstance(getattr(sampler, 'seed', None), int):
                sampler.seed = base_seed(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Announce the epoch to the data sets."""
        seed_process(base_seed(runner), runner.epoch, runner.rank)
        set_dataset_epoch(runner.train_dataloader.dataset, runner.epoch, base_seed(runner))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed once more when the first batch is there.

        A loader draws from the generator of this process when its workers start, which a run with persistent
        workers does in its first epoch only: after a resume that is another epoch than before.
        """
        if batch_idx == 0:
            seed_process(base_seed(runner), runner.epoch, runner.rank)


def base_seed(runner: Runner) -> int:
    """Return the seed that all processes of a run have in common."""
    spread = runner.rank if runner._randomness_cfg.get('diff_rank_seed') else 0
    return int(runner.seed) - spread
