"""Tests of MultiStreamViT: equality with mmpretrain, cost of M streams, embeddings per modality, freezing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmfas.models import MultiStreamViT
from mmfas.registry import BACKBONES, MODELS

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
VIT = dict(arch=ARCH, img_size=32, patch_size=8)

pytestmark = pytest.mark.engine


def plain(**kwargs: Any) -> nn.Module:
    """Build mmpretrain's transformer with random values everywhere, in evaluation mode."""
    vit = MODELS.build(dict(type='mmpretrain.VisionTransformer', **{**VIT, **kwargs}))
    for parameter in vit.parameters():
        nn.init.normal_(parameter, std=0.3)
    vit.train(False)  # its own .eval() returns None
    return vit


def trunk_like(vit: nn.Module, kwargs: dict[str, Any], **trunk: Any) -> MultiStreamViT:
    built = BACKBONES.build(dict(type='MultiStreamViT', vit={**VIT, **kwargs}, **trunk))
    built.load_pretrained(vit.state_dict())
    return built.train(False)


def run(trunk: MultiStreamViT, images: Tensor) -> Tensor:
    streams = trunk.embed(images)
    for block in trunk.blocks:
        streams = block(streams)
    return trunk.readout(streams)


VARIANTS: dict[str, dict[str, Any]] = {
    'plain': {},
    'clip': dict(pre_norm=True, norm_cfg=dict(type='LN', eps=1e-5)),
    'quick-gelu': dict(layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU'))),
    'layer-scale': dict(layer_scale_init_value=0.1),
    'swiglu': dict(layer_cfgs=dict(ffn_type='swiglu_fused'), layer_scale_init_value=0.1),
    'overlapping': dict(patch_cfg=dict(stride=6)),
    'padded': dict(patch_cfg=dict(stride=6, padding=1)),
    'no-final-norm': dict(final_norm=False),
    'no-qkv-bias': dict(qkv_bias=False),
}


@pytest.mark.parametrize('name', VARIANTS)
@pytest.mark.parametrize('own', [(), ('patch', 'cls', 'pos'), ('cls',)])
def test_equals_mmpretrain_for_every_modality(name: str, own: tuple[str, ...]) -> None:
    vit = plain(**VARIANTS[name]).double()
    trunk = trunk_like(vit, VARIANTS[name], per_modality=own).double()
    images = torch.randn(3, 4, 3, 32, 32, dtype=torch.float64)
    expected = torch.stack([vit(x)[0] for x in images])
    torch.testing.assert_close(run(trunk, images), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize('with_cls', [True, False])
def test_mean_pooling_equals_mmpretrain(with_cls: bool) -> None:
    kwargs = dict(with_cls_token=with_cls)
    vit = plain(**kwargs, out_type='avg_featmap')
    trunk = trunk_like(vit, kwargs, pooling='mean')
    images = torch.randn(3, 2, 3, 32, 32)
    assert trunk.num_prefix == int(with_cls)
    torch.testing.assert_close(run(trunk, images), torch.stack([vit(x)[0] for x in images]))


@pytest.mark.parametrize('size', [(48, 48), (32, 40), (30, 33)])
def test_other_image_sizes_equal_mmpretrain(size: tuple[int, int]) -> None:
    vit = plain()
    trunk = trunk_like(vit, {}, per_modality=('patch', 'pos'))
    images = torch.randn(3, 2, 3, *size)
    torch.testing.assert_close(run(trunk, images), torch.stack([vit(x)[0] for x in images]))
    rows, columns = trunk.grid(size)
    assert trunk.embed(images).shape[2] == 1 + rows * columns


@pytest.mark.parametrize('padding', ['corner', 0])
@pytest.mark.parametrize('bias', [True, False])
def test_patches_side_by_side_equal_the_grouped_convolution(bias: bool, padding: str | int) -> None:
    """The fast way and its slow twin, with gradients, on images that hold no whole number of patches."""
    kwargs = dict(patch_cfg=dict(bias=bias, padding=padding))
    embedding = trunk_like(plain(**kwargs), kwargs, per_modality=('patch',)).double().embedding
    nn.init.normal_(embedding.patch_weight)
    images = torch.randn(3, 2, 3, 35, 44, dtype=torch.float64)
    owned = embedding.owned()
    assert embedding._is_tiling() and len(owned) == 1 + bias
    results = []
    for is_tiling in (True, False):
        embedding._is_tiling = lambda answer=is_tiling: answer
        tokens = embedding(images)
        results.append([tokens, *torch.autograd.grad(tokens.square().sum(), owned)])
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow)
    assert results[0][0].shape[2] == 1 + (30 if padding == 'corner' else 20)


def test_layer_scale_and_drop_path_act_in_training() -> None:
    trunk = BACKBONES.build(dict(type='MultiStreamViT', vit={**VIT, 'drop_path_rate': 0.9}))
    images = torch.randn(3, 64, 3, 32, 32)
    last = trunk.blocks[-1]
    tokens = trunk.train(True).embed(images)
    kept = (last.mlp(tokens).abs().amax(dim=(-2, -1)) > 0).float()
    assert kept.shape == (3, 64) and 0 < kept.mean() < 0.3
    assert (kept.sum(0) == 1).any(), 'whole modalities are dropped instead of single streams'
    assert (last.mlp(trunk.train(False).embed(images)).abs().amax(dim=(-2, -1)) > 0).all()


def test_streams_are_one_pass_of_the_blocks() -> None:
    trunk = BACKBONES.build(dict(type='MultiStreamViT', vit=VIT, per_modality=('patch', 'cls', 'pos')))
    rows: list[int] = []
    for layer in trunk.vit.layers:
        layer.attn.qkv.register_forward_hook(lambda module, inputs, output: rows.append(inputs[0].shape[0]))
    run(trunk, torch.randn(3, 5, 3, 32, 32))
    assert rows == [15] * len(trunk.vit.layers)


def test_streams_cost_one_pass_of_a_larger_batch() -> None:
    arch = dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256)
    kwargs = dict(arch=arch, img_size=64)
    vit = plain(**kwargs)
    trunk = trunk_like(vit, kwargs, per_modality=('patch', 'cls', 'pos'))
    images = torch.randn(3, 8, 3, 64, 64)

    def seconds(call: Any) -> float:
        start = time.process_time()
        call()
        return time.process_time() - start

    with torch.no_grad():
        # in turns, so that other work on the machine slows both down
        rounds = [
            (seconds(lambda: run(trunk, images)), seconds(lambda: vit(images.flatten(0, 1)))) for _ in range(12)
        ]
    ours, theirs = (min(times) for times in zip(*rounds, strict=True))
    assert ours < 1.5 * theirs, f'{ours / theirs:.2f} times one pass of batch M*B'


