"""Tests of LinearFASHead and the losses."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from mmfas.models import CrossEntropyLoss, FocalLoss, LinearFASHead
from mmfas.models.heads.base import liveness
from mmfas.structures import FusedFeatures

SPEC = dict(modalities=('rgb', 'depth', 'ir'), fused_dims=6, modality_dims=4, neck='SomeNeck')
PRESENT = torch.tensor([[True, True, False], [True, False, False]])
TARGETS = torch.tensor([1, 0])


def features(confidence: torch.Tensor | None = None) -> FusedFeatures:
    return FusedFeatures(torch.randn(2, 6), per_modality=torch.randn(3, 2, 4), confidence=confidence)


@pytest.mark.parametrize('shared', [True, False])
def test_per_modality_losses_are_sums_over_present_samples(shared: bool) -> None:
    head = LinearFASHead(modality_loss_weight=0.5, shared_classifier=shared, loss_weight=2.0, spec=SPEC)
    given = features()
    terms = head.loss_terms(given, TARGETS, PRESENT)
    expected = 2 * functional.cross_entropy(head(given), TARGETS)
    torch.testing.assert_close(terms.main['cls'], expected)
    for m, name in enumerate(('rgb', 'depth', 'ir')):
        if shared:
            logits = head.modality_classifier(given.per_modality[m])
        else:
            layer = head.modality_classifier
            logits = given.per_modality[m] @ layer.weight[m].t() + layer.bias[m]
        torch.testing.assert_close(head.modality_logits(given)[m], logits)
        rows = PRESENT[:, m]
        total, count = terms.per_modality[name]
        assert int(count) == int(rows.sum()) and total.dim() == count.dim() == 0
        torch.testing.assert_close(
            total, 0.5 * functional.cross_entropy(logits[rows], TARGETS[rows], reduction='sum')
        )


def test_without_weight_there_are_no_modality_classifiers() -> None:
    head = LinearFASHead(spec={**SPEC, 'modality_dims': None})
    given = features()
    assert head.modality_logits(given) is None and head.modality_parameters() == {}
    assert not head.loss_terms(given, TARGETS, PRESENT).per_modality
    assert {n for n, _ in head.named_parameters()} == {'classifier.weight', 'classifier.bias'}


def test_a_neck_without_modality_features_is_refused() -> None:
    with pytest.raises(ValueError, match='LinearFASHead needs per-modality features .* SomeNeck yields only'):
        LinearFASHead(modality_loss_weight=1.0, spec={**SPEC, 'modality_dims': None})


def test_own_classifiers_belong_to_their_modality() -> None:
    head = LinearFASHead(modality_loss_weight=1.0, spec=SPEC)
    assert [index for _, index in head.modality_parameters()['depth']] == [1, 1]


def test_confidence_is_averaged_over_present_samples() -> None:
    confidence = torch.tensor([[0.2, 0.4], [0.6, 99.0], [99.0, 99.0]])
    terms = LinearFASHead(spec=SPEC).loss_terms(features(confidence), TARGETS, PRESENT)
    values = {name: round(float(value), 6) for name, value in terms.confidence.items()}
    assert values == {'rgb': 0.3, 'depth': 0.6, 'ir': 0.0}


def test_liveness_is_the_softmax_of_class_one() -> None:
    logits = torch.tensor([[0.0, 2.0], [3.0, -1.0]])
    torch.testing.assert_close(liveness(logits), torch.sigmoid(logits[:, 1] - logits[:, 0]))


def test_loss_is_built_from_config_or_taken_as_it_is() -> None:
    focal = FocalLoss(gamma=1.0)
    head = LinearFASHead(focal, modality_loss=dict(type='CrossEntropyLoss'), modality_loss_weight=1.0, spec=SPEC)
    assert head.loss is focal and isinstance(head.modality_loss, CrossEntropyLoss)
    with pytest.raises(TypeError, match='is a head, not a loss'):
        LinearFASHead(dict(type='LinearFASHead'), spec=SPEC)


@pytest.mark.parametrize('smoothing', [0.0, 0.2])
@pytest.mark.parametrize('weight', [None, (1.0, 3.0)])
def test_cross_entropy_equals_torch(smoothing: float, weight: tuple[float, float] | None) -> None:
    logits, targets = torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 1])
    given = None if weight is None else torch.tensor(weight)
    expected = functional.cross_entropy(logits, targets, given, label_smoothing=smoothing, reduction='none')
    torch.testing.assert_close(CrossEntropyLoss(smoothing, weight)(logits, targets), expected)


def test_focal_loss_equals_its_formula() -> None:
    logits, targets = torch.randn(5, 2, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1])
    p = torch.softmax(logits, 1)[torch.arange(5), targets]
    torch.testing.assert_close(FocalLoss(gamma=2.0)(logits, targets), -((1 - p) ** 2) * p.log())
    torch.testing.assert_close(FocalLoss(gamma=0.0)(logits, targets), -p.log())


def test_focal_gradient_is_finite_for_a_sure_sample() -> None:
    logits = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    FocalLoss(gamma=0.5)(logits, torch.tensor([1])).sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_bad_loss_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r'label_smoothing must lie in \[0, 1\), but got 1'):
        CrossEntropyLoss(1.0)
    with pytest.raises(ValueError, match='gamma must be at least 0'):
        FocalLoss(-1.0)
