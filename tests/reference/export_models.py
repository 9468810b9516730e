"""Models with few operators for tests of the export: tracing takes milliseconds for every one of them."""

from __future__ import annotations

import torch
from contracts.cases import SIZE, example, model_cfg, perturb
from torch import nn

from mmfas.deploy.export_module import ExportModule
from mmfas.deploy.parity import Run, compare_scores, draw_pictures
from mmfas.models import MultiModalFAS
from mmfas.registry import HEADS, MODELS


def small_model(trunk: str = 'MultiStreamViT', neck: str = 'ConcatNeck') -> MultiModalFAS:
    """Build a model with one block."""
    cfg = model_cfg(trunk=trunk, neck=neck)
    if trunk == 'MultiStreamViT':
        cfg.merge_from_dict({'model.trunk.vit.arch.num_layers': 1})
    torch.manual_seed(0)
    return perturb(MODELS.build(cfg.model))


def small_head(name: str, model: MultiModalFAS) -> nn.Module:
    """Build a head for the neck of a model, with one level where it has levels."""
    cfg = example(HEADS, name)
    if 'u_dsa' in cfg:
        cfg['u_dsa'] = {**cfg['u_dsa'], 'num_levels': 1}
    return perturb(HEADS.build(cfg, spec=model.neck.feature_spec))


def require_same_scores(module: ExportModule, run: Run) -> None:
    """Compare one batch of another size than the traced one, in which every set of modalities occurs."""
    pictures = draw_pictures(module.modalities, 7, size=(SIZE, SIZE))
    compare_scores(run, module.model, pictures, batch_sizes=(7,)).require()