def test_key_mask_equals_leaving_tokens_out() -> None:
    block = trunk_like(plain(), {}).blocks[0]
    x = torch.randn(2, 3, 7, 16)
    mask = torch.ones(2, 3, 7, dtype=torch.bool)
    mask[..., 5:] = False
    masked = block.attn(x, key_mask=mask)[..., :5, :]
    torch.testing.assert_close(masked, block.attn(x[..., :5, :]))


def test_own_embeddings_start_as_copies_and_are_declared() -> None:
    trunk = BACKBONES.build(dict(type='MultiStreamViT', vit=VIT, per_modality=('patch', 'cls', 'pos')))
    trunk.init_weights()
    embedding = trunk.embedding
    for stacked in (embedding.patch_weight, embedding.patch_bias, embedding.cls_token, embedding.pos_embed):
        assert torch.equal(stacked[0], stacked[2])
    assert 0.01 < embedding.pos_embed.std() < 0.03
    torch.manual_seed(0)
    depth = run(trunk, torch.randn(3, 2, 3, 32, 32))[1]
    # weighted: the plain sum of a normalised feature is a constant, its gradient rounding noise
    (depth * torch.randn_like(depth)).sum().backward()
    for modality, owned in trunk.modality_parameters().items():
        assert len(owned) == 4
        for parameter, index in owned:
            assert (parameter.grad[index].abs().sum() > 0) == (modality == 'depth')


