"""Whether the cores of the host feed the device: how fast batches come, and what part of the time a step waits."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import default_collate
from torch.utils.data import DataLoader, Dataset

from mmfas.analysis.example_data import write_example
from mmfas.analysis.gpu.section import Section
from mmfas.analysis.gpu.workloads import build_large, build_wrapper, large_methods

_WARM_UP = 2


class _Repeated(Dataset[Any]):
    """A data set over and over again, so that a few files make long epochs."""

    def __init__(self, dataset: Any, length: int) -> None:
        self.dataset, self.length = dataset, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index % len(self.dataset)]


def run_data_path(section: Section, configs: Path, *, num_workers: int) -> None:
    """Load JPEG triples of 256 pixels with the published recipe, alone and before training steps of ConcatNeck.

    Args:
        section: Where to, and how long.
        configs: Folder of the configs.
        num_workers: Processes that load; 0 for none beside this one.
    """
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_example(Path(folder), **(dict(edge=72, num_files=4, size=64) if section.is_tiny else {}))
        batch_size, num_batches = (2, 3) if section.is_tiny else (32, 200)
        data = _Repeated(dataset, batch_size * (num_batches + _WARM_UP))
        pins = section.device.type == 'cuda'

        def loader() -> DataLoader[Any]:
            """Start over."""
            return DataLoader(
                data, batch_size, num_workers=num_workers, collate_fn=default_collate, pin_memory=pins
            )

        half = section.clock.left / 2
        section.run('', 'loading', _load, loader(), half)
        section.run('concat', 'waiting', _train, section, loader(), configs)


def _load(loader: DataLoader[Any], seconds: float) -> dict[str, Any]:
    """Count the triples that come in the given time."""
    batches: Iterator[Any] = iter(loader)
    for _ in islice(batches, _WARM_UP):
        pass
    start, num = time.perf_counter(), 0
    for _ in batches:
        num += 1
        if time.perf_counter() - start > seconds:
            break
    return _rate(loader, num, time.perf_counter() - start)


def _train(section: Section, loader: DataLoader[Any], configs: Path) -> dict[str, Any]:
    """Train ConcatNeck on what comes; each step is awaited, so the device is idle while the host waits."""
    model, cfg = build_large(large_methods(configs, is_tiny=section.is_tiny)[0], section.device)
    wrapper = build_wrapper(model.train(), cfg.optim_wrapper, clips=False)
    batches: Iterator[Any] = iter(loader)

    def step(batch: Any) -> None:
        with torch.autocast(section.device.type, torch.bfloat16):
            model.train_step(batch, wrapper)
        if section.device.type == 'cuda':
            torch.cuda.synchronize(section.device)

    for batch in islice(batches, _WARM_UP):
        step(batch)
    start, waited, num = time.perf_counter(), 0.0, 0
    while True:
        before = time.perf_counter()
        batch = next(batches, None)
        waited += time.perf_counter() - before
        if batch is None:
            break
        step(batch)
        num += 1
        if section.clock.is_over:
            break
    total = time.perf_counter() - start
    return {**_rate(loader, num, total), 'waiting_part': waited / total}


def _rate(loader: DataLoader[Any], num_batches: int, seconds: float) -> dict[str, Any]:
    """Say how many triples came."""
    size = loader.batch_size or 1
    return dict(
        triples_per_second=num_batches * size / seconds,
        num_batches=num_batches,
        batch_size=size,
        num_workers=loader.num_workers,
    )
