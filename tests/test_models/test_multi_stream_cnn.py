"""Tests of MultiStreamCNN: equality with mmpretrain, batch norm over present rows, structure, freezing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmfas.models import MultiStreamCNN
from mmfas.registry import BACKBONES, MODELS

RESNET = dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8)
CONVNEXT = dict(type='mmpretrain.ConvNeXt', arch=dict(depths=[1, 1, 2, 1], channels=[8, 8, 16, 16]))
SWIN = dict(
    type='mmpretrain.SwinTransformer', window_size=2,
    arch=dict(embed_dims=8, depths=[2, 1, 1, 1], num_heads=[1, 2, 2, 4]),
)  # fmt: skip
#: Name of a model of timm -> its arguments, and the number of blocks.
TIMM: dict[str, tuple[dict[str, Any], int]] = {
    'resnet18': ({}, 4),
    'convnext_atto': (dict(depths=(1, 1, 1, 1), dims=(8, 8, 16, 16)), 4),
    'mobilenetv3_small_050': ({}, 6),
    'regnetx_002': ({}, 4),
    'test_efficientnet': ({}, 5),
}
NETWORKS: dict[str, tuple[dict[str, Any], int]] = {
    'resnet': (RESNET, 4),
    'resnet-deep-stem': (dict(type='mmpretrain.ResNet', depth=18, base_channels=8, deep_stem=True), 4),
    'mobilenet-v2': (dict(type='mmpretrain.MobileNetV2', widen_factor=0.25), 8),
    'mobilenet-v3': (dict(type='mmpretrain.MobileNetV3', arch='small'), 13),
    'efficientnet': (dict(type='mmpretrain.EfficientNet', arch='b0'), 7),
    'densenet': (dict(type='mmpretrain.DenseNet', arch=dict(growth_rate=4, depths=[2, 2, 1], init_channels=8)), 3),
    'convnext': (CONVNEXT, 4),
    'convnext-map': (dict(CONVNEXT, gap_before_final_norm=False, use_grn=True, layer_scale_init_value=0.0), 4),
    'swin': (SWIN, 4),
    'vgg-as-one-block': (dict(type='mmpretrain.VGG', depth=11), 1),
}

pytestmark = pytest.mark.engine


def trunk_of(cnn: dict[str, Any], **kwargs: Any) -> MultiStreamCNN:
    return BACKBONES.build(dict(type='MultiStreamCNN', cnn=cnn, **kwargs))


def run(trunk: MultiStreamCNN, images: Tensor, present: Tensor | None = None) -> Tensor:
    streams = trunk.embed(images, present)
    for block in trunk.blocks if present is None else trunk.bind(present):
        streams = block(streams)
    return trunk.readout(streams)


@pytest.mark.parametrize('name', NETWORKS)
def test_equals_mmpretrain(name: str) -> None:
    cnn, num_blocks = NETWORKS[name]
    trunk = trunk_of(cnn).train(False)
    images = torch.randn(3, 2, 3, 48, 48)
    assert trunk.num_blocks == num_blocks and not trunk.has_tokens
    with torch.no_grad():
        for parameter in trunk.parameters():  # ConvNeXt starts with blocks that do next to nothing
            parameter.add_(0.1 * torch.randn_like(parameter))
        expected = torch.stack([averaged(trunk.cnn(x)[-1]) for x in images])
        result = run(trunk, images)
    assert result.shape == (3, 2, trunk.embed_dims)
    torch.testing.assert_close(result, expected)


def averaged(found: Tensor) -> Tensor:
    """Average a map over positions; a ConvNeXt has done so."""
    return found if found.dim() == 2 else found.mean((-2, -1))


@pytest.mark.parametrize('name', TIMM)
def test_equals_timm(name: str) -> None:
    timm = pytest.importorskip('timm', reason="timm is missing: pip install 'mmfas[timm]'")
    options, num_blocks = TIMM[name]
    trunk = trunk_of(dict(type='mmpretrain.TIMMBackbone', model_name=name, **options)).train(False)
    plain = timm.create_model(name, num_classes=0, global_pool='', **options).eval()
    plain.load_state_dict({n.removeprefix('cnn.timm_model.'): v for n, v in trunk.state_dict().items()})
    images = torch.randn(3, 2, 3, 64, 64)
    with torch.no_grad():
        expected = torch.stack([plain(x).mean((-2, -1)) for x in images])
        torch.testing.assert_close(run(trunk, images), expected)
    assert trunk.num_blocks == num_blocks


@pytest.mark.parametrize(
    ('name', 'match'),
    [
        ('swin_tiny_patch4_window7_224', 'SwinTransformer of timm .*take mmpretrain.SwinTransformer'),
        ('vit_tiny_patch16_224', 'MultiStreamViT for a transformer'),
    ],
)
def test_models_of_timm_without_a_map_say_what_to_take(name: str, match: str) -> None:
    pytest.importorskip('timm', reason="timm is missing: pip install 'mmfas[timm]'")
    swin = dict(depths=(1, 1), num_heads=(1, 2), window_size=4)
    options = dict(img_size=64, embed_dim=8, **(dict(num_heads=2) if 'vit' in name else swin))
    with pytest.raises(ValueError, match=match):
        trunk_of(dict(type='mmpretrain.TIMMBackbone', model_name=name, **options))


@pytest.mark.parametrize('cnn', [CONVNEXT, SWIN])
def test_stages_of_modern_networks_train_freeze_and_are_cut(cnn: dict[str, Any]) -> None:
    trunk = trunk_of(cnn, frozen=('stem', 'blocks:0'), per_modality=('stages:3',))
    present = torch.tensor([[True, True, False], [True, False, True]])
    (run(trunk, torch.randn(3, 2, 3, 48, 48), present) * torch.randn(trunk.embed_dims)).sum().backward()
    depths = [trunk.get_layer_depth(n)[0] for n, p in trunk.named_parameters() if p.grad is not None]
    assert len(depths) == sum(p.requires_grad for p in trunk.parameters())
    assert set(depths) == ({2, 3, 4, 5} if 'norm' in trunk.parts() else {2, 3, 4})
    assert [len(owned) > 0 for owned in trunk.modality_parameters().values()] == [True] * 3
    short = trunk_of(cnn, num_stages=2)
    assert short.embed_dims in (8, 16) and short.num_blocks == 2
    assert run(short, torch.randn(3, 2, 3, 48, 48)).shape == (3, 2, short.embed_dims)
    assert not [n for n, _ in short.named_parameters() if 'stages.2' in n or 'norm3' in n]


@torch.no_grad()
def pooled(network: nn.Module, images: Tensor, *, training: bool = False) -> Tensor:
    """Run a network of mmpretrain alone and average its last map."""
    network.train(training)  # which returns nothing there
    return network(images)[-1].mean((-2, -1))


def test_only_present_rows_enter_batch_norm() -> None:
    present = torch.tensor([[True, True, False], [True, False, False], [True, True, True]])
    images = torch.randn(3, 3, 3, 32, 32)
    images[~present.t()] = 1e4
    trunk, twin = trunk_of(RESNET), trunk_of(RESNET)
    twin.load_state_dict(trunk.state_dict())
    features = run(trunk.train(True), images, present)
    expected = run(twin.train(True), images[present.t()][:, None])  # the present images as their own batch
    torch.testing.assert_close(features[present.t()], expected[:, 0])
    assert (features[~present.t()] == 0).all()
    for (name, ours), theirs in zip(trunk.named_buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)


def test_evaluation_runs_every_row_and_needs_no_mask() -> None:
    trunk = trunk_of(RESNET).train(False)
    images, present = torch.randn(3, 2, 3, 32, 32), torch.tensor([[True, False, True]] * 2)
    torch.testing.assert_close(run(trunk, images, present), run(trunk, images))


def test_probing_leaves_statistics_alone() -> None:
    trunk, plain = trunk_of(RESNET), MODELS.build(RESNET)
    for ours, theirs in zip(trunk.cnn.buffers(), plain.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    assert trunk.cnn.training


def test_frozen_stages_keep_their_statistics() -> None:
    trunk = trunk_of(RESNET, frozen=('stem', 'blocks:0-1')).train(True)
    before = [b.clone() for b in trunk.cnn.layer1.buffers()]
    run(trunk, torch.randn(3, 2, 3, 32, 32), torch.ones(2, 3, dtype=torch.bool)).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, trunk.cnn.layer1.buffers(), strict=True))
    reached = {n.split('.')[1] for n, p in trunk.named_parameters() if p.grad is not None}
    assert reached == {'layer3', 'layer4'}


def test_pretrained_file_is_read_by_init_weights(tmp_path: Path) -> None:
    plain = MODELS.build(RESNET)
    nn.init.normal_(plain.conv1.weight)
    state = {f'backbone.{k}': v for k, v in plain.state_dict().items()} | {'head.fc.bias': torch.zeros(2)}
    torch.save({'state_dict': state}, tmp_path / 'resnet.pth')
    trunk = trunk_of(RESNET, pretrained=str(tmp_path / 'resnet.pth'))
    trunk.init_weights()
    for name, value in plain.state_dict().items():
        assert torch.equal(trunk.state_dict()[f'cnn.{name}'], value)


@pytest.mark.parametrize('name', ['frozen_stages', 'out_indices', 'init_cfg'])
def test_governed_arguments_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f'cnn.{name}. is not used here'):
        trunk_of({**RESNET, name: 1})


def test_a_transformer_is_refused() -> None:
    arch = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=32)
    vit = dict(type='mmpretrain.VisionTransformer', arch=arch, img_size=64, patch_size=8)
    with pytest.raises(ValueError, match='not a feature map .* MultiStreamViT'):
        trunk_of(vit)


@pytest.mark.parametrize('parts', [('stem', 'stages:0-1'), ('stages:2-3',), ('all',)])
def test_own_parts_equal_a_network_for_every_modality(parts: tuple[str, ...]) -> None:
    trunk = trunk_of(RESNET, per_modality=parts)
    trunk.init_weights()
    with torch.no_grad():
        for parameter in trunk.own.parameters():  # from here on they differ
            parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
    whole = [MODELS.build(RESNET) for _ in range(3)]
    for m, network in enumerate(whole):
        state = {**trunk.cnn.state_dict(), **trunk.own[m].state_dict()}
        network.load_state_dict(state)
    images = torch.randn(3, 2, 3, 48, 48)
    with torch.no_grad():
        expected = torch.stack([pooled(n, x) for n, x in zip(whole, images, strict=True)])
        torch.testing.assert_close(run(trunk.train(False), images), expected)
    shared, own = (sum(p.numel() for p in part.parameters()) for part in (trunk.cnn, trunk.own))
    assert 3 * shared + own == sum(p.numel() for network in whole for p in network.parameters())
    owned = trunk.modality_parameters()
    assert [len(owned[m]) for m in ('rgb', 'depth', 'ir')] == [len(list(n.parameters())) for n in trunk.own]
    assert trunk.num_blocks == 4 and trunk.parts().keys() == {'stem', *(f'blocks:{i}' for i in range(4))}


def test_own_parts_without_separate_stages() -> None:
    trunk = trunk_of(dict(type='mmpretrain.VGG', depth=11), per_modality=('all',)).eval()
    images = torch.randn(3, 1, 3, 32, 32)
    with torch.no_grad():
        expected = torch.stack([pooled(n, x) for n, x in zip(trunk.own, images, strict=True)])
        torch.testing.assert_close(run(trunk, images), expected)
    assert not list(trunk.cnn.parameters())


def test_own_parts_take_statistics_of_their_modality_if_it_has_two_images() -> None:
    present = torch.tensor([[True, True, False], [True, False, False], [True, False, False]])
    images = torch.randn(3, 3, 3, 32, 32)
    trunk = trunk_of(RESNET, per_modality=('all',))
    twin = trunk_of(RESNET, per_modality=('all',))
    twin.load_state_dict(trunk.state_dict())
    features = run(trunk.train(True), images, present)
    features.sum().backward()
    # rgb by its own three images; depth has one, ir none: running statistics, which stay as they were
    features = features.detach()
    torch.testing.assert_close(features[0], pooled(twin.own[0], images[0], training=True))
    torch.testing.assert_close(features[1, :1], pooled(twin.own[1], images[1, :1]))
    assert not features[1, 1:].any() and not features[2].any()
    for m, moved in enumerate((True, False, False)):
        before = MODELS.build(RESNET).state_dict()['bn1.running_mean']
        assert torch.equal(trunk.own[m].bn1.running_mean, before) != moved
        assert all(p.grad is not None for p in trunk.own[m].parameters()), 'as distributed training wants it'
    assert all(norm.training for norm in trunk.own.modules() if isinstance(norm, nn.BatchNorm2d))


def test_left_out_stages_and_copies_of_a_file(tmp_path: Path) -> None:
    plain = MODELS.build(RESNET)
    torch.save(plain.state_dict(), tmp_path / 'resnet.pth')
    trunk = trunk_of(
        RESNET, num_stages=2, per_modality=('stem', 'stages:0'), pretrained=str(tmp_path / 'resnet.pth')
    )
    trunk.init_weights()
    assert (trunk.num_blocks, trunk.embed_dims) == (2, 16)
    state = trunk.state_dict()
    assert not any('layer3' in name or 'layer4' in name for name in state)
    for name, value in plain.state_dict().items():
        places = [f'own.{m}.{name}' for m in range(3)] if name.startswith(('conv1', 'bn1', 'layer1')) else []
        places += [f'cnn.{name}'] if name.startswith('layer2') else []
        assert all(torch.equal(state[place], value) for place in places)
    again = trunk_of(RESNET, num_stages=2, per_modality=('stem', 'stages:0'))
    again.load_pretrained({f'trunk.{name}': value for name, value in state.items()})
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in state.items())
    scratch = trunk_of(RESNET, per_modality=('stem',))
    scratch.init_weights()
    assert all(torch.equal(scratch.own[0].conv1.weight, network.conv1.weight) for network in scratch.own)


def test_frozen_own_parts() -> None:
    trunk = trunk_of(RESNET, per_modality=('stem', 'stages:0'), frozen=('stem', 'stages:0-2')).train(True)
    trained = {name.split('.')[-4] for name, p in trunk.named_parameters() if p.requires_grad and 'conv' in name}
    assert trained == {'layer4'} and not trunk.own[1].bn1.training


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(per_modality=('neck',)), "per_modality cannot hold 'neck': the trunk has the parts"),
        (dict(per_modality=('stages:3-4',)), 'per_modality cannot hold .blocks:3-4.'),
        (dict(num_stages=5), 'ResNet has 4 stages, so num_stages must be 1 to 4, but got 5'),
        (dict(num_stages=0), 'must be 1 to 4, but got 0'),
    ],
)
def test_parts_that_are_not_there_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trunk_of(RESNET, **options)