def test_shared_embeddings_belong_to_nobody() -> None:
    trunk = BACKBONES.build(dict(type='MultiStreamViT', vit=VIT, per_modality=('pos',)))
    assert [len(v) for v in trunk.modality_parameters().values()] == [1, 1, 1]
    assert trunk.embedding.cls_token.shape[0] == 1


def test_frozen_parts_stay_frozen_after_train() -> None:
    vit = {**VIT, 'drop_rate': 0.5}
    trunk = BACKBONES.build(dict(type='MultiStreamViT', vit=vit, frozen=('patch', 'cls', 'pos', 'blocks:0-0')))
    trunk.init_weights()
    trunk.train(True)
    assert not trunk.vit.layers[0].training and trunk.vit.layers[1].training
    assert not trunk.vit.drop_after_pos.training
    run(trunk, torch.randn(3, 2, 3, 32, 32)).sum().backward()
    got = {n.split('.')[0] + '.' + n.split('.')[1] for n, p in trunk.named_parameters() if p.grad is not None}
    assert got == {'vit.layers', 'vit.ln1'}
    assert all(p.grad is None for p in trunk.vit.layers[0].parameters())


def test_unknown_part_is_refused_with_a_hint() -> None:
    with pytest.raises(ValueError, match=r"cannot freeze 'projektion'.*did you mean 'projection'"):
        BACKBONES.build(dict(type='MultiStreamViT', vit=VIT, frozen=('projektion',)))
    with pytest.raises(ValueError, match='cannot freeze .blocks:0-9'):
        BACKBONES.build(dict(type='MultiStreamViT', vit=VIT, frozen=('blocks:0-9',)))


