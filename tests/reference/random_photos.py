"""Samples of random images and a config of a tiny model around them, for what runs a model over a data set."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.config import Config
from torch.utils.data import Dataset

from mmfas.registry import BACKBONES, DATASETS, FUSION_NECKS, HEADS
from mmfas.structures import MODALITIES, FASDataSample


@DATASETS.register_module(force=True)
class RandomPhotos(Dataset):
    """Samples of random images, spoof and live by turns, that are told apart by `first`.

    Args:
        length: Number of samples.
        first: Seed of the first sample.
        absent_ir: Whether every second sample lacks ir.
        pipeline: Ignored.
    """

    def __init__(self, length: int = 5, first: int = 0, absent_ir: bool = False, pipeline: Any = None) -> None:
        self.length, self.first, self.absent_ir = length, first, absent_ir

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(self.first + index)
        inputs = {m: torch.randint(0, 256, (3, 32, 32), generator=generator).byte() for m in MODALITIES}
        sample = FASDataSample(metainfo=dict(sample_id=f's{self.first + index}'))
        sample.gt_label = index % 2
        sample.present = torch.tensor([True, True, not self.absent_ir or index % 2 == 0])
        return dict(inputs=inputs, data_samples=sample)


def photo_loader(**dataset: Any) -> dict[str, Any]:
    """Make the config of a loader."""
    sampler = dict(type='DefaultSampler', shuffle=False)
    return dict(batch_size=2, num_workers=0, dataset=dict(type='RandomPhotos', **dataset), sampler=sampler)


def photo_config(neck: str, head: str, *, test: dict[str, Any] | None = None, **neck_options: Any) -> Config:
    """Make a whole config around a tiny model."""
    model = dict(
        type='MultiModalFAS',
        trunk=BACKBONES.get('MultiStreamViT').example_cfg(),
        neck={**FUSION_NECKS.get(neck).example_cfg(), **neck_options},
        head=HEADS.get(head).example_cfg(),
    )
    loaders = dict(
        train_dataloader=photo_loader(length=9, first=100, pipeline=[]),
        val_dataloader=photo_loader(length=6, first=200, pipeline=[]),
        test_dataloader=photo_loader(pipeline=[], **(test or {})),
    )
    loops = dict(
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
        val_cfg=dict(type='ValLoop'),
        val_evaluator=dict(type='FASMetric', split='dev'),
        test_cfg=dict(type='TestLoop'),
        test_evaluator=dict(type='FASMetric', split='test'),
    )
    return Config(dict(model=model, default_scope='mmfas', **loaders, **loops))
