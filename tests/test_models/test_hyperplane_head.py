"""The head with one classifier for each domain: published vectors, who takes part, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from dadm_twins import angular_loop
from golden_vectors import golden
from torch import Tensor
from torch.nn import functional

from mmfas.models import AngularMarginLoss, HyperplaneHead
from mmfas.models.heads import align_hyperplanes
from mmfas.structures import LIVE, SPOOF, FusedFeatures, domain_code

SPEC = dict(modalities=('rgb', 'ir'), fused_dims=4, modality_dims=2)

pytestmark = pytest.mark.engine


def published(prefix: str) -> dict[str, Tensor]:
    data = golden('dadm_hyperplane')
    return {name.removeprefix(prefix): value for name, value in data.items() if name.startswith(prefix)}


def planes(data: dict[str, Tensor], where: str) -> Tensor:
    found = [data[f'{where}w{i}'] for i in (1, 2, 3) if f'{where}w{i}' in data]
    return torch.stack([value.reshape(-1, value.shape[-1]) for value in found])


@pytest.mark.parametrize(('name', 'keep', 'norm'), [
    ('dadm', 0.995, 'rows'), ('dadm', 0.9, 'rows'), ('safas', 0.995, 'rows'), ('safas', 0.995, 'matrix'),
])  # fmt: skip
def test_golden_hyperplane_steps(name: str, keep: float, norm: str) -> None:
    data = published(f'{name}.')
    value, compared = planes(data, 'in.'), 0
    for step in range(1, 11):
        value = align_hyperplanes(value, keep, norm=norm)
        where = f'alpha{keep}.step{step}.out.'
        if f'{where}w1' in data:
            torch.testing.assert_close(value, planes(data, where), rtol=0, atol=1e-5)
            compared += 1
        if f'{where}w_test' in data:
            torch.testing.assert_close(value.mean(0), data[f'{where}w_test'], rtol=0, atol=1e-5)
    assert compared == 3
    start = planes(data, 'in.')
    assert (align_hyperplanes(start, 1.0) - start).abs().max() < 1e-6
    assert (align_hyperplanes(start, keep) - start).abs().max() > 1e-3


def test_golden_hyperplane_step_of_two_domains() -> None:
    data = published('safas.')
    start, where = planes(data, 'in.')[:2], 'two_domains.alpha0.99.step1.out.'
    torch.testing.assert_close(
        align_hyperplanes(start, 0.99, norm='matrix'), planes(data, where), rtol=0, atol=1e-5
    )


def test_norms_differ_where_rows_do() -> None:
    start = torch.randn(3, 2, 5)
    by_rows, whole = (align_hyperplanes(start, 0.9, norm=norm) for norm in ('rows', 'matrix'))
    assert (by_rows - whole).abs().max() > 1e-3
    torch.testing.assert_close(by_rows.norm(dim=2), start.norm(dim=2))
    torch.testing.assert_close(whole.flatten(1).norm(dim=1), start.flatten(1).norm(dim=1))


def test_domains_that_do_not_take_part_stay_and_draw_nobody() -> None:
    start = torch.randn(4, 2, 5)
    there = torch.tensor([True, False, True, False])
    found = align_hyperplanes(start, 0.9, taking_part=there)
    torch.testing.assert_close(found[there], align_hyperplanes(start[there], 0.9))
    assert torch.equal(found[~there], start[~there])
    alone = torch.tensor([False, False, True, False])
    assert torch.equal(align_hyperplanes(start, 0.9, taking_part=alone), start)


def batch(names: str, width: int = 4) -> tuple[FusedFeatures, Tensor, Tensor, Tensor]:
    """Make features, labels, presence and domain codes."""
    num = len(names)
    features = FusedFeatures(torch.randn(num, width), torch.randn(2, num, width // 2))
    codes = torch.tensor([domain_code(name) for name in names])
    return features, torch.arange(num) % 2, torch.ones(num, 2, dtype=torch.bool), codes


@pytest.mark.parametrize('single', [False, True])
def test_each_sample_is_classified_by_its_own_domain(single: bool) -> None:
    head = HyperplaneHead(('C', 'P', 'W'), hyperplanes=dict(single_logit=single), spec=SPEC)
    features, targets, present, codes = batch('CCWWCC')
    terms = head.loss_terms(features, targets, present, domain=codes)
    expected = []
    for row, label, plane in zip(features.fused, targets, head.planes[[0, 0, 2, 2, 0, 0]], strict=True):
        logits = plane @ row
        loss = functional.cross_entropy(logits, label) if not single else (
            functional.binary_cross_entropy_with_logits(logits[0], label.float()))  # fmt: skip
        expected.append(loss)
    torch.testing.assert_close(terms.main['cls'], torch.stack(expected).mean())
    assert set(terms.main) == {'cls'} and not terms.per_modality
    terms.main['cls'].backward()
    assert (head.planes.grad[1] == 0).all() and (head.planes.grad[0] != 0).any()


def test_score_is_that_of_the_mean_of_domains_that_were_seen() -> None:
    head = HyperplaneHead(('C', 'P', 'W'), spec=SPEC)
    features, targets, present, codes = batch('CCWW')
    before = head(features)
    torch.testing.assert_close(before, features.fused @ head.planes.mean(0).t())
    head.loss_terms(features, targets, present, domain=codes)
    assert head.is_trained.tolist() == [True, False, True]
    torch.testing.assert_close(head(features), features.fused @ head.planes[[0, 2]].mean(0).t())
    start = head.planes.detach().clone()
    head.after_step(0)
    assert torch.equal(head.planes[1], start[1]) and not torch.equal(head.planes[0], start[0])


def test_alignment_starts_at_its_epoch() -> None:
    head = HyperplaneHead(('C', 'W'), hyperplanes=dict(align_epoch=2), spec=SPEC)
    features, targets, present, codes = batch('CWCW')
    head.loss_terms(features, targets, present, domain=codes)
    start = head.planes.detach().clone()
    head.after_step(1)
    assert torch.equal(head.planes, start)
    head.after_step(2)
    assert not torch.equal(head.planes, start)


@pytest.mark.parametrize('names', ['CCCCPPPPWW', 'CCCCCCPPPP', 'CCCCCCCCCC'])
def test_angular_loss_equals_a_loop(names: str) -> None:
    domains = torch.tensor(['CPW'.index(name) for name in names])
    present = torch.rand(10, 3) > 0.3
    targets = torch.tensor([0, 1, 1, 0, 0, 1, 1, 1, 0, 0])
    features = torch.randn(3, 10, 5, requires_grad=True)
    loss = AngularMarginLoss(0.9, 0.6)(features, targets, domains, present, num_domains=3)
    expected = angular_loop(features, targets, domains, present, {LIVE: 0.9, SPOOF: 0.6})
    torch.testing.assert_close(loss, expected)
    if len(set(names)) > 1:
        for ours, theirs in zip(*(torch.autograd.grad(v, features) for v in (loss, expected)), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_further_losses_are_asked_for() -> None:
    head = HyperplaneHead(('C', 'W'), angular=dict(spoof=0.5), angular_weight=0.3, prototype_weight=0.3, spec=SPEC)
    head.seen.fill_(True)
    features, targets, present, codes = batch('CCWW')
    terms = head.loss_terms(features, targets, present, domain=codes)
    assert set(terms.main) == {'cls', 'angular'} and set(terms.per_modality) == {'rgb', 'ir'}
    numbers = torch.tensor([0, 0, 1, 1])
    angle = AngularMarginLoss(spoof=0.5)(features.per_modality, targets, numbers, present, num_domains=2)
    torch.testing.assert_close(terms.main['angular'], 0.3 * angle)


@pytest.mark.parametrize(('options', 'text'), [
    (dict(domains=()), 'domains must name'),
    (dict(hyperplanes=dict(keep=1.5)), r'keep must lie in \[0, 1\]'),
    (dict(hyperplanes=dict(norm='frobenius')), "norm be one of .* but got 0.995, 'frobenius'"),
    (dict(angular=dict(live=2.0), angular_weight=0.1), r'cosines in \[-1, 1\]'),
    (dict(angular=dict(reduction='sum'), angular_weight=0.1), 'reduction must be one of'),
    (dict(angular=dict(live=0.9)), 'angular needs angular_weight above 0'),
    (dict(mask_unseen=False), 'needs prototype_weight above 0'),
    (dict(prototype_weight=-1.0), 'must be at least 0'),
    (dict(angular_weight=0.1, spec={**SPEC, 'modality_dims': None}), 'per-modality features for angular_weight'),
])  # fmt: skip
def test_refusals(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        HyperplaneHead(**{'domains': ('C', 'W'), 'spec': SPEC, **options})


def test_foreign_domains_are_refused() -> None:
    head = HyperplaneHead(('C', 'W'), spec=SPEC)
    features, targets, present, codes = batch('CCSS')
    with pytest.raises(ValueError, match='none of model.head.domains'):
        head.loss_terms(features, targets, present, domain=codes)
    with pytest.raises(ValueError, match='HyperplaneHead needs the domain'):
        head.loss_terms(features, targets, present)