@pytest.mark.parametrize(
    ('kwargs', 'match'),
    [
        (dict(vit={**VIT, 'frozen_stages': 1}), 'use `frozen` of the trunk'),
        (dict(vit={**VIT, 'out_type': 'raw'}), 'use `pooling` of the trunk'),
        (dict(vit=VIT, pooling='max'), "pooling must be one of .* got 'max'"),
        (dict(vit=VIT, per_modality=('posi',)), 'per_modality may hold'),
        (dict(vit={**VIT, 'arch': 'bogus'}), '`vit` cannot be built: .*bogus'),
        (dict(vit={**VIT, 'arch': {**ARCH, 'embed_dim': 64}}), r"may hold .* but got \['embed_dim'\]"),
        (dict(vit={**VIT, 'arch': {**ARCH, 'num_heads': 3}}), 'embed_dims 16 is not a multiple of num_heads 3'),
        (dict(vit={**VIT, 'arch': dict(embed_dims=16)}), '`vit` cannot be built: .*Custom arch needs'),
        (dict(vit={**VIT, 'patch_cfg': dict(norm_cfg=dict(type='LN'))}), 'patch_cfg.norm_cfg'),
    ],
)
def test_arguments_that_fight_the_trunk_are_refused(kwargs: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        BACKBONES.build(dict(type='MultiStreamViT', **kwargs))


def test_pretrained_file_is_read_by_init_weights(tmp_path: Path) -> None:
    vit = plain()
    path = tmp_path / 'vit.pth'
    wrapped = {f'backbone.{k}': v for k, v in vit.state_dict().items()}
    torch.save({'state_dict': {**wrapped, 'head.fc.weight': torch.zeros(2, 16)}}, path)
    trunk = BACKBONES.build(dict(type='MultiStreamViT', vit=VIT, per_modality=('pos',), pretrained=str(path)))
    trunk.init_weights()
    images = torch.randn(3, 2, 3, 32, 32)
    expected = torch.stack([vit(x)[0] for x in images])
    torch.testing.assert_close(run(trunk.train(False), images), expected)


@pytest.mark.parametrize(('fresh', 'kept'), [((), ()), (('pos',), ('pos_embed',)), (('cls',), ('cls_token',))])
def test_fresh_embeddings_keep_their_start(tmp_path: Path, fresh: tuple[str, ...], kept: tuple[str, ...]) -> None:
    vit = plain()
    torch.save(vit.state_dict(), tmp_path / 'vit.pth')
    trunk = BACKBONES.build(
        dict(type='MultiStreamViT', vit=VIT, fresh=fresh, pretrained=str(tmp_path / 'vit.pth'))
    )
    trunk.init_weights()
    for name in ('pos_embed', 'cls_token'):
        is_read = torch.equal(getattr(trunk.embedding, name), getattr(vit, name))
        assert is_read is (name not in kept)
    assert torch.equal(trunk.vit.layers[0].attn.qkv.weight, vit.layers[0].attn.qkv.weight)
    with pytest.raises(ValueError, match="fresh may hold .* but got .'norm'."):
        BACKBONES.build(dict(type='MultiStreamViT', vit=VIT, fresh=('norm',)))


@pytest.mark.parametrize(('fresh', 'num_tables'), [((), 1), (('pos',), 3)])
def test_positions_that_no_file_gives_are_drawn_for_each_modality(fresh: tuple[str, ...], num_tables: int) -> None:
    trunk = BACKBONES.build(dict(type='MultiStreamViT', vit=VIT, per_modality=('pos',), fresh=fresh))
    trunk.init_weights()
    assert len(trunk.embedding.pos_embed.unique(dim=0)) == num_tables


def test_trunk_without_a_final_norm_leaves_that_of_the_file(tmp_path: Path) -> None:
    vit = plain()
    torch.save(vit.state_dict(), tmp_path / 'vit.pth')
    options = dict(vit={**VIT, 'final_norm': False}, pretrained=str(tmp_path / 'vit.pth'))
    trunk = BACKBONES.build(dict(type='MultiStreamViT', **options))
    trunk.init_weights()
    assert torch.equal(trunk.vit.layers[1].attn.qkv.weight, vit.layers[1].attn.qkv.weight)
    assert not hasattr(trunk.vit, 'ln1')


def test_pretrained_positions_are_interpolated() -> None:
    vit = plain()
    trunk = BACKBONES.build(dict(type='MultiStreamViT', vit={**VIT, 'img_size': 48}))
    trunk.load_pretrained(vit.state_dict())
    images = torch.randn(3, 2, 3, 48, 48)
    expected = torch.stack([vit(x)[0] for x in images])
    torch.testing.assert_close(run(trunk.train(False), images), expected)


def test_weights_of_another_trunk_with_shared_embeddings_fit() -> None:
    source = BACKBONES.build(dict(type='MultiStreamViT', vit=VIT))
    target = BACKBONES.build(dict(type='MultiStreamViT', vit=VIT, per_modality=('patch', 'cls', 'pos')))
    target.load_pretrained({f'trunk.{k}': v for k, v in source.state_dict().items()} | {'neck.x': torch.zeros(1)})
    images = torch.randn(3, 2, 3, 32, 32)
    torch.testing.assert_close(run(target.train(False), images), run(source.train(False), images))


def test_weights_that_do_not_fit_are_all_named() -> None:
    trunk = BACKBONES.build(dict(type='MultiStreamViT', vit=VIT))
    state = plain().state_dict()
    state['ln1.weight'] = torch.zeros(7)
    state['extra'] = torch.zeros(1)
    del state['layers.0.ln1.bias']
    with pytest.raises(ValueError, match='the weights do not fit MultiStreamViT') as info:
        trunk.load_pretrained(state)
    for words in (
        '1 missing: vit.layers.0.ln1.bias',
        '1 unexpected: vit.extra',
        '1 of another shape: vit.ln1.weight (7,) instead of (16,)',
    ):
        assert words in str(info.value)
