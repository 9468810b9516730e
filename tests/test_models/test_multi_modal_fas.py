"""Tests of MultiModalFAS: dispatch, checks of the inputs, prediction, auxiliary losses, ownership."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mmfas.models import ConcatNeck, FASDataPreprocessor, LinearFASHead
from mmfas.registry import BACKBONES, FUSION_NECKS, MODELS
from mmfas.structures import FusedFeatures, LossTerms
from test_models.helpers import VIT, build, images, samples

pytestmark = pytest.mark.engine


def test_modes_agree() -> None:
    model, inputs, given = build().eval(), images(3), samples(3)
    logits = model(inputs)
    assert logits.shape == (3, 2)
    predicted = model(inputs, given, mode='predict')
    for sample, row in zip(predicted, logits, strict=True):
        assert sample.pred_score == pytest.approx(torch.softmax(row.detach(), 0)[1].item(), abs=1e-6)
        torch.testing.assert_close(sample.pred_logits, row.detach())
    terms = model(inputs, given, mode='loss_terms')
    assert isinstance(terms, LossTerms)
    losses = model(inputs, given, mode='loss')
    assert set(losses) == {'loss_cls'} and torch.equal(losses['loss_cls'], terms.main['cls'])


def test_presence_may_be_left_out() -> None:
    model, inputs = build().eval(), images(2)
    everything = {**inputs, 'present': torch.ones(2, 3, dtype=torch.bool)}
    assert torch.equal(model(inputs), model(everything))
    assert model(inputs, mode='predict')[1].pred_score == model(everything, mode='predict')[1].pred_score


def test_other_canonical_modalities_are_ignored() -> None:
    model, inputs = build(modalities=('rgb', 'ir')).eval(), images(2)
    assert torch.equal(model(inputs), model({m: inputs[m] for m in ('rgb', 'ir')}))


@pytest.mark.parametrize(
    ('change', 'error', 'match'),
    [
        (lambda x: x.pop('ir'), KeyError, r"missing are \['ir'\].*an absent modality keeps its key"),
        (lambda x: x.update(thermal=x['ir']), KeyError, r"unknown are \['thermal'\]"),
        (lambda x: x.update(ir=x['ir'][:1]), ValueError, 'must all have one shape'),
        (lambda x: x.update({m: x[m][:, :1] for m in list(x)}), ValueError, r'one shape \(B, 3, H, W\)'),
        (lambda x: x.update(present=torch.ones(2, 2, dtype=torch.bool)), ValueError, r'boolean mask \(2, 3\)'),
        (lambda x: x.update(present=torch.ones(2, 3)), ValueError, 'got torch.float32'),
    ],
)
def test_wrong_inputs_are_named(change: Callable[[dict], Any], error: type, match: str) -> None:
    inputs = images(2)
    change(inputs)
    with pytest.raises(error, match=match):
        build()(inputs)


def test_wrong_mode_and_missing_labels_are_refused() -> None:
    model = build()
    with pytest.raises(ValueError, match="mode must be one of .* but got 'logits'"):
        model(images(), samples(), mode='logits')
    with pytest.raises(ValueError, match='needs data_samples with labels'):
        model(images(), mode='loss')


@pytest.mark.parametrize('mode', ['predict', 'loss', 'loss_terms'])
def test_samples_without_any_modality_are_named(mode: str) -> None:
    present = torch.tensor([[True, False, False], [False, False, False], [False, False, False]])
    with pytest.raises(ValueError, match='cannot be scored: sample-1, sample-2; leave them out'):
        build()({**images(3), 'present': present}, samples(3), mode=mode)


def test_predict_transfers_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, moved, to_cpu = build().eval(), [], torch.Tensor.cpu

    def refuse(self: Tensor) -> float:
        raise AssertionError('one value at a time')

    monkeypatch.setattr(torch.Tensor, 'cpu', lambda self: moved.append(tuple(self.shape)) or to_cpu(self))
    monkeypatch.setattr(torch.Tensor, 'item', refuse)
    model(images(5), samples(5), mode='predict')
    assert moved == [(5, 3)]


def test_sure_scores_keep_their_ranks() -> None:
    """Logits 20 and 30 apart both give 1.0 in single precision, and a tie decides TPR at a low FPR."""
    model = build().eval()
    margins = torch.tensor([-30.0, -20.0, 0.0, 20.0, 30.0])
    model.head.forward = lambda features: torch.stack([-margins / 2, margins / 2], dim=1)
    scores = [sample.pred_score for sample in model(images(5), mode='predict')]
    assert scores == sorted(set(scores)) and len(scores) == 5
    assert scores == pytest.approx((1 / (1 + torch.exp(-margins.double()))).tolist(), rel=1e-12)


@pytest.mark.parametrize('neck', ['ConcatNeck', 'CrossAttentionNeck', 'AMANeck'])
def test_mixed_precision_trains_and_scores_in_single(neck: str) -> None:
    head = dict(type='LinearFASHead', modality_loss_weight=1.0)
    model, inputs, given = build(neck=dict(type=neck), head=head), images(4), samples(4)
    exact = [s.pred_score for s in model.eval()(inputs, samples(4), mode='predict')]
    with torch.autocast('cpu', torch.bfloat16):
        predicted = model(inputs, given, mode='predict')
        loss = sum(model.train()(inputs, given, mode='loss').values())
    loss.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
    assert predicted[0].pred_logits.dtype == torch.float32
    assert [s.pred_score for s in predicted] == pytest.approx(exact, abs=0.05)


def test_raw_bytes_go_through_the_preprocessor() -> None:
    model, given = build().eval(), samples(2)
    given[1].present = torch.tensor([True, False, True])
    raw = {m: torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8) for m in images()}
    assert isinstance(model.data_preprocessor, FASDataPreprocessor)
    before = [s.pred_score for s in model.test_step(dict(inputs=raw, data_samples=given))]
    raw['depth'][1] = 77  # absent: must not matter
    assert [s.pred_score for s in model.test_step(dict(inputs=raw, data_samples=given))] == before


@FUSION_NECKS.register_module(name='NeckWithAuxiliaryLoss')
class _NeckWithAuxiliaryLoss(ConcatNeck):
    """Reports a loss of its own, and the domains it is told."""

    def finish(self, streams: Tensor, state: dict, readout: Callable) -> FusedFeatures:
        fused = super().finish(streams, state, readout).fused
        maps = {'domain': state['domain']} if 'domain' in state else {}
        return FusedFeatures(fused, aux_losses={'balance': fused.square().mean()}, maps=maps)


def test_auxiliary_losses_are_added() -> None:
    model = build(neck=dict(type='NeckWithAuxiliaryLoss'))
    losses = model(images(), samples(), mode='loss')
    assert set(losses) == {'loss_cls', 'loss_aux_balance'} and losses['loss_aux_balance'] > 0


def test_domains_are_known_in_training_only() -> None:
    model, seen = build(neck=dict(type='NeckWithAuxiliaryLoss')), []
    finish = model.neck.finish
    model.neck.finish = lambda *args: seen.append(finish(*args)) or seen[-1]
    model(images(4), samples(4), mode='loss')
    domain = seen[-1].maps['domain']
    assert domain[0] == domain[2] and domain[0] != domain[1]
    model(images(4), samples(4), mode='predict')
    assert 'domain' not in seen[-1].maps


def test_modality_parameters_are_collected_from_all_parts() -> None:
    model = build(
        trunk={**VIT, 'per_modality': ('cls',)}, head=dict(type='LinearFASHead', modality_loss_weight=1.0)
    )
    owned = model.modality_parameters()
    assert [id(p) for p, _ in owned['ir']] == [
        id(model.trunk.embedding.cls_token),
        id(model.head.modality_classifier.weight),
        id(model.head.modality_classifier.bias),
    ]
    assert {index for _, index in owned['ir']} == {2}


def test_finished_parts_are_accepted_and_must_fit() -> None:
    trunk = BACKBONES.build(VIT, modalities=('rgb', 'ir'))
    head = LinearFASHead(spec=dict(modalities=('rgb', 'ir'), fused_dims=32))
    model = build(modalities=('rgb', 'ir'), trunk=trunk, head=head)
    assert model.trunk is trunk and model.head is head
    with pytest.raises(ValueError, match=r"MultiStreamViT has the modalities \('rgb', 'ir'\), but the model"):
        build(trunk=trunk)


def test_a_preprocessor_of_other_modalities_is_refused() -> None:
    with pytest.raises(ValueError, match='FASDataPreprocessor has the modalities'):
        build(data_preprocessor=dict(type='FASDataPreprocessor', modalities=('rgb',)))


def test_parts_in_the_wrong_place_are_refused() -> None:
    with pytest.raises(TypeError, match='ConcatNeck is a fusion neck, not a backbone'):
        build(trunk=dict(type='ConcatNeck'))


def test_building_changes_no_config() -> None:
    cfg = dict(
        type='mmfas.MultiModalFAS', trunk=dict(VIT), neck=dict(type='ConcatNeck'), head=dict(type='LinearFASHead')
    )
    text = repr(cfg)
    MODELS.build(cfg)
    assert repr(cfg) == text


@pytest.mark.slow
def test_importing_the_models_is_light() -> None:
    heavy = ('mmpretrain', 'torchvision', 'matplotlib')
    code = f'import sys, mmfas.models; print([m for m in {heavy} if m in sys.modules])'
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == '[]'
