"""Models with few operators for tests of the export: tracing takes tens of milliseconds for every one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from contracts.cases import SIZE, example, model_cfg, perturb
from torch import Tensor, nn

from mmfas.deploy.export_module import ExportModule
from mmfas.deploy.parity import Run, compare_scores, draw_pictures
from mmfas.models import MultiModalFAS
from mmfas.models.specs import FeatureSpec
from mmfas.registry import HEADS, MODELS
from mmfas.structures import FusedFeatures


def small_model(trunk: str = 'MultiStreamViT', neck: str = 'ConcatNeck') -> MultiModalFAS:
    """Build a model with one block; of a network of feature maps with two, one of them of every modality's own."""
    cfg = model_cfg(trunk=trunk, neck=neck)
    if trunk == 'MultiStreamViT':
        cfg.merge_from_dict({'model.trunk.vit.arch.num_layers': 1})
    else:
        cfg.merge_from_dict({'model.trunk.num_stages': 2})
    torch.manual_seed(0)
    return perturb(MODELS.build(cfg.model))


def small_head(name: str, spec: FeatureSpec) -> nn.Module:
    """Build a head for what a neck yields, with one level where it has levels."""
    cfg = example(HEADS, name)
    if 'u_dsa' in cfg:
        cfg['u_dsa'] = {**cfg['u_dsa'], 'num_levels': 1}
    return perturb(HEADS.build(cfg, spec=spec))


class EveryHead(nn.Module):
    """All heads side by side; the sum of their logits (B, 2) is wrong where one of them is."""

    def __init__(self, names: Sequence[str], spec: FeatureSpec) -> None:
        super().__init__()
        self.heads = nn.ModuleList([small_head(name, spec) for name in names])

    def forward(self, features: FusedFeatures) -> Tensor:
        return torch.stack([head(features) for head in self.heads]).sum(0)


class FeaturesOnly(MultiModalFAS):
    """A model whose trunk and neck are one product: it yields features of the form that a neck has."""

    def yield_like(self, features: FusedFeatures) -> None:
        """Take over which fields there are, and their widths."""
        fused, own = features.fused.shape[-1], features.per_modality
        self.has_own = own is not None
        self.to_fused = nn.Linear(len(self.modalities) * 3, fused)
        self.to_own = nn.Linear(3, 1 if own is None else own.shape[-1])

    def extract_feat(self, inputs: Any, *args: Any, **options: Any) -> FusedFeatures:
        """Yield the features of a batch."""
        present = inputs['present']
        means = torch.stack([inputs[m].mean((-1, -2)) for m in self.modalities])  # (M, B, 3)
        means = means * present.t()[..., None]
        return FusedFeatures(
            fused=self.to_fused(means.transpose(0, 1).flatten(1)),
            per_modality=self.to_own(means) if self.has_own else None,
        )


def features_only(model: MultiModalFAS, heads: Sequence[str]) -> MultiModalFAS:
    """Return a model that has all heads behind features of the form that another model's neck yields."""
    torch.manual_seed(0)
    made = MODELS.build(model_cfg().model)
    made.__class__ = FeaturesOnly
    made.yield_like(features_of(model))
    made.head = EveryHead(heads, model.neck.feature_spec)
    del made.trunk, made.neck
    return made.eval()


@torch.no_grad()
def features_of(model: MultiModalFAS, batch: int = 3) -> FusedFeatures:
    """Return what trunk and neck of a model make of a batch without content."""
    images = {m: torch.zeros(batch, 3, SIZE, SIZE) for m in model.modalities}
    present = torch.ones(batch, len(model.modalities), dtype=torch.bool)
    return model.eval().extract_feat({**images, 'present': present})


def form_of(features: FusedFeatures) -> tuple[object, ...]:
    """Describe features by all that a head scores: kind and widths of the joint feature and of the modalities'."""
    fields = (features.fused, features.per_modality)
    return tuple(None if field is None else (field.dtype, tuple(field.shape)) for field in fields)


def require_same_scores(module: ExportModule, run: Run) -> None:
    """Compare one batch of another size than the traced one, in which every set of modalities occurs."""
    pictures = draw_pictures(module.modalities, 7, size=(SIZE, SIZE))
    compare_scores(run, module.model, pictures, batch_sizes=(7,)).require()
