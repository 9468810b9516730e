"""Trunk, neck and head that do not fit are told before anything is trained, and only those."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from config_samples import ARCH, GOOD, changed
from mmengine.model import BaseModule
from torch import nn

from mmfas.config import check
from mmfas.config.check import check_config
from mmfas.config.fitting import _layer_decay, _without_foreign_weights, build_without_memory
from mmfas.models.backbones import MultiStreamViT
from mmfas.registry import BACKBONES, MODELS

pytestmark = pytest.mark.engine

CNN = dict(type='MultiStreamCNN', cnn=dict(type='mmpretrain.ResNet', depth=18))


@pytest.fixture
def trunk() -> Iterator[type]:
    """A place for a trunk of a plug-in, registered as PlugInTrunk."""
    yield MultiStreamViT
    MODELS.module_dict.pop('PlugInTrunk', None)
    BACKBONES.module_dict.pop('PlugInTrunk', None)


def vit(**options: Any) -> dict[str, Any]:
    return dict(type='MultiStreamViT', vit=options)


@pytest.mark.parametrize(
    ('model', 'expected'),
    [
        (dict(trunk=vit(type='mmpretrain.SwinTransformer', arch='tiny')), 'SwinTransformer'),
        (dict(trunk=vit(type='mmpretrain.DeiT3', arch='small')), 'never runs the second norm of its layers'),
        (dict(trunk=vit(type='mmpretrain.ConvNeXt', arch='atto')), 'ConvNeXt'),
        (
            dict(trunk=vit(type='mmpretrain.BEiTViT', arch=ARCH, num_registers=4)),
            'takes no `vit.num_registers`',
        ),
        (dict(trunk=vit(type='mmpretrain.ResNet', depth=18)), 'ResNet'),
        (dict(trunk=vit(type='mmpretrain.VisionTransformer', arch='giga')), '`vit` cannot be built: Arch giga'),
        (
            dict(trunk=dict(type='MultiStreamCNN', cnn=dict(type='mmpretrain.ResNet', depth=19))),
            "`cnn` cannot be built: KeyError: 'invalid depth 19 for resnet'",
        ),
        (
            dict(
                trunk=dict(
                    type='MultiStreamCNN',
                    cnn=dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=64, patch_size=8),
                )
            ),
            'not a feature map',
        ),
        (
            dict(trunk=CNN, neck=dict(type='UAdapterNeck')),
            'UAdapterNeck works on tokens, but MultiStreamCNN',
        ),
        (dict(trunk=CNN, neck=dict(type='AMANeck')), 'AMANeck works on tokens'),
        (dict(neck=dict(type='CrossAttentionNeck', num_heads=5)), 'num_heads must divide the readout width 16'),
        (dict(modalities=('rgb',), data_preprocessor=dict(type='FASDataPreprocessor', modalities=('ir',))), 'ir'),
    ],
)
def test_what_does_not_fit_is_one_sentence(model: dict[str, Any], expected: str) -> None:
    (problem,) = check_config({**GOOD, 'model': {**GOOD['model'], **model}})
    assert problem.startswith('model: ')
    assert expected in problem
    assert '\n' not in problem
    with pytest.raises(ValueError):  # and the build says the same, without a traceback of another toolkit
        MODELS.build({'_scope_': 'mmfas', **GOOD['model'], **model})


def test_remedies_are_named() -> None:
    (problem,) = check_config(changed(model__trunk=vit(type='mmpretrain.ConvNeXt', arch='atto')))
    assert 'use mmpretrain.VisionTransformer or a subclass of it, or MultiStreamCNN' in problem


def test_a_constructor_of_falling_rates_needs_depths_of_layers() -> None:
    name = 'mmpretrain.LearningRateDecayOptimWrapperConstructor'
    falling = dict(constructor=name, paramwise_cfg=dict(layer_decay_rate=0.7))
    good = changed(optim_wrapper=dict(GOOD['optim_wrapper'], **falling))
    assert check_config(good) == []
    plain = {**good, 'model': dict(type='mmengine.BaseModel')}
    assert list(_layer_decay(plain, BaseModule(), 'mmfas')) == [
        'optim_wrapper.constructor: LearningRateDecayOptimWrapperConstructor asks the model for the depth of its '
        'layers, and BaseModule has no get_layer_depth; take the constructor out, or give rates by '
        "paramwise_cfg=dict(custom_keys={'trunk': dict(lr_mult=0.1)})"
    ]


@pytest.mark.parametrize(
    ('paramwise', 'expected'),
    [
        ({}, 'layer_decay_rate: missing, without it every layer has the same rate'),
        (dict(layer_decay_rate=1.5), 'layer_decay_rate: must be a number above 0 and at most 1, got 1.5'),
        (dict(layer_decay_rate=0.7, layer_decay=0.7), 'layer_decay: unexpected, '),
        (dict(layer_decay_rate=0.7, bias_lr_mult=2), 'bias_lr_mult: unexpected, '),
        (
            dict(layer_decay_rate=0.7, custom_keys={'.cls_token': dict(lr_mult=0.1)}),
            'custom_keys..cls_token.lr_mult: has no effect, this constructor reads decay_mult only',
        ),
    ],
)
def test_settings_of_falling_rates_without_effect_are_refused(paramwise: dict[str, Any], expected: str) -> None:
    name = 'mmpretrain.LearningRateDecayOptimWrapperConstructor'
    options = dict(constructor=name, paramwise_cfg=paramwise)
    (problem,) = check_config(changed(optim_wrapper=dict(GOOD['optim_wrapper'], **options)))
    assert problem.startswith(f'optim_wrapper.paramwise_cfg.{expected}')


def test_a_model_that_no_memory_holds_is_refused() -> None:
    (problem,) = check_config(changed(model__trunk__vit__arch__num_layers=10**10))
    assert problem.startswith('model: is too large to be built (')


def test_models_that_fit_need_no_memory() -> None:
    before = torch.random.get_rng_state()
    model = build_without_memory(GOOD['model'], 'mmfas')
    assert isinstance(model, nn.Module)
    assert {parameter.device.type for parameter in model.parameters()} == {'meta'}
    assert torch.equal(before, torch.random.get_rng_state())
    assert next(nn.Linear(2, 2).parameters()).device.type == 'cpu'


def test_the_check_builds_the_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule that modulates gradients and the check of the parts look at one model."""
    built, build = [], check.build_without_memory
    monkeypatch.setattr(check, 'build_without_memory', lambda *args: built.append(build(*args)) or built[-1])
    cfg = changed(
        optim_wrapper__type='GradientModulationOptimWrapper', optim_wrapper__modulator=dict(type='ReGrad')
    )
    (problem,) = check_config(cfg)
    assert problem.startswith('optim_wrapper.modulator: ReGrad has nothing to modulate')
    assert [type(model).__name__ for model in built] == ['MultiModalFAS']


