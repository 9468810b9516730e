"""Config files with trunks of every family are checked as a whole; what does not fit is one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmfas.config.check import check_config
from mmfas.config.reading import read_config

pytestmark = pytest.mark.engine
BASE = Path(__file__).parents[2] / 'configs' / 'baselines' / 'concat_mini-vit_1xb32-12e_synthfas-cps2w.py'
ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
SIZES = dict(arch=ARCH, img_size=64, patch_size=8)
TIMM = dict(type='mmpretrain.TIMMBackbone', model_name='vit_tiny_patch16_224', img_size=64, depth=1)
LORA = dict(targets=('attn.qkv',), rank=4)
GOOD: dict[str, dict[str, Any]] = {
    'dinov2': dict(vit=dict(type='mmpretrain.VisionTransformer', num_registers=4, **SIZES), lora=LORA),
    'without-type': dict(vit=dict(num_registers=4, **SIZES)),
    'beit': dict(vit=dict(type='mmpretrain.BEiTViT', **SIZES), pooling='mean'),
    'eva02': dict(vit=dict(type='mmpretrain.ViTEVA02', **SIZES), frozen=('blocks',)),
    'timm': dict(vit=TIMM),
    'convnext': dict(type='MultiStreamCNN', cnn=dict(type='mmpretrain.ConvNeXt', arch='atto'), num_stages=2),
}


def problems(folder: Path, trunk: dict[str, Any]) -> list[str]:
    """Write a config file with a trunk and check it."""
    path = folder / 'config.py'
    model = dict(trunk=dict(dict(type='MultiStreamViT', _delete_=True), **trunk))
    path.write_text(f'_base_ = {str(BASE)!r}\nmodel = {model!r}\n', encoding='utf-8')
    return check_config(read_config(str(path)))


@pytest.mark.parametrize('name', GOOD)
def test_trunks_of_every_family_pass(name: str, tmp_path: Path) -> None:
    if name == 'timm':
        pytest.importorskip('timm', reason="timm is missing: pip install 'mmfas[timm]'")
    assert problems(tmp_path, GOOD[name]) == []


@pytest.mark.parametrize(
    ('trunk', 'expected'),
    [
        (dict(vit=dict(type='mmpretrain.SwinTransformer')), 'or MultiStreamCNN for a network of feature maps'),
        (dict(vit=dict(type='mmpretrain.DeiT3', arch='s')), 'never runs the second norm of its layers'),
        (
            dict(vit=dict(type='mmpretrain.VisionTransformer', num_register=4)),
            'vit.num_register: unexpected',
        ),
        (dict(vit=dict(type='mmpretrain.TIMMBackbone')), 'model.trunk.vit.model_name: missing'),
        (
            dict(vit=SIZES, lora=dict(targets='qkv.attn')),
            'no linear layer; there are vit.layers.*.attn.proj',
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(trunk: dict[str, Any], expected: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, trunk)
    assert expected in problem and '\n' not in problem
