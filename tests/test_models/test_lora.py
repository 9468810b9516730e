"""Tests of low-rank updates: the start, what is trained, files of weights, merging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from mmfas.models.layers import LoRALinear, without_lora
from mmfas.registry import BACKBONES
from test_models.helpers import VIT, build, images, perturb, samples

LORA = dict(targets=('attn.qkv', 'ffn.layers.*'), rank=2, alpha=6.0)
CONVNEXT = dict(type='mmpretrain.ConvNeXt', arch=dict(depths=[1] * 4, channels=[8, 8, 16, 16]))
TRUNKS: dict[str, dict[str, Any]] = {
    'vit': dict(VIT, lora=LORA),
    'beit': dict(
        VIT, vit=dict(VIT['vit'], type='mmpretrain.BEiTViT'), pooling='mean', lora=dict(LORA, targets='attn.qkv')
    ),
    'convnext': dict(
        type='MultiStreamCNN', cnn=CONVNEXT, lora=dict(targets=('pointwise_conv1', 'pointwise_conv2'), rank=2)
    ),
}

pytestmark = pytest.mark.engine


def without(trunk: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in trunk.items() if key != 'lora'}


def test_layer_is_the_product_of_two_factors() -> None:
    plain = nn.Linear(5, 3)
    layer = LoRALinear(plain, rank=2, scale=1.5)
    x = torch.randn(4, 5)
    assert torch.equal(layer(x), plain(x)) and layer.weight is plain.weight
    nn.init.normal_(layer.lora_up)
    expected = functional.linear(x, plain.weight + 1.5 * layer.lora_up @ layer.lora_down, plain.bias)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize('name', TRUNKS)
def test_starts_as_the_plain_trunk_trains_updates_only_and_merges(name: str) -> None:
    trunk = TRUNKS[name]
    plain, adapted = build(trunk=without(trunk)), build(trunk=trunk)
    missing, unexpected = adapted.load_state_dict(plain.state_dict(), strict=False)
    assert missing and all('.lora_' in n for n in missing) and not unexpected
    inputs = images(4)
    plain.eval(), adapted.eval()
    with torch.no_grad():
        torch.testing.assert_close(adapted(inputs), plain(inputs), rtol=0, atol=0)

    trained = {n for n, p in adapted.trunk.named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in adapted.trunk.named_parameters() if '.lora_' in n}
    perturb(adapted)  # at the start, only `up` has a gradient: `down` meets its zeros
    before = {n: p.detach().clone() for n, p in adapted.named_parameters()}
    adapted.train().loss(inputs, samples(4))['loss_cls'].backward()
    torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=1.0).step()
    moved = {n for n, p in adapted.named_parameters() if not torch.equal(p, before[n])}
    assert {n for n in moved if n.startswith('trunk.')} == {f'trunk.{n}' for n in trained}

    adapted.eval()
    model, weights = without_lora(dict(trunk=trunk), adapted.state_dict())
    merged = build(trunk=model['trunk'])
    merged.load_state_dict(weights)  # strict: there is nothing left of the updates
    torch.testing.assert_close(merged.eval()(inputs), adapted(inputs), rtol=1e-4, atol=1e-5)


def test_a_file_of_the_plain_trunk_is_read(tmp_path: Path) -> None:
    plain = BACKBONES.build(without(TRUNKS['vit']))
    torch.save({f'trunk.{k}': v for k, v in plain.state_dict().items()}, tmp_path / 'plain.pth')
    trunk = BACKBONES.build(dict(TRUNKS['vit'], pretrained=str(tmp_path / 'plain.pth')))
    trunk.init_weights()
    assert torch.equal(trunk.vit.layers[0].attn.qkv.weight, plain.vit.layers[0].attn.qkv.weight)
    assert not trunk.vit.layers[0].attn.qkv.lora_up.any()


def test_statistics_of_batch_norm_are_not_moved() -> None:
    cnn = dict(type='mmpretrain.MobileNetV3', arch='small')
    with pytest.raises(ValueError, match='lora: .fc. names no linear layer; there are none'):
        BACKBONES.build(dict(type='MultiStreamCNN', cnn=cnn, lora=dict(targets='fc')))
    trunk = BACKBONES.build(dict(type='MultiStreamCNN', cnn=cnn))
    trunk.extra = nn.Linear(2, 2)
    trunk.adapt(dict(targets='extra', rank=1))
    assert not any(m.training for m in trunk.train(True).modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(lora=dict(targets='attn.q')), r"'attn.q' names no linear layer; there are .*vit.layers.\*.attn.qkv"),
        (dict(lora=dict(targets='attn.qkv', rank=0)), 'a rank of at least 1'),
        (dict(lora=dict(rank=2)), 'lora takes targets, rank, alpha and needs targets'),
        (dict(lora=dict(targets='attn.qkv', r=2)), r"lora takes targets, rank, alpha .* got \['r', 'targets'\]"),
        (dict(lora=LORA, frozen=('patch',)), 'leave out frozen='),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        BACKBONES.build({**VIT, **options})
