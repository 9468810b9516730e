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
NETWORKS: dict[str, tuple[dict[str, Any], int]] = {
    'resnet': (RESNET, 4),
    'resnet-deep-stem': (dict(type='mmpretrain.ResNet', depth=18, base_channels=8, deep_stem=True), 4),
    'mobilenet-v2': (dict(type='mmpretrain.MobileNetV2', widen_factor=0.25), 8),
    'mobilenet-v3': (dict(type='mmpretrain.MobileNetV3', arch='small'), 13),
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
        expected = torch.stack([trunk.cnn(x)[-1].mean((-2, -1)) for x in images])
        result = run(trunk, images)
    assert result.shape == (3, 2, trunk.embed_dims)
    torch.testing.assert_close(result, expected)


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
