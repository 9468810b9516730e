"""From rendering to error rates on a device: SynthFAS at full size, one split, within a time of its own."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmfas.analysis.gpu.section import Clock, Section, SkipItem
from mmfas.analysis.gpu.workloads import Method, small_methods
from mmfas.apis.testing import test
from mmfas.apis.training import use_amp
from mmfas.registry import register_all_modules
from mmfas.synthfas import SIZES, Setting, render_dataset
from mmfas.utils.compat import unscope_functions

if TYPE_CHECKING:
    from mmengine.config import Config

_METHODS = ('concat', 'mmdg')
#: What the split "C, P and S to W" reads.
_LISTS = ((('C', 'P', 'S'), ('train', 'val')), (('W',), ('test',)))


class _StopInTime(Hook):
    """Ends training after an epoch when another one would not fit.

    Args:
        clock: Time of the section.
        reserve: Seconds to leave for the test and what follows.
    """

    def __init__(self, clock: Clock, reserve: float) -> None:
        self.clock, self.reserve = clock, reserve
        self.num_epochs = 0
        self._last = clock.left

    def after_train_epoch(self, runner: Runner) -> None:
        """Stop if time is short."""
        self.num_epochs += 1
        needed, self._last = self._last - self.clock.left, self.clock.left
        if self.clock.left - self.reserve < needed:
            runner.train_loop.stop_training = True


def run_synthfas(
    section: Section, configs: Path, *, data: Path, num_workers: int, pretrained: Path | None = None
) -> None:
    """Render what is missing, train ConcatNeck and MMDG on three domains, and test on the fourth.

    Args:
        section: Where to, and how long.
        configs: Folder of the configs.
        data: Folder of the data; rendered into where it is not complete.
        num_workers: Processes that render and load.
        pretrained: Weights of a ViT-S/16 in mmpretrain's names, then frozen; None for the small transformer, from
            scratch.
    """
    size = 'tiny' if section.is_tiny else 'full'
    section.run('', 'rendering', _render, data, size, num_workers)
    methods = {method.name: method for method in small_methods(configs, is_tiny=section.is_tiny)}
    names = _METHODS[: 1 if section.is_tiny else None]
    for number, name in enumerate(names):
        share = section.clock.left / (len(names) - number)
        cfg = _config(section, methods[name], data, num_workers, pretrained=pretrained)
        section.run(name, 'training', _train_and_test, cfg, share, data)


def _render(data: Path, size: str, num_workers: int) -> dict[str, Any]:
    """Render the lists of the split."""
    start, frames = time.perf_counter(), 0
    for domains, splits in _LISTS:
        report = render_dataset(
            data, Setting(size), domains=domains, splits=splits, num_processes=max(num_workers, 1)
        )
        frames += report.num_frames
    return dict(num_triples=frames, num_processes=max(num_workers, 1), wall_s=time.perf_counter() - start)


def _config(section: Section, method: Method, data: Path, num_workers: int, *, pretrained: Path | None) -> Config:
    """Bring the config of a method to the size of the data and to this machine."""
    cfg = method.read()
    pixels = SIZES['tiny' if section.is_tiny else 'full'].pixels
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg[key]
        loader.num_workers, loader.persistent_workers = num_workers, num_workers > 0
        loader.pin_memory = section.device.type == 'cuda'
        loader.dataset.data_root = str(data)
        for step in loader.dataset.pipeline:
            if 'scale' in step:
                step.scale = (pixels, pixels)
        cfg[key] = unscope_functions(loader)
    trunk = cfg.model.trunk
    trunk.vit.img_size = pixels
    if pretrained is not None:
        trunk.vit.arch, trunk.pooling = 'small', 'cls'
        trunk.per_modality, trunk.frozen, trunk.pretrained = ('cls', 'pos'), ('patch', 'blocks'), str(pretrained)
    if section.device.type == 'cuda':
        use_amp(cfg)
        cfg.optim_wrapper.dtype, cfg.optim_wrapper.loss_scale = 'bfloat16', dict(enabled=False)
    if section.is_tiny:
        cfg.train_cfg.max_epochs = 1
    return cfg


def _train_and_test(cfg: Config, seconds: float, data: Path) -> dict[str, Any]:
    """Train a method for at most this long, and test its best epoch; the runs are not kept."""
    if not (data / 'manifest.json').is_file():
        raise SkipItem('there are no data: rendering did not finish')
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        return {**_run(cfg, Clock(seconds)), 'is_pretrained': cfg.model.trunk.get('pretrained') is not None}


def _run(cfg: Config, clock: Clock) -> dict[str, Any]:
    """Train, and test the best epoch on dev."""
    register_all_modules()
    start, work_dir = time.perf_counter(), Path(cfg.work_dir)
    runner, stop = Runner.from_cfg(cfg), _StopInTime(clock, reserve=min(15.0, clock.seconds / 5))
    runner.register_hook(stop)
    runner.train()
    trained = time.perf_counter() - start
    best = sorted(work_dir.glob('best_*.pth'))
    if not best:
        raise SkipItem('no epoch was finished in time')
    result = test(cfg, str(best[-1]), work_dir / 'test', plots=False)
    assert result is not None  # there is one process
    report = result.reports[0]
    steps = stop.num_epochs * len(runner.train_dataloader)
    return dict(
        num_epochs=stop.num_epochs,
        num_steps=steps,
        triples_per_second=steps * cfg.train_dataloader.batch_size / trained,
        training_s=trained,
        auc=None if report.auc is None else report.auc.value,
        hter=None if report.operating is None or report.operating.hter is None else report.operating.hter.value,
        num_parameters=sum(p.numel() for p in runner.model.parameters()),
    )
