"""Tests of the prototype head: published vectors, a hand-made case, distance zero, what is counted."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from golden_vectors import golden
from torch import Tensor

from mmfas.models import PrototypeHead
from mmfas.models.heads import single_side_prototypical_loss
from mmfas.structures import FusedFeatures, domain_code
from test_models.helpers import build, images, samples

SPEC = dict(modalities=('rgb', 'ir'), fused_dims=4, modality_dims=2)

pytestmark = pytest.mark.engine


def codes(names: str) -> Tensor:
    return torch.tensor([domain_code(name) for name in names])


def fused(per_modality: Tensor, **others: Any) -> FusedFeatures:
    return FusedFeatures(fused=per_modality.transpose(0, 1).flatten(1), per_modality=per_modality, **others)


def head_with(prototypes: list, seen: list | None = None, **options: Any) -> PrototypeHead:
    """Make a head for rgb and ir with domains C and W whose prototypes (K, 2) are the same in both modalities."""
    head = PrototypeHead(('C', 'W'), spec=SPEC, **options)
    head.prototypes.copy_(torch.tensor(prototypes).expand(2, -1, -1))
    head.seen.copy_(torch.tensor(seen or [True] * 3).expand(2, -1))
    return head


def test_golden_mmdg_ssp_loss() -> None:
    data = golden('mmdg_ssp_loss')
    features = data['feat'][None].clone().requires_grad_(True)
    loss = single_side_prototypical_loss(features, data['prototypes'][None], data['target']).mean()
    loss.backward()
    torch.testing.assert_close(loss, data['loss'], rtol=1e-5, atol=0)
    torch.testing.assert_close(features.grad[0], data['grad_feat'], rtol=1e-5, atol=1e-7)
    other = single_side_prototypical_loss(features, data['prototypes'][None], data['target'].flip(0)).mean()
    assert (other - data['loss']).abs() > 1e-2


def test_hand_made_mmdg_case() -> None:
    # live at the origin, spoof of C at (3, 4), spoof of W at (0, 1): distances are 0, 5 and 1 from the origin
    head = head_with([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]], prototype_weight=0.5)
    features = torch.zeros(2, 3, 2)
    terms = head.loss_terms(
        fused(features), torch.tensor([1, 0, 0]), torch.ones(3, 2, dtype=torch.bool), domain=codes('CCW')
    )
    norm = math.log(1 + math.exp(-5) + math.exp(-1))
    for name in ('rgb', 'ir'):
        total, count = terms.per_modality[name]
        assert total.item() == pytest.approx(0.5 * (norm + (norm + 5) + (norm + 1)), rel=1e-6)
        assert count == 3
    assert set(terms.main) == {'cls'}


def test_gradient_is_finite_at_a_prototype() -> None:
    prototypes = torch.tensor([[[0.0, 0.0], [3.0, 4.0]]])
    for features in (torch.zeros(1, 1, 2), torch.full((1, 1, 2), 1e-30)):
        features = features.requires_grad_(True)
        single_side_prototypical_loss(features, prototypes, torch.tensor([0])).sum().backward()
        # only the spoof prototype pushes, away from itself, with the probability it has
        push = 1 / (1 + math.exp(5))
        torch.testing.assert_close(features.grad[0, 0], push * torch.tensor([0.6, 0.8]), rtol=1e-5, atol=0)


def test_loss_equals_a_loop_over_samples() -> None:
    features, prototypes = torch.randn(3, 5, 4).double(), torch.randn(3, 6, 4).double()
    targets = torch.tensor([0, 5, 2, 2, 1])
    seen = torch.tensor(
        [[True] * 6, [True, True, True, False, False, True], [True, True, True, False, True, True]]
    )
    losses = single_side_prototypical_loss(features, prototypes, targets, seen)
    for m in range(3):
        for b in range(5):
            weights = {k: math.exp(-(features[m, b] - prototypes[m, k]).norm()) for k in range(6) if seen[m, k]}
            expected = -math.log(weights[int(targets[b])] / sum(weights.values()))
            assert losses[m, b].item() == pytest.approx(expected, rel=1e-9)


def test_unseen_classes_take_no_part() -> None:
    prototypes = [[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]
    features = torch.zeros(2, 3, 2, requires_grad=True)
    targets, present = torch.tensor([1, 0, 0]), torch.ones(3, 2, dtype=torch.bool)
    terms = head_with(prototypes, [True, True, False], prototype_weight=1.0).loss_terms(
        fused(features, confidence=torch.tensor([[1.0, 0.5, 9.0], [0.2, 0.4, 9.0]])),
        targets,
        present,
        domain=codes('CCW'),
    )
    total, count = terms.per_modality['rgb']
    norm = math.log(1 + math.exp(-5))
    assert count == 2 and total.item() == pytest.approx(norm + norm + 5, rel=1e-6)
    assert terms.confidence['rgb'].item() == pytest.approx(0.75)
    total.backward()
    assert torch.isfinite(features.grad).all() and (features.grad[0, 2] == 0).all()
    nothing = head_with(prototypes, [False] * 3).loss_terms(fused(features), targets, present, domain=codes('CCW'))
    assert [v.item() for pair in nothing.per_modality.values() for v in pair] == [0.0] * 4


def test_absent_modalities_are_not_counted() -> None:
    head = head_with([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    present = torch.tensor([[True, False], [True, True]])
    targets, domain = torch.tensor([1, 0]), codes('CC')
    features = torch.randn(2, 2, 2)
    terms = head.loss_terms(fused(features), targets, present, domain=domain)
    assert [int(count) for _, count in terms.per_modality.values()] == [2, 1]
    sums, counts = head.class_sums(fused(features), targets, present, domain=domain)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0]]
    torch.testing.assert_close(sums[0, 0], features[0, 0].double())
    assert (sums[1, 0] == 0).all()


def test_classes_are_single_sided() -> None:
    head = head_with([[0.0, 0.0]] * 3)
    assert head.classes_of(torch.tensor([1, 0, 1, 0]), codes('CCWW')).tolist() == [0, 1, 0, 2]
    # a live sample of another domain is live; a spoof of one has no class
    assert head.classes_of(torch.tensor([1]), codes('S')).tolist() == [0]
    with pytest.raises(ValueError, match=r"none of model.head.domains=\('C', 'W'\); add it"):
        head.classes_of(torch.tensor([1, 0]), codes('CS'))
    with pytest.raises(ValueError, match='PrototypeHead needs the domain of every training sample'):
        head.classes_of(torch.tensor([1]), None)


def test_prototypes_move_with_momentum() -> None:
    head = PrototypeHead(('C', 'W'), spec=SPEC)
    sums = torch.tensor([[2.0, 4.0], [3.0, 3.0], [0.0, 0.0]]).double().expand(2, -1, -1)
    head.update_prototypes(sums, torch.tensor([2.0, 3.0, 0.0]).double().expand(2, -1), momentum=0.0)
    assert head.prototypes[0].tolist() == [[1.0, 2.0], [1.0, 1.0], [0.0, 0.0]]
    assert head.seen[1].tolist() == [True, True, False]
    # live moves, the spoofs of C are missed and stay, those of W are new and taken as they are
    later = torch.tensor([[6.0, 0.0], [0.0, 0.0], [5.0, 7.0]]).double().expand(2, -1, -1)
    head.update_prototypes(later, torch.tensor([1.0, 0.0, 1.0]).double().expand(2, -1), momentum=0.2)
    torch.testing.assert_close(head.prototypes[1], torch.tensor([[5.0, 0.4], [1.0, 1.0], [5.0, 7.0]]))
    assert head.seen.all()


def test_unseen_classes_are_zero_as_released() -> None:
    head = PrototypeHead(('C', 'W'), mask_unseen=False, spec=SPEC)
    assert head.seen.all()
    sums = torch.tensor([[2.0, 4.0], [3.0, 3.0], [0.0, 0.0]]).double().expand(2, -1, -1)
    head.update_prototypes(sums, torch.tensor([2.0, 3.0, 0.0]).double().expand(2, -1), momentum=0.0)
    missed = torch.tensor([2.0, 0.0, 0.0]).double().expand(2, -1)
    head.update_prototypes(
        torch.tensor([[2.0, 4.0], [0.0, 0.0], [0.0, 0.0]]).double().expand(2, -1, -1), missed, 0.2
    )
    torch.testing.assert_close(head.prototypes[0], torch.tensor([[1.0, 2.0], [0.2, 0.2], [0.0, 0.0]]))
    assert head.seen.all()


def test_prototypes_are_state_without_gradient() -> None:
    model = build(head=dict(type='PrototypeHead', domains=('C', 'W')))
    with torch.no_grad():
        features = model.extract_feat(images(4))
    head = model.head
    everyone = torch.ones(4, 3, dtype=torch.bool)
    head.update_prototypes(
        *head.class_sums(features, torch.tensor([0, 1, 0, 1]), everyone, domain=codes('CWWC')), 0.0
    )
    loss = model(images(4), samples(4), mode='loss')
    assert {'loss_cls', 'loss_rgb', 'loss_depth', 'loss_ir'} == set(loss) and loss['loss_ir'] > 0
    sum(loss.values()).backward()
    assert head.prototypes.grad is None and model.trunk.vit.layers[0].attn.qkv.weight.grad.abs().sum() > 0
    other = build(head=dict(type='PrototypeHead', domains=('C', 'W')))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.head.prototypes, head.prototypes) and other.head.seen.any()
    assert not torch.equal(other.head.prototypes, torch.zeros_like(head.prototypes))


@pytest.mark.parametrize('domains', [(), ('C', 'C')])
def test_domains_are_named_once(domains: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match='domains must name the training domains, each once'):
        PrototypeHead(domains, spec=SPEC)


def test_neck_without_modality_features_is_refused() -> None:
    with pytest.raises(ValueError, match='PrototypeHead needs per-modality features for the SSP loss, but Joint'):
        PrototypeHead(('C',), spec=dict(modalities=('rgb',), fused_dims=4, neck='Joint'))
