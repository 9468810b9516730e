"""Bundles of models with low-rank updates hold the plain network; bundles fetch no weights from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_models.helpers import perturb
from tiny_bundles import SIDE, save_random, tiny_config

from mmfas.deploy.bundle import Bundle
from mmfas.deploy.bundle_making import make_bundle
from mmfas.deploy.trusted_parts import check_parts
from mmfas.evaluation import ScoreRules
from mmfas.registry import MODELS

pytestmark = pytest.mark.engine


def test_low_rank_updates_become_part_of_the_weights(tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path)
    cfg.model.trunk.lora = dict(targets=('attn.qkv', 'ffn.layers.*'), rank=2, alpha=8)
    checkpoint = tmp_path / 'epoch_1.pth'
    model = perturb(save_random(cfg, checkpoint)).eval()
    torch.save(dict(meta=dict(epoch=1, seed=7), state_dict=model.state_dict()), checkpoint)
    bundle: Bundle = make_bundle(cfg, checkpoint, rules=ScoreRules('fixed=0.5'))
    assert 'lora' not in bundle.model['trunk'] and not [name for name in bundle.weights if 'lora' in name]
    assert cfg.model.trunk.lora.rank == 2, 'making a bundle changed the config'
    pictures = {m: torch.randn(3, 3, SIDE, SIDE) for m in ('rgb', 'depth', 'ir')}
    with torch.no_grad():
        torch.testing.assert_close(bundle.build_model()(pictures), model(pictures), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'network',
    [dict(pretrained=True), dict(checkpoint_path='weights.pth'), dict(model_name='hf-hub:somebody/vit')],
)
def test_bundles_fetch_no_weights(network: dict) -> None:
    vit = dict(type='mmpretrain.TIMMBackbone', model_name='vit_tiny_patch16_224', img_size=32)
    check_parts(dict(trunk=dict(type='MultiStreamViT', vit=vit)), MODELS, 'the model')
    with pytest.raises(ValueError, match='would read weights from elsewhere'):
        check_parts(dict(trunk=dict(type='MultiStreamViT', vit={**vit, **network})), MODELS, 'the model')
