"""`save_best='dev/hter', rule='less'` in a real run of the Runner."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmfas.structures import FASDataSample

from .tables import make_records

pytestmark = pytest.mark.engine


class _Records(Dataset):
    """Score records as a data set; the 'image' is the score."""

    def __init__(self) -> None:
        self.records = make_records(60, 0)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, object]:
        record = self.records[index]
        meta = {key: record[key] for key in ('sample_id', 'domain', 'subject', 'video', 'pai')}
        sample = FASDataSample(metainfo=meta)
        sample.gt_label = record['label']
        return {'inputs': torch.tensor(record['score']), 'data_samples': sample}


class _Degrading(BaseModel):
    """Gives every sample its score in epoch 1 and a constant later: epoch 1 is the best one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.num_validations = 0

    def forward(self, inputs: list[Tensor], data_samples: list[FASDataSample], mode: str = 'tensor') -> object:
        if mode == 'loss':
            return {'loss': self.weight * 0}
        for value, sample in zip(inputs, data_samples):
            sample.pred_score = float(value) if self.num_validations == 0 else 0.5
        self.num_validations += any(sample.sample_id.endswith('00059.png') for sample in data_samples)
        return data_samples


def test_best_checkpoint_is_that_of_the_lowest_dev_hter(tmp_path: Path) -> None:
    loader = {
        'dataset': _Records(),
        'batch_size': 16,
        'num_workers': 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
    }
    runner = Runner(
        model=_Degrading(),
        work_dir=str(tmp_path),
        train_dataloader=loader,
        val_dataloader=loader,
        train_cfg={'by_epoch': True, 'max_epochs': 2},
        val_cfg={},
        val_evaluator={'type': 'mmfas.FASMetric', 'out_file': str(tmp_path / 'dev.csv')},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.1}},
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'save_best': 'dev/hter', 'rule': 'less'}},
        experiment_name='selection',
        log_level='ERROR',
    )
    runner.train()
    assert [path.name for path in tmp_path.glob('best*')] == ['best_dev_hter_epoch_1.pth']
    assert (tmp_path / 'dev.csv').read_text(encoding='utf-8').count(',0.5\n') == 60
