"""The MMDA configs: they pass the check and say what their names say."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from mmfas.models import ConcatNeck, MD2ANeck, MultiModalFAS, TextAlignHead
from mmfas.registry import MODELS
from test_models.helpers import configs_of

CONFIGS = Path(__file__).parents[2] / 'configs' / 'mmda'
LEAVES = configs_of('mmda/*.py')
SMALL = 'mmda_mini-vit_1xb32-12e_synthfas-cps2w'

pytestmark = pytest.mark.engine


def build(cfg: Config) -> MultiModalFAS:
    """Build a model, with towers and experts made narrow, for time."""
    if cfg.model.trunk.vit.arch == 'base':
        cfg.model.trunk.vit.arch = dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=32)
        cfg.model.trunk.proj_dims = cfg.model.head.anchors.dims = 16
    return MODELS.build(cfg.model)


def test_all_are_found() -> None:
    assert len(LEAVES) == 11


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_configs_build_what_their_names_say(path: Path) -> None:
    cfg = Config.fromfile(path)
    model = build(cfg)
    assert isinstance(model.neck, ConcatNeck if path.stem.endswith('no-md2a') else MD2ANeck)
    assert isinstance(model.head, TextAlignHead)
    is_released = path.stem.endswith('released')
    assert model.head.u_dsa.up == ('parallel' if is_released else 'chained')
    is_leaking = [block.across_batch for block in model.head.u_dsa.adapt]
    assert all(is_leaking) if is_released else not any(is_leaking)
    assert len(is_leaking) == (7 if 'vit-b16' in path.stem else 0 if 'no-u-dsa' in path.stem else 2)
    assert (model.head.log_scale is None) == path.stem.endswith('no-rs2')
    target = path.stem.split('cpsw-')[-1].split('synthfas-')[-1].split('_')[0][-1].upper()
    assert [Path(name).name for name in cfg.test_dataloader.dataset.ann_file] == [f'{target}-test.txt']


def test_the_small_clip_is_the_large_one_made_narrow() -> None:
    small, large = (
        Config.fromfile(CONFIGS / f'mmda_{name}.py').model
        for name in ('mini-clip_1xb32-12e_synthfas-cps2w', 'clip-vit-b16_1xb32-100e_cpsw-cps2w')
    )
    sizes = ('arch', 'img_size', 'patch_size')
    towers = [{key: value for key, value in cfg.trunk.vit.items() if key not in sizes} for cfg in (small, large)]
    assert towers[0] == towers[1] and 'per_modality' not in {**small.trunk, **large.trunk}
    assert small.trunk.proj_dims == small.head.anchors.dims == 128
    assert small.neck == Config.fromfile(CONFIGS / f'{SMALL}.py').model.neck


def test_small_configs_share_trunk_and_schedule() -> None:
    baseline = Config.fromfile(CONFIGS.parent / 'baselines' / 'concat_mini-vit_1xb32-12e_synthfas-cps2w.py')
    for path in LEAVES:
        if path.stem.startswith(SMALL):
            cfg = Config.fromfile(path)
            assert cfg.model.trunk == baseline.model.trunk and cfg.optim_wrapper == baseline.optim_wrapper
