"""Tiny models, their checkpoints and dev scores, for tests of bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel

from mmfas.apis.scoring import build_loader, load_model, score_loader
from mmfas.registry import BACKBONES, FUSION_NECKS, HEADS, register_all_modules

SIDE = 32


def tiny_config(
    root: Path, neck: str = 'ConcatNeck', head: str = 'LinearFASHead', trunk: str = 'MultiStreamViT', **steps: Any
) -> Config:
    """Return the config of a tiny model with dev and test lists; `steps` are further steps of the pipeline."""
    register_all_modules()
    pipeline = [
        dict(type='LoadMultiModalImages'),
        dict(type='ResizeModalities', scale=(SIDE, SIDE)),
        *(dict(type=name, **arguments) for name, arguments in steps.items()),
        dict(type='PackFASInputs'),
    ]
    model = dict(
        type='MultiModalFAS',
        trunk=BACKBONES.get(trunk).example_cfg(),
        neck=FUSION_NECKS.get(neck).example_cfg(),
        head=dict(type=head) if head == 'LinearFASHead' else HEADS.get(head).example_cfg(),
    )

    def loader(line: str) -> dict[str, Any]:
        dataset = dict(
            type='MultiModalFaceDataset',
            data_root=str(root),
            ann_file=[f'protocols/{line}.txt'],
            meta_file='protocols/records.csv',
            pipeline=pipeline,
            test_mode=True,
        )
        sampler = dict(type='DefaultSampler', shuffle=False)
        return dict(batch_size=4, num_workers=0, sampler=sampler, dataset=dataset)

    return Config(
        dict(
            default_scope='mmfas',
            data_root=str(root),
            model=model,
            val_dataloader=loader('C-val'),
            test_dataloader=loader('W-test'),
            val_evaluator=dict(type='FASMetric', split='dev'),
            test_evaluator=dict(type='FASMetric', split='test'),
            val_cfg={},
            test_cfg={},
        )
    )


def trained(cfg: Config, folder: Path) -> tuple[Path, Path]:
    """Write a checkpoint of random weights and its dev scores; return both files."""
    checkpoint, scores = folder / 'epoch_1.pth', folder / 'dev.csv'
    model = save_random(cfg, checkpoint)
    table = score_loader(model, build_loader(cfg.val_dataloader))
    assert table is not None
    table.to_csv(scores)
    return checkpoint, scores


def save_random(cfg: Config, checkpoint: Path) -> BaseModel:
    """Write a checkpoint of random weights; return the model."""
    torch.manual_seed(3)
    model = load_model(cfg, None)
    torch.save(dict(meta=dict(epoch=1, seed=7), state_dict=model.state_dict()), checkpoint)
    return model
