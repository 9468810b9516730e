"""Pictures of a few pixels from two domains, for tests that need a whole model around a step."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import Dataset

from mmfas.registry import DATASETS
from mmfas.structures import MODALITIES, FASDataSample


@DATASETS.register_module(force=True)
class TinyPhotos(Dataset):
    """Random images of 16 pixels; live ones are brighter. Drawn anew each epoch from (seed, epoch, index)."""

    metainfo: dict[str, Any] = dict(dataset_type='tiny')

    def __init__(self, length: int = 22, absent_ir: tuple[int, ...] = (3, 4, 11)) -> None:
        self.length, self.absent_ir = length, set(absent_ir)
        self.clock = torch.zeros(2, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int, seed: int) -> None:
        self.clock[0], self.clock[1] = epoch, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        epoch, seed = self.clock.tolist()
        generator = torch.Generator().manual_seed((seed * 1009 + epoch) * 1009 + index)
        low = 60 * (index % 2)
        inputs = {m: torch.randint(low, 190, (3, 16, 16), generator=generator).byte() for m in MODALITIES}
        sample = FASDataSample(metainfo=dict(sample_id=f's{index}', domain='CW'[index // 2 % 2]))
        sample.gt_label = index % 2
        sample.present = torch.tensor([True, True, index not in self.absent_ir])
        return dict(inputs=inputs, data_samples=sample)
