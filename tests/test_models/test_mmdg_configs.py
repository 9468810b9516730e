"""The configs of MMDG: what their names say, what an ablation takes out, what the released preset changes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmfas.engine.modulators import ReGrad, SumModulator
from mmfas.models import ConcatNeck, LinearFASHead, MultiModalFAS, PrototypeHead, UAdapterNeck
from mmfas.registry import GRADIENT_MODULATORS, MODELS
from test_models.helpers import configs_of

FOLDER = Path(__file__).parents[2] / 'configs' / 'mmdg'
LEAVES = configs_of('mmdg/*.py')
NAME = re.compile(
    r'mmdg_(mini-vit|vit-b16|vit-s14-pretrained)_1xb(\d+)-(\d+)e_(synthfas|cpsw)-([cpsw]{3}2[cpsw])(?:_([a-z-]+))?'
)
#: Variant -> class of neck, head and modulator.
PARTS: dict[str | None, tuple[type, type, type]] = {
    None: (UAdapterNeck, PrototypeHead, ReGrad),
    'released': (UAdapterNeck, PrototypeHead, ReGrad),
    'no-u-adapter': (ConcatNeck, PrototypeHead, ReGrad),
    'no-regrad': (UAdapterNeck, PrototypeHead, SumModulator),
    'no-ssp': (UAdapterNeck, LinearFASHead, ReGrad),
    'no-ssp-no-regrad': (UAdapterNeck, LinearFASHead, SumModulator),
}

pytestmark = pytest.mark.engine


def model_of(cfg: Any) -> MultiModalFAS:
    """Build the model of a config; the twelve blocks of ViT-B and ViT-S are made narrow, for time."""
    if cfg.model.trunk.vit.arch in ('base', 'dinov2-small'):
        cfg.model.trunk.vit.arch = dict(embed_dims=48, num_layers=12, num_heads=12, feedforward_channels=64)
    return MODELS.build(cfg.model)


def load(trunk: str, variant: str | None = None) -> Any:
    """Read the config of a trunk that was trained on C, P and S."""
    found = [path for path in LEAVES if (match := NAME.fullmatch(path.stem))
             and match[1] == trunk and match[5] == 'cps2w' and match[6] == variant]  # fmt: skip
    assert len(found) == 1
    return Config.fromfile(found[0])


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_mmdg_configs_keep_what_their_names_say(path: Path) -> None:
    match = NAME.fullmatch(path.stem)
    assert match, f'{path.stem} does not follow the grammar'
    _, batch, epochs, data, split, variant = match.groups()
    cfg = Config.fromfile(path)
    assert cfg.train_dataloader.batch_size == int(batch) and cfg.train_cfg.max_epochs == int(epochs)
    assert data in cfg.train_dataloader.dataset.data_root
    lists = ' '.join(cfg.train_dataloader.dataset.ann_file)
    assert all(f'{domain.upper()}-train' in lists for domain in split[:3])
    model, (neck, head, modulator) = model_of(cfg), PARTS[variant]
    assert type(model.neck) is neck and type(model.head) is head
    assert cfg.optim_wrapper.type == 'GradientModulationOptimWrapper'
    assert type(GRADIENT_MODULATORS.build(cfg.optim_wrapper.modulator)) is modulator
    assert [hook.type for hook in cfg.custom_hooks] == (['PrototypeRefreshHook'] if head is PrototypeHead else [])


def test_mmdg_variants_are_all_there() -> None:
    assert len(LEAVES) == 12
    assert {NAME.fullmatch(path.stem)[6] for path in LEAVES} == set(PARTS)


def test_mmdg_is_compared_on_the_data_and_schedule_of_the_baselines() -> None:
    baseline = next((FOLDER.parent / 'baselines').glob('concat_mini-vit_*_synthfas-cps2w.py'))
    plain, ours = Config.fromfile(baseline), load('mini-vit')
    for key in (
        'train_dataloader',
        'val_dataloader',
        'test_dataloader',
        'param_scheduler',
        'train_cfg',
        'randomness',
    ):
        assert ours[key] == plain[key], key
    assert ours.optim_wrapper.optimizer == plain.optim_wrapper.optimizer
    assert ours.optim_wrapper.clip_grad == plain.optim_wrapper.clip_grad
    assert ours.model.trunk == plain.model.trunk


def test_third_party_trunk_has_the_parts_of_the_others_and_frozen_blocks() -> None:
    ours, baseline = load('vit-s14-pretrained'), FOLDER.parent / 'baselines'
    concat = Config.fromfile(baseline / 'concat_vit-s14-pretrained_1xb32-12e_synthfas-cps2w.py')
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader', 'param_scheduler', 'train_cfg'):
        assert ours[key] == concat[key], key
    assert ours.model.trunk == concat.model.trunk and tuple(ours.model.trunk.frozen) == ('patch', 'blocks')
    model = model_of(ours)
    assert not any(p.requires_grad for p in model.trunk.vit.layers.parameters())
    assert model.trunk.spec.grid == (8, 8)


def test_default_mmdg_is_deterministic_and_masks() -> None:
    model = model_of(load('mini-vit'))
    assert model.neck.uncertainty.mode == 'closed_form' and model.neck.mask_absent
    assert not model.neck.adapters[0].convolve_prefix and model.head.mask_unseen


@pytest.mark.parametrize('trunk', ['mini-vit', 'vit-b16'])
def test_released_mmdg_differs_as_the_readme_says(trunk: str) -> None:
    cfg = load(trunk, 'released')
    model = model_of(cfg)
    assert model.neck.uncertainty.mode == 'sampled' and not model.neck.mask_absent
    assert model.neck.adapters[0].convolve_prefix and not model.head.mask_unseen
    reach = tuple(cfg.optim_wrapper.modulator.reach)
    reached = [name for name, _ in model.named_parameters() if name.startswith(reach)]
    assert reached == ['trunk.embedding.cls_token', 'trunk.embedding.pos_embed']
    assert GRADIENT_MODULATORS.build(cfg.optim_wrapper.modulator).eps == 1e-8
    assert GRADIENT_MODULATORS.build(load(trunk).optim_wrapper.modulator).eps == 0
    readme = (FOLDER / 'README.md').read_text(encoding='utf-8')
    arguments = ('uncertainty.mode', 'convolve_cls', 'mask_absent', 'mask_unseen', 'modulator.reach')
    for argument in (*arguments, 'modulator.eps'):
        assert f'{argument}`' in readme


def test_vit_b16_trains_what_the_paper_and_the_release_say() -> None:
    for variant, frozen in ((None, range(12)), ('released', range(11))):
        model = model_of(load('vit-b16', variant))
        still = [not any(p.requires_grad for p in layer.parameters()) for layer in model.trunk.vit.layers]
        assert still == [i in frozen for i in range(12)]
        assert (
            not model.trunk.embedding.patch_weight.requires_grad and model.trunk.embedding.pos_embed.requires_grad
        )
        assert model.trunk.fresh == (('pos',) if variant else ())
