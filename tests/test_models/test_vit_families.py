"""Tests of transformers of other families in MultiStreamViT: equality with their libraries, training, necks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmfas.models import MultiStreamViT
from mmfas.registry import BACKBONES, MODELS
from test_models.helpers import ARCH, build, images, samples

SIZES = dict(arch=ARCH, img_size=32, patch_size=8)
BEIT = dict(type='mmpretrain.BEiTViT', **SIZES)
EVA02 = dict(type='mmpretrain.ViTEVA02', **SIZES)
DEIT = dict(type='mmpretrain.DistilledVisionTransformer', **SIZES)
#: Name -> (arguments of `vit`, pooling).
FAMILIES: dict[str, tuple[dict[str, Any], str]] = {
    'deit-distilled': (DEIT, 'cls'),
    'deit-distilled-mean': (DEIT, 'mean'),
    'beit': (BEIT, 'mean'),
    'beit-cls': (dict(BEIT, bias=True, final_norm=True, layer_scale_init_value=0), 'cls'),
    'beit-absolute': (dict(BEIT, use_abs_pos_emb=True, use_rel_pos_bias=False), 'mean'),
    'beit-shared': (dict(BEIT, use_rel_pos_bias=False, use_shared_rel_pos_bias=True), 'cls'),
    'eva02': (EVA02, 'cls'),
    'eva02-sub-norm': (dict(EVA02, sub_ln=True, final_norm=False), 'mean'),
}
TIMM = dict(
    type='mmpretrain.TIMMBackbone', model_name='vit_tiny_patch16_224', img_size=32, patch_size=8, embed_dim=16,
    depth=2, num_heads=2,
)  # fmt: skip
#: Name -> (further arguments of timm's VisionTransformer, pooling).
TIMM_VARIANTS: dict[str, tuple[dict[str, Any], str]] = {
    'vit': ({}, 'cls'),
    'average': (dict(global_pool='avg'), 'mean'),
    'dinov2-registers': (dict(reg_tokens=4, no_embed_class=True, init_values=0.1), 'cls'),
    'deit3': (dict(no_embed_class=True, init_values=0.1, qk_norm=True), 'cls'),
    'clip': (dict(pre_norm=True), 'cls'),
    'siglip': (dict(class_token=False, global_pool='avg', act_layer='gelu_tanh'), 'mean'),
    'deit-distilled': (dict(model_name='deit_tiny_distilled_patch16_224'), 'cls'),
    'other-size': (dict(dynamic_img_size=True), 'cls'),
}

pytestmark = pytest.mark.engine


def randomized(network: Any) -> Any:
    """Put random values everywhere, in evaluation mode."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    network.train(False)  # mmpretrain's .eval() returns None
    return network


def trunk_of(vit: dict[str, Any], **options: Any) -> MultiStreamViT:
    return BACKBONES.build(dict(type='MultiStreamViT', vit=vit, **options))


def run(trunk: MultiStreamViT, pictures: Tensor) -> Tensor:
    streams = trunk.embed(pictures)
    for block in trunk.blocks:
        streams = block(streams)
    return trunk.readout(streams)


def own_embeddings(vit: dict[str, Any]) -> tuple[str, ...]:
    has_positions = vit['type'] != 'mmpretrain.BEiTViT' or vit.get('use_abs_pos_emb')
    return ('patch', 'cls', 'pos') if has_positions else ('patch', 'cls')


def features_of(network: Any, picture: Tensor) -> Tensor:
    found = network(picture)[0]
    return (found[0] + found[1]) / 2 if isinstance(found, tuple) else found  # class and distillation token


@torch.no_grad()
@pytest.mark.parametrize('name', FAMILIES)
def test_equals_mmpretrain(name: str) -> None:
    vit, pooling = FAMILIES[name]
    out_type = {'cls': 'cls_token', 'mean': 'avg_featmap'}[pooling]
    plain = randomized(MODELS.build(dict(vit, out_type=out_type))).double()
    pictures = torch.randn(3, 2, 3, 32, 32, dtype=torch.float64)
    expected = torch.stack([features_of(plain, x) for x in pictures])
    for own in ((), own_embeddings(vit)):
        trunk = trunk_of(vit, pooling=pooling, per_modality=own)
        trunk.load_pretrained({f'backbone.{k}': v for k, v in plain.state_dict().items()})
        torch.testing.assert_close(run(trunk.double().train(False), pictures), expected, rtol=0, atol=1e-9)


