"""No training step makes the host wait for a GPU, but through the engine's own logging; found without one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
from test_models.helpers import build, images, perturb
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmfas.analysis.gpu.training import whole_step
from mmfas.analysis.gpu.workloads import Method, build_large, host_batch, small_methods
from mmfas.analysis.host_reads import HostReads, host_reads_of
from mmfas.apis.model_index import configs_folder
from mmfas.models import MultiModalFAS
from mmfas.models.fas import multi_modal_fas
from mmfas.models.fas.batch import context_of, host_mask_of
from mmfas.structures import MODALITIES, FASDataSample

RESNET = dict(
    type='MultiStreamCNN', cnn=dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8)
)
SMALL = {method.name: method for method in small_methods(configs_folder(), is_tiny=True)}


def places(method: Method, *, clips: bool = False) -> list[str]:
    """Where a step of a method makes the host wait."""
    model, cfg = build_large(method, torch.device('cpu'))
    return host_reads_of(model, partial(whole_step, cfg=cfg, clips=clips))


@pytest.mark.parametrize(
    ('name', 'waits'),
    [
        ('item', True),
        ('nonzero', True),
        ('mask', True),
        ('to host', True),
        ('list to device', True),
        ('list to device, without waiting', False),
        ('where', False),
        ('full', False),
        ('arithmetic', False),
    ],
)
def test_host_reads_are_found(name: str, waits: bool) -> None:
    calls = {
        'item': lambda x, d: x.sum().item(),
        'nonzero': lambda x, d: (x > 0).nonzero(),
        'mask': lambda x, d: x[x > 0],
        'to host': lambda x, d: x.cpu(),
        'list to device': lambda x, d: torch.tensor([1, 2]).to(d),
        'list to device, without waiting': lambda x, d: torch.tensor([1, 2]).to(d, non_blocking=True),
        'where': lambda x, d: torch.where(x > 0, x, 0.0),
        'full': lambda x, d: x.new_full((), 0.5) * x,
        'arithmetic': lambda x, d: (x.requires_grad_() * 2).sum().backward(),
    }

    def prepare(layer: nn.Module) -> Callable[[], object]:
        device = layer.weight.device
        return lambda: calls[name](torch.ones(3, device=device), device)

    assert bool(host_reads_of(nn.Linear(1, 1), prepare)) == waits


@pytest.mark.engine
@pytest.mark.usefixtures('small_and_quiet')
@pytest.mark.parametrize('name', sorted(SMALL))
def test_a_training_step_does_not_make_the_host_wait(name: str) -> None:
    assert places(SMALL[name]) == []


@pytest.mark.engine
@pytest.mark.usefixtures('small_and_quiet')
@pytest.mark.parametrize(
    'rule',
    [
        dict(type='PCGrad'),
        dict(type='OGMGE', noise=0.0),  # nothing can be drawn without values
        dict(type='Sum'),
    ],
    ids=lambda rule: rule['type'],
)
def test_no_gradient_rule_makes_the_host_wait(rule: dict[str, Any]) -> None:
    mmdg = SMALL['mmdg']
    method = Method('mmdg', mmdg.config, {**mmdg.options, 'optim_wrapper.modulator': rule})
    assert places(method) == []


@pytest.mark.engine
@pytest.mark.usefixtures('small_and_quiet')
def test_clipping_by_the_engine_makes_the_host_wait_once() -> None:
    found = places(SMALL['concat'], clips=True)
    assert [place.rpartition(' ')[2] for place in found] == ['_clip_grad']


#: Two of four samples lack a modality, so that batch norm must know which rows there are.
PRESENT = torch.tensor([[True, True, False], [True, True, True], [False, True, True], [True, True, True]])
WITH_BATCH_NORM = {
    'one network for all': dict(trunk=RESNET),
    'networks of their own': dict(trunk={**RESNET, 'per_modality': ('stem', 'stages:0')}),
    'pairs of modalities': dict(neck=dict(type='MutualMaskNeck', interaction_dims=4, adapter_dims=4, dropout=0.0)),
}


def batch(model: MultiModalFAS) -> dict[str, Any]:
    """Draw a batch in the memory of the host, of which some modalities are absent."""
    data = host_batch(model, len(PRESENT), pinned=False)
    for sample, row in zip(data['data_samples'], PRESENT, strict=True):
        sample.present = row
    return data


def run_step(model: MultiModalFAS, data: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a batch forwards and backwards; return what every batch norm was given: shapes."""
    seen: list[tuple[Any, ...]] = []
    for name, module in model.train().named_modules():
        if not isinstance(module, _BatchNorm):
            continue
        module.register_forward_pre_hook(
            lambda _, args, name=name: seen.append((name, *(getattr(x, 'shape', x is None) for x in args)))
        )
    terms = model(**model.data_preprocessor(dict(data), True), mode='loss_terms')
    torch.stack(list(terms.to_losses().values())).sum().backward()
    return seen


@pytest.mark.engine
@pytest.mark.parametrize('name', WITH_BATCH_NORM)
def test_absent_modalities_are_known_without_asking_the_device(name: str) -> None:
    model = build(**WITH_BATCH_NORM[name])
    data = batch(model)
    without_values = copy.deepcopy(model).to('meta')
    with HostReads() as reads:
        there = run_step(without_values, data)
    assert reads.places == []
    assert there == run_step(model, data), 'as many rows as where they can be read'


@pytest.mark.engine
@pytest.mark.parametrize('name', WITH_BATCH_NORM)
def test_the_mask_of_the_host_gives_what_a_read_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known, read = build(**WITH_BATCH_NORM[name]), build(**WITH_BATCH_NORM[name])
    perturb(known)
    read.load_state_dict(known.state_dict())
    data = batch(known)
    monkeypatch.setattr(multi_modal_fas, 'host_mask_of', lambda present, *_: PRESENT)
    torch.manual_seed(0)
    run_step(known, data)
    monkeypatch.setattr(multi_modal_fas, 'host_mask_of', lambda *_: None)
    torch.manual_seed(0)
    run_step(read, data)
    assert all(
        torch.equal(a, b) for a, b in zip(known.state_dict().values(), read.state_dict().values(), strict=True)
    )
    gradients = [[p.grad for p in model.parameters() if p.grad is not None] for model in (known, read)]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True)) and gradients[0]


@pytest.mark.engine
def test_where_the_samples_do_not_say_the_device_is_asked() -> None:
    model = build(trunk=RESNET)
    data = batch(model)
    present = PRESENT.to('meta')
    silent = [FASDataSample() for _ in data['data_samples']]
    with HostReads() as reads:
        assert host_mask_of(present, silent, MODALITIES) is None
        assert torch.equal(host_mask_of(present, data['data_samples'], MODALITIES), PRESENT)
        assert reads.places == []
        context = context_of({**images(4), 'present': PRESENT}, model.trunk, on_host=PRESENT.clone())
        assert torch.equal(context.readable_present, PRESENT)
    for sample in data['data_samples'][:1]:
        sample.present = torch.zeros(3, dtype=torch.bool)
    with pytest.raises(ValueError, match='samples without any of the modalities .*: 0;'):
        host_mask_of(present, data['data_samples'], MODALITIES)
    with pytest.raises(RuntimeError, match='not that of the data samples'):
        context_of({**images(4), 'present': PRESENT}, model.trunk, on_host=~PRESENT)