def test_a_trunk_that_reads_its_own_numbers_is_built_in_memory(trunk: Any) -> None:
    class PlugInTrunk(trunk):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            assert float(next(self.parameters()).detach().sum()) < 1e9

    BACKBONES.register_module(module=PlugInTrunk)
    plugged = changed(model__trunk__type='PlugInTrunk')
    assert check_config(plugged) == []
    plugged['model']['neck'] = dict(type='CrossAttentionNeck', num_heads=5)
    assert len(check_config(plugged)) == 1


@pytest.mark.parametrize('error', [RuntimeError('CUDA is not there'), ImportError('no wheel'), OSError('no file')])
def test_a_plug_in_that_needs_what_is_not_here_is_not_judged(trunk: Any, error: Exception) -> None:
    class PlugInTrunk(trunk):
        def __init__(self, **kwargs: Any) -> None:
            raise error

    BACKBONES.register_module(module=PlugInTrunk)
    assert check_config(changed(model__trunk__type='PlugInTrunk')) == []


def test_no_weights_are_read(trunk: Any, tmp_path: Any) -> None:
    torch.save({'state_dict': {}}, tmp_path / 'weights.pth')
    read = []

    class PlugInTrunk(trunk):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            read.append(torch.load(tmp_path / 'weights.pth'))

    BACKBONES.register_module(module=PlugInTrunk)
    assert check_config(changed(model__trunk__type='PlugInTrunk')) == []
    assert read == []
    assert check_config(changed(model__trunk__pretrained=str(tmp_path / 'nowhere.pth'))) == []


def test_networks_of_others_are_not_asked_for_their_weights() -> None:
    network = dict(type='mmpretrain.TIMMBackbone', model_name='resnet18', pretrained=True, checkpoint_path='x.pth')
    model = dict(trunk=dict(type='MultiStreamCNN', cnn=network, pretrained='mine.pth'))
    assert _without_foreign_weights(model)['trunk'] == dict(
        type='MultiStreamCNN',
        cnn=dict(type='mmpretrain.TIMMBackbone', model_name='resnet18'),
        pretrained='mine.pth',
    )


def test_a_network_of_another_kind_may_not_stand_for_a_trunk() -> None:
    class Other(BaseModule):
        pass

    (problem,) = check_config(changed(model__trunk=dict(type=Other)))
    assert problem.startswith('model.trunk.type: Other is not a backbone')


@pytest.mark.parametrize('value', ['x', -4])
def test_what_torch_refuses_of_a_part_of_ours_is_one_sentence(value: Any) -> None:
    """Values in dictionaries that a part unpacks, which no annotation describes."""
    head = dict(type='TextContrastHead', anchors=dict(dims=16), contrast=dict(hidden_dims=value))
    (problem,) = check_config(changed(model__head=head))
    assert problem.startswith('model' if value == -4 else 'model: ViewContrast cannot be built: TypeError: ')
