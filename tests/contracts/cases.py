"""What the contract tests share: the parts that are registered, tiny models around them, batches."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmfas.models import MultiModalFAS
from mmfas.registry import BACKBONES, FUSION_NECKS, HEADS, LOSSES, MODELS, TypedView
from mmfas.structures import MODALITIES, FASDataSample

SIZE = 32
#: Every non-empty subset of the modalities, in canonical order.
SUBSETS = [c for n in range(1, len(MODALITIES) + 1) for c in combinations(MODALITIES, n)]

#: The one config that every model of these tests is made of, by overrides.
BASE = dict(
    type='MultiModalFAS',
    modalities=MODALITIES,
    data_preprocessor=dict(type='FASDataPreprocessor'),
    trunk=dict(BACKBONES.get('MultiStreamViT').example_cfg()),
    neck=dict(FUSION_NECKS.get('ConcatNeck').example_cfg()),
    head=dict(HEADS.get('LinearFASHead').example_cfg()),
)
#: Key of the model -> registry of the parts that go there.
SLOTS: dict[str, TypedView] = {'trunk': BACKBONES, 'neck': FUSION_NECKS, 'head': HEADS}


def names_in(view: TypedView) -> list[str]:
    """List the parts of mmfas itself in a registry; what other tests register is left out."""
    MODELS.import_from_location()
    return [name for name in view if view.get(name).__module__.startswith('mmfas.')]


PARTS = [(slot, name) for slot, view in SLOTS.items() for name in names_in(view)]
LOSS_NAMES = names_in(LOSSES)


def example(view: TypedView, name: str) -> dict[str, Any]:
    """Return the example config of a part."""
    return view.get(name).example_cfg()


def model_cfg(modalities: Iterable[str] = MODALITIES, **parts: str) -> Config:
    """Make the config of a model: the base, with the examples of the named parts put in by override."""
    cfg = Config(dict(model=BASE))
    overrides: dict[str, Any] = {'model.modalities': tuple(modalities)}
    for slot, name in parts.items():
        overrides[f'model.{slot}'] = dict(example(SLOTS[slot], name), _delete_=True)
    cfg.merge_from_dict(overrides)
    return cfg


def build_model(modalities: Iterable[str] = MODALITIES, *, seed: int = 0, **parts: str) -> MultiModalFAS:
    """Build a tiny model from the base config and overrides."""
    torch.manual_seed(seed)
    model = MODELS.build(model_cfg(modalities, **parts).model)
    model.init_weights()
    return model


def perturb(model: nn.Module, seed: int = 1) -> nn.Module:
    """Move every parameter a little, so that nothing is zero by initialisation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator).to(parameter.dtype))
    return model


def presence(batch: int, seed: int) -> Tensor:
    """Draw a presence mask (B, 3) in which every row has rgb or ir, and all patterns occur."""
    patterns = torch.tensor([[m in subset for m in MODALITIES] for subset in SUBSETS])
    order = torch.randperm(batch, generator=torch.Generator().manual_seed(seed))
    return patterns[(order + seed) % len(patterns)]


def make_batch(batch: int, *, seed: int = 0, present: Tensor | None = None) -> dict[str, Any]:
    """Make a collated batch: random bytes, alternating labels, two domains."""
    generator = torch.Generator().manual_seed(seed)
    inputs = {m: torch.randint(0, 256, (batch, 3, SIZE, SIZE), generator=generator).byte() for m in MODALITIES}
    present = torch.ones(batch, len(MODALITIES), dtype=torch.bool) if present is None else present
    samples = []
    for i in range(batch):
        sample = FASDataSample(metainfo=dict(sample_id=f's{i}', domain='CW'[i // 2 % 2]))
        sample.gt_label, sample.present = i % 2, present[i]
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def take(batch: dict[str, Any], rows: Iterable[int]) -> dict[str, Any]:
    """Pick rows of a batch."""
    rows = list(rows)
    inputs = {m: images[rows] for m, images in batch['inputs'].items()}
    return dict(inputs=inputs, data_samples=[batch['data_samples'][i] for i in rows])


def scores(model: MultiModalFAS, batch: dict[str, Any]) -> Tensor:
    """Score a batch in evaluation mode (B,)."""
    model.eval()
    with torch.no_grad():
        return torch.tensor([s.pred_score for s in model.test_step(batch)], dtype=torch.float64)


def for_training(model: MultiModalFAS, batch: dict[str, Any]) -> dict[str, Any]:
    """Add two further views of every sample where the head needs them: the pictures upside down and mirrored."""
    if not model.head.needs_views:
        return batch
    views = {m: torch.stack([x.flip(-1), x.flip(-2)], dim=1) for m, x in batch['inputs'].items()}
    return {**batch, 'inputs_view': views}


def loss_of(model: MultiModalFAS, batch: dict[str, Any]) -> Tensor:
    """Sum the losses of a batch in training mode."""
    model.train()
    data = model.data_preprocessor(for_training(model, batch), True)
    return model.parse_losses(model(**data, mode='loss'))[0]