@torch.no_grad()
def test_registers_equal_dinov2() -> None:
    vit = dict(type='mmpretrain.VisionTransformer', layer_scale_init_value=0.1, **SIZES)
    plain, registers = randomized(MODELS.build(vit)), torch.randn(1, 4, 16)
    trunk = trunk_of(dict(vit, num_registers=4), per_modality=('cls',))
    trunk.load_pretrained({**plain.state_dict(), 'register_tokens': registers})
    picture = torch.randn(2, 3, 32, 32)
    # as facebookresearch/dinov2 prepares its tokens: registers come behind the class token, without positions
    tokens = torch.cat([plain.cls_token.expand(2, -1, -1), plain.patch_embed(picture)[0]], 1) + plain.pos_embed
    tokens = torch.cat([tokens[:, :1], registers.expand(2, -1, -1), tokens[:, 1:]], dim=1)
    for layer in plain.layers:
        tokens = layer(tokens)
    result = run(trunk.train(False), picture.expand(3, -1, -1, -1, -1))
    torch.testing.assert_close(result, plain.ln1(tokens)[:, 0].expand(3, -1, -1), rtol=1e-5, atol=1e-5)
    assert trunk.num_prefix == 5 and trunk.embedding.registers.shape == (3, 4, 16)


@torch.no_grad()
@pytest.mark.parametrize('name', TIMM_VARIANTS)
def test_equals_timm(name: str) -> None:
    timm = pytest.importorskip('timm', reason='the extra timm is not installed')
    options, pooling = TIMM_VARIANTS[name]
    vit = {**TIMM, **options}
    arguments = {key: value for key, value in vit.items() if key != 'type'}
    plain = randomized(timm.create_model(**arguments, num_classes=0)).double()
    size = 40 if name == 'other-size' else 32
    pictures = torch.randn(3, 2, 3, size, size, dtype=torch.float64)
    trunk = trunk_of(vit, pooling=pooling, per_modality=('patch', 'cls', 'pos')).double()
    trunk.load_pretrained({**plain.state_dict(), 'head.weight': torch.zeros(2, 16)})
    expected = torch.stack([plain(x) for x in pictures])
    # positions of another size are interpolated in single precision by timm
    tolerance = 1e-5 if name == 'other-size' else 1e-9
    torch.testing.assert_close(run(trunk.train(False), pictures), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ('options', 'pooling', 'match'),
    [
        (dict(model_name='swin_tiny_patch4_window7_224'), 'cls', 'SwinTransformer of timm.*MultiStreamCNN'),
        (dict(class_token=False, global_pool='avg'), 'cls', "no class token; take pooling='mean'"),
        (dict(patch_drop_rate=0.5), 'cls', 'patch_drop_rate'),
        (dict(attn_layer='diff'), 'cls', 'blocks of the kind DiffAttention'),
        (dict(num_registers=4), 'cls', 'takes no `vit.num_registers`'),
        (dict(model_name='vit_gigantic'), 'cls', 'Unknown model'),
    ],
)
def test_models_of_timm_that_cannot_be_fused_say_why(options: dict[str, Any], pooling: str, match: str) -> None:
    pytest.importorskip('timm', reason='the extra timm is not installed')
    vit = {**TIMM, **options}
    if 'swin' in vit['model_name']:
        vit = {key: vit[key] for key in ('type', 'model_name')}
    with pytest.raises(ValueError, match=match):
        trunk_of(vit, pooling=pooling)


ALL = {**FAMILIES, 'registers': (dict(num_registers=4, layer_scale_init_value=0.1, **SIZES), 'cls')}


