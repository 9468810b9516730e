"""No training step makes the host wait for a GPU, but where this file says so; found without one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from mmfas.analysis.gpu.training import whole_step
from mmfas.analysis.gpu.workloads import Method, build_large, small_methods
from mmfas.analysis.host_reads import host_reads_of
from mmfas.apis.model_index import configs_folder

#: Files that read in a step, by method: what waits for a mend, with the reason.
KNOWN = {
    # batch norm over the rows that have both modalities of a pair needs another way only where some lack one
    'dadm': ['mutual_mask.py'],
}
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
    found = places(SMALL[name])
    assert [place.partition(':')[0] for place in found] == KNOWN.get(name, [])


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
