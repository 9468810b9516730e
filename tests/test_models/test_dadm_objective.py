"""DADM as a whole at one step of training: every loss and every gradient beside loops over samples and pairs."""

from __future__ import annotations

import pytest
import torch
from dadm_objective import dadm_objective
from torch import Tensor

from mmfas.models.losses import information
from mmfas.structures import MODALITIES, domain_codes_of
from test_models.helpers import build, images, perturb, samples

NECK = dict(type='MutualMaskNeck', interaction_dims=4, adapter_dims=4, dropout=0.0)
HEAD = dict(type='HyperplaneHead', domains=('C', 'P', 'W'), angular_weight=0.3, prototype_weight=0.3)
#: Which modalities the samples have: all; depth is never paired with ir; one sample has a single modality.
CASES = {
    'whole': [[1, 1, 1]] * 6,
    'missing': [[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]],
    'one pair': [[1, 0, 1], [1, 1, 0], [1, 0, 1], [1, 1, 0], [0, 1, 0], [1, 1, 0]],
}

pytestmark = pytest.mark.engine


@pytest.mark.parametrize('case', CASES)
def test_whole_dadm_objective_equals_loops(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = perturb(build(neck=NECK, head=HEAD).double()).train()
    present, data = torch.tensor(CASES[case]).bool(), samples(6)
    model.head.prototypes.normal_()
    model.head.seen.fill_(True)[:, 2] = False  # the held-out domain
    for i, sample in enumerate(data):
        sample.gt_label, sample.present = (0, 0, 1, 1, 0, 1)[i], present[i]
    given = {m: x.double() for m, x in images(6).items()}
    orders: list[Tensor] = []
    draw = information.draw_orders
    monkeypatch.setattr(information, 'draw_orders', lambda rows: orders.append(draw(rows)) or orders[-1])
    terms = model({**given, 'present': present}, data, mode='loss_terms')
    found = {**terms.main, **{m: total / count for m, (total, count) in terms.per_modality.items()}}
    targets = torch.tensor([sample.gt_label for sample in data])
    domains = model.head.domain_numbers(domain_codes_of(data, torch.device('cpu')))
    expected = dadm_objective(model, given, targets=targets, domains=domains, present=present, orders=orders)
    trusts = {m: expected.pop(f'confidence_{m}') for m in MODALITIES}
    for name, value in terms.confidence.items():
        torch.testing.assert_close(value, trusts[name], msg=name)
    assert set(found) == set(expected)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], msg=name)
        both = (
            torch.autograd.grad(loss, list(parameters.values()), retain_graph=True, materialize_grads=True)
            for loss in (value, expected[name])
        )
        for where, ours, theirs in zip(parameters, *both, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9, msg=f'{name} {where}')
