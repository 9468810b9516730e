"""Tiny configs and batches for tests of the models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmfas.models import MultiModalFAS
from mmfas.registry import MODELS
from mmfas.structures import MODALITIES, FASDataSample

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
VIT = dict(type='MultiStreamViT', vit=dict(arch=ARCH, img_size=32, patch_size=8))


def build(modalities: Sequence[str] = MODALITIES, **parts: Any) -> MultiModalFAS:
    """Build a tiny model; `trunk`, `neck` and `head` may be given as configs."""
    cfg = dict(trunk=VIT, neck=dict(type='ConcatNeck'), head=dict(type='LinearFASHead'))
    model = MODELS.build(dict(type='mmfas.MultiModalFAS', modalities=modalities, **{**cfg, **parts}))
    model.init_weights()
    return model


def perturb(model: torch.nn.Module) -> torch.nn.Module:
    """Move every parameter, so that nothing is zero by initialisation."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def images(batch: int = 2, modalities: Sequence[str] = MODALITIES) -> dict[str, Tensor]:
    """Make normalised images of every modality."""
    return {m: torch.randn(batch, 3, 32, 32) for m in modalities}


def samples(batch: int = 2) -> list[FASDataSample]:
    """Make samples with alternating labels."""
    made = []
    for i in range(batch):
        sample = FASDataSample(metainfo=dict(sample_id=f'sample-{i}', domain='CW'[i % 2]))
        sample.gt_label, sample.present = i % 2, torch.ones(3, dtype=torch.bool)
        made.append(sample)
    return made


def configs_of(*patterns: str) -> list[Path]:
    """Find configs but those of further regimes, which test_regimes.py holds to these."""
    folder = Path(__file__).parents[2] / 'configs'
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    return sorted(path for path in found if '_pretrained-' not in path.stem)
