"""A few modulated steps of a tiny model, on one process or as a rank of several."""

from __future__ import annotations

import argparse
import os
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor

from mmfas.engine.optim_wrappers import GradientModulationOptimWrapper
from mmfas.models import FASDistributedDataParallel, MultiModalFAS
from mmfas.registry import MODELS, register_all_modules
from mmfas.structures import MODALITIES, FASDataSample

BATCH, NUM_STEPS = 8, 3
NECKS = dict(
    u_adapter=dict(type='UAdapterNeck', adapter_dims=4, num_heads=2, dropout=0.0),
    ama=dict(type='AMANeck', adapter_dims=4),
)


def tiny_model(neck: str = 'u_adapter') -> MultiModalFAS:
    """Build a model of two blocks, every parameter moved so that nothing is zero by initialisation."""
    torch.manual_seed(0)
    arch = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
    vit = dict(type='mmpretrain.VisionTransformer', arch=arch, img_size=32, patch_size=8)
    model = MODELS.build(
        dict(
            type='mmfas.MultiModalFAS',
            trunk=dict(type='MultiStreamViT', vit=vit, per_modality=('cls', 'pos'), frozen=('patch',)),
            neck=NECKS[neck],
            head=dict(type='LinearFASHead', modality_loss_weight=0.5),
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def batches(num: int = NUM_STEPS) -> list[dict[str, Any]]:
    """Make whole batches; in the first one the second half has no infrared image at all, later ones are mixed."""
    generator = torch.Generator().manual_seed(1)
    made = []
    for step in range(num):
        inputs = {m: torch.randint(0, 256, (BATCH, 3, 32, 32), generator=generator).byte() for m in MODALITIES}
        present = torch.rand(BATCH, 3, generator=generator) > 0.3
        present[:, step % 2] = True
        if step == 0:
            present[:, 2] = torch.arange(BATCH) < BATCH // 2
        samples = []
        for i in range(BATCH):
            sample = FASDataSample(metainfo=dict(sample_id=f's{i}', domain='CW'[i // 2 % 2]))
            sample.gt_label, sample.present = i % 2, present[i]
            samples.append(sample)
        made.append(dict(inputs=inputs, data_samples=samples))
    return made


def part_of(batch: dict[str, Any], number: int, num_parts: int) -> dict[str, Any]:
    """Take one of equal parts of a batch."""
    size = BATCH // num_parts
    rows = slice(number * size, (number + 1) * size)
    return dict(
        inputs={m: images[rows] for m, images in batch['inputs'].items()}, data_samples=batch['data_samples'][rows]
    )


class Keeper(GradientModulationOptimWrapper):
    """Keep the gradients of every step, as they are before clipping."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept: list[dict[str, Tensor]] = []

    def step(self, **kwargs: Any) -> None:
        named = [(self._names[id(p)], p.grad) for group in self.optimizer.param_groups for p in group['params']]
        self.kept.append({name: grad.clone() for name, grad in named if grad is not None})
        super().step(**kwargs)


def fit(
    model: Any, wrapper: OptimWrapper, data: list[dict[str, Any]], *, rank: int = 0, world: int = 1, cuts: int = 1
) -> None:
    """Train on the rank's part of every batch, in `cuts` pieces."""
    for batch in data:
        for cut in range(cuts):
            model.train_step(part_of(batch, rank * cuts + cut, world * cuts), wrapper)


def main(argv: list[str]) -> int:
    """Run the steps and save the gradients of rank 0."""
    parser = argparse.ArgumentParser()
    parser.add_argument('out')
    parser.add_argument('rule')
    parser.add_argument('--launcher', default='none')
    args = parser.parse_args(argv)
    register_all_modules()
    world, rank = int(os.environ.get('WORLD_SIZE', 1)), int(os.environ.get('RANK', 0))
    model: Any = tiny_model()
    if args.launcher != 'none':
        torch.distributed.init_process_group('gloo')
        model = FASDistributedDataParallel(model)
    # at rate zero every step is compared on its own, not the drift of the weights before it
    wrapper = Keeper(torch.optim.SGD(model.parameters(), lr=0.0), dict(type=args.rule))
    fit(model, wrapper, batches(), rank=rank, world=world)
    torch.save(wrapper.kept, f'{args.out}.{rank}')
    if args.launcher != 'none':
        torch.distributed.destroy_process_group()
    return 0