@pytest.mark.parametrize('name', ALL)
def test_trains_behind_necks_that_enter_the_blocks(name: str) -> None:
    vit, pooling = ALL[name]
    for neck in ('UAdapterNeck', 'IsolatedGatingMoENeck', 'MutualMaskNeck'):
        trunk = dict(type='MultiStreamViT', vit=vit, pooling=pooling)
        model = build(trunk=trunk, neck=MODELS.get(neck).example_cfg())
        randomized(model).train(True)
        present = torch.tensor([[True, False, True], [True, True, False], [True, True, True], [False, True, True]])
        loss = model.loss({**images(4), 'present': present}, samples(4))['loss_cls']
        loss.backward()
        silent = [n for n, p in model.trunk.named_parameters() if p.requires_grad and p.grad is None]
        assert torch.isfinite(loss) and not silent


@torch.no_grad()
@pytest.mark.parametrize('name', ['beit', 'beit-shared', 'eva02'])
def test_relative_positions_hold_in_a_joint_sequence(name: str) -> None:
    """With all modalities but one masked, a joint sequence is the sequence of that one."""
    vit, pooling = FAMILIES[name]
    block = randomized(trunk_of(vit, pooling=pooling)).blocks[0]
    cls, patches = torch.randn(1, 1, 16), torch.randn(3, 16, 16)
    joint = torch.cat([cls, patches.flatten(0, 1)[None]], dim=1)
    for m in range(3):
        mask = torch.cat([torch.ones(1, dtype=torch.bool), torch.arange(3).repeat_interleave(16) == m])[None]
        alone = block.attn(torch.cat([cls, patches[m : m + 1]], dim=1))
        result = block.attn(joint, key_mask=mask)
        torch.testing.assert_close(result[:, mask[0]], alone)
        weights = block.attention_weights(joint, mask)
        torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 49))


def test_relative_positions_are_for_one_size() -> None:
    trunk = trunk_of(EVA02)
    expected = r'for images of \(32, 32\) pixels, but got \(40, 40\); set `vit.img_size`'
    with pytest.raises(ValueError, match=expected):
        trunk.grid((40, 40))
    with pytest.raises(ValueError, match="per_modality cannot hold 'pos'"):
        trunk_of(BEIT, pooling='mean', per_modality=('pos',))


@pytest.mark.parametrize('name', ALL)
def test_everything_can_be_frozen_and_has_a_depth(name: str) -> None:
    vit, pooling = ALL[name]
    trunk = trunk_of(vit, pooling=pooling, frozen=('all',))
    assert not [n for n, p in trunk.named_parameters() if p.requires_grad]
    depths = {n: trunk.get_layer_depth(f'trunk.{n}', 'trunk.') for n, _ in trunk.named_parameters()}
    assert {number for _, number in depths.values()} == {4}
    for parameter, (depth, _) in depths.items():
        layer = parameter.partition('vit.layers.')[2].partition('.')[0]
        expected = int(layer) + 1 if layer else 3 if '.ln' in parameter else 0
        assert depth == expected, parameter
    assert trunk.get_layer_depth('head.fc.weight', 'trunk.') == (3, 4)


def test_rates_fall_from_layer_to_layer() -> None:
    from mmengine.optim import build_optim_wrapper

    model = build()
    falling = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1),
        constructor='mmpretrain.LearningRateDecayOptimWrapperConstructor',
        paramwise_cfg=dict(layer_decay_rate=0.5, flat_decay_mult=0.0),
    )
    groups = build_optim_wrapper(model, falling).optimizer.param_groups
    rates = {group['param_name']: group['lr'] for group in groups}
    assert set(rates) == {n for n, _ in model.named_parameters()}
    assert rates['trunk.embedding.pos_embed'] == 0.125
    assert rates['trunk.vit.layers.0.attn.qkv.weight'] == 0.25 and rates['trunk.vit.layers.1.ln1.bias'] == 0.5
    assert rates['trunk.vit.ln1.weight'] == 1.0 and {r for n, r in rates.items() if 'head' in n} == {1.0}
    assert {g['weight_decay'] for g in groups if g['params'][0].dim() == 1} == {0.0}
