"""A model of a few numbers and a data set of random ones, for tests of what happens around a step."""

from __future__ import annotations

import os
import signal
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmfas.registry import DATASETS, HOOKS, MODELS, OPTIM_WRAPPERS
from mmfas.structures import MODALITIES, FASDataSample, LossTerms

PAIS = ('live', 'print', 'replay')


@DATASETS.register_module(force=True)
class TinyFaces(Dataset):
    """Samples of 6 numbers per modality; with `noise`, drawn anew each epoch from (seed, epoch, index)."""

    metainfo: dict[str, Any] = dict(dataset_type='tiny')

    def __init__(
        self,
        length: int = 16,
        offset: int = 0,
        *,
        noise: float = 0.0,
        absent_ir: tuple[int, ...] = (),
        only_live: bool = False,
        nan_at: int = -1,
    ) -> None:
        self.length, self.offset, self.noise, self.absent_ir = length, offset, noise, set(absent_ir)
        self.only_live, self.nan_at = only_live, nan_at
        self.clock = torch.zeros(2, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int, seed: int) -> None:
        self.clock[0], self.clock[1] = epoch, seed

    def __len__(self) -> int:
        return self.length

    def group_keys(self) -> list[tuple[str, int]]:
        """Return (domain, class) of every sample: three domains of unequal size."""
        return [
            ('CSSWWW'[number // 2 % 6], 1 if self.only_live else number % 2)
            for number in range(self.offset, self.offset + self.length)
        ]

    def __getitem__(self, index: int) -> dict[str, Any]:
        number = index + self.offset
        generator = torch.Generator().manual_seed(number)
        label = 1 if self.only_live else number % 2
        inputs = {m: torch.randn(6, generator=generator) + 0.3 * label for m in MODALITIES}
        epoch, seed = self.clock.tolist()
        fresh = torch.Generator().manual_seed((seed * 1009 + epoch) * 1009 + index)
        for name in MODALITIES:
            inputs[name] = inputs[name] + self.noise * torch.randn(6, generator=fresh)
        if index == self.nan_at:
            inputs['depth'] = inputs['depth'] * float('nan')
        sample = FASDataSample(metainfo=self._meta(number, label))
        sample.gt_label = label
        sample.present = torch.tensor([True, True, index not in self.absent_ir])
        return dict(inputs=inputs, data_samples=sample)

    @staticmethod
    def _meta(number: int, label: int) -> dict[str, str]:
        pai = 'live' if label else PAIS[1 + number // 2 % 2]
        return dict(sample_id=f's{number:03d}', domain='W', pai=pai, subject=f'p{number}', video=f'v{number}')


@MODELS.register_module(force=True)
class TinyFAS(BaseModel):
    """One linear layer per modality and a joint one; loss terms as a real model hands them over."""

    def __init__(self, drop: float = 0.0, mix_batch: bool = False) -> None:
        super().__init__()
        self.streams = nn.ModuleDict({m: nn.Linear(6, 2) for m in MODALITIES})
        self.joint = nn.Linear(6, 2)
        self.drop = nn.Dropout(drop)
        self.mix_batch = mix_batch
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0.0, 0.3, generator=generator)

    def forward(
        self, inputs: dict[str, Tensor], data_samples: list[FASDataSample] | None = None, mode: str = 'tensor'
    ) -> Any:
        present = torch.stack([sample.present for sample in data_samples]).float()
        logits = torch.stack([self.streams[m](self.drop(torch.stack(list(inputs[m])))) for m in MODALITIES])
        hidden = torch.cat([logits[i] * present[:, i : i + 1] for i in range(3)], dim=1)
        joint = self.joint(hidden)
        if self.mix_batch:
            joint = joint - joint.mean(0)
        if mode == 'predict':
            for sample, row in zip(data_samples, joint.softmax(1)[:, 1].tolist(), strict=True):
                sample.pred_score = row
            return data_samples
        target = torch.tensor([sample.gt_label for sample in data_samples])
        per = {
            m: (
                (nn.functional.cross_entropy(logits[i], target, reduction='none') * present[:, i]).sum(),
                present[:, i].sum(),
            )
            for i, m in enumerate(MODALITIES)
        }
        terms = LossTerms(main=dict(fused=nn.functional.cross_entropy(joint, target)), per_modality=per)
        return terms if mode == 'loss_terms' else terms.to_losses()

    def modality_parameters(self) -> dict[str, list[nn.Parameter]]:
        """Each stream belongs to its modality."""
        return {m: list(self.streams[m].parameters()) for m in MODALITIES}

    def train_step(self, data: dict[str, Any], optim_wrapper: Any) -> dict[str, Tensor]:
        from mmfas.models.fas.train_step import fas_train_step

        return fas_train_step(self, self, data, optim_wrapper)


@OPTIM_WRAPPERS.register_module(force=True)
class RecordingOptimWrapper(OptimWrapper):
    """Write the gradients of the first steps, as they are when the optimizer sees them, to a file."""

    def __init__(self, optimizer: Any, record: str, num_steps: int = 5, **kwargs: Any) -> None:
        super().__init__(optimizer, **kwargs)
        self.record, self.num_steps, self.steps = record, num_steps, []

    def step(self, **kwargs: Any) -> None:
        parameters = self.optimizer.param_groups[0]['params']
        self.steps.append([parameter.grad.clone() for parameter in parameters])
        if len(self.steps) == self.num_steps and get_rank() == 0:
            torch.save(self.steps, self.record)
        super().step(**kwargs)


@HOOKS.register_module(force=True)
class PoisonHook(Hook):
    """Make a weight NaN after a step, which no loss shows before the next one."""

    def __init__(self, at_iter: int) -> None:
        self.at_iter = at_iter

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if runner.iter == self.at_iter:
            next(runner.model.parameters()).data.view(-1)[0] = float('nan')


@HOOKS.register_module(force=True)
class KillHook(Hook):
    """End the process as `kill` does, with SIGKILL or another signal, in the middle of an epoch."""

    def __init__(self, at_iter: int, name: str = 'SIGKILL') -> None:
        self.at_iter = at_iter
        self.signal = signal.Signals[name]

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if runner.iter + 1 == self.at_iter:
            os.kill(os.getpid(), self.signal)
