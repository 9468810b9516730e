"""A rule that would change nothing is refused before the first step, whatever trunk, neck and head are joined."""

from __future__ import annotations

import copy
import functools
import logging
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from contracts.cases import SLOTS, build_model, for_training, make_batch, model_cfg, names_in, perturb
from modulated_step import Keeper
from torch import Tensor, nn

from mmfas.cli.check import main as check
from mmfas.config.fitting import build_without_memory
from mmfas.config.idle_rules import idle_rule_problems
from mmfas.engine.modulators import OGMGE
from mmfas.models import LinearFASHead, MultiModalFAS, PrototypeHead
from mmfas.registry import GRADIENT_MODULATORS
from mmfas.structures import MODALITIES, LossTerms, ModalityOffer

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures('small_and_quiet')]
#: A rule asks the neck what belongs to a modality and the head for losses of it. So: every neck with a head that
#: has such losses and with one whose losses are switched off, and every head behind a plain neck and an adapter.
PAIRS = sorted(
    {
        *product(names_in(SLOTS['neck']), ('PrototypeHead', 'no losses')),
        *product(('ConcatNeck', 'UAdapterNeck'), names_in(SLOTS['head'])),
    }
)
RULES = ['ReGrad', 'PCGrad', 'OGMGE', 'Sum']
DOMAINS = dict(domains=('C', 'W'), mask_unseen=False)


def model_of(neck: str, head: str, *, moved: bool = True, **head_options: Any) -> MultiModalFAS:
    """Build a tiny model; every parameter is moved, so that nothing is zero by initialisation."""
    model = build_model(neck=neck, head='LinearFASHead' if head == 'no losses' else head)
    if head == 'no losses':
        model.head = LinearFASHead(spec=model.neck.feature_spec)
    elif head == 'PrototypeHead':
        model.head = PrototypeHead(**DOMAINS, **head_options, spec=model.neck.feature_spec)
        model.head.prototypes.normal_(generator=torch.Generator().manual_seed(0))
    return perturb(model) if moved else model


def terms_of(model: MultiModalFAS) -> LossTerms:
    batch = for_training(model, make_batch(4))
    return model(**model.data_preprocessor(batch, True), mode='loss_terms')


def step_of(model: MultiModalFAS, rule: dict[str, Any] | str) -> dict[str, Tensor]:
    """Take one step and return its gradients."""
    torch.manual_seed(0)
    rule = dict(type=rule) if isinstance(rule, str) else rule
    wrapper = Keeper(torch.optim.SGD(model.parameters(), lr=0.1), rule)
    model.train_step(for_training(model, make_batch(4)), wrapper)
    return wrapper.kept[0]


def difference(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    assert one.keys() == two.keys()
    return max(float((one[name] - two[name]).abs().max()) for name in one)


def reached_by_others(model: MultiModalFAS) -> bool:
    """Whether the loss of a modality reaches, before the head, what another one owns."""
    owned = [
        (modality, *(entry if isinstance(entry, tuple) else (entry, slice(None))))
        for part in (model.trunk, model.neck)
        for modality, entries in part.modality_parameters().items()
        for entry in entries
    ]
    losses = terms_of(model).per_modality
    for modality, (total, _) in losses.items():
        others = [(p, index) for name, p, index in owned if name != modality and p.requires_grad]
        if not others:
            continue
        grads = torch.autograd.grad(total, [p for p, _ in others], retain_graph=True, allow_unused=True)
        if any(g is not None and bool(g[index].any()) for g, (_, index) in zip(grads, others, strict=True)):
            return True
    return False


@functools.cache
def plain_step(neck: str, head: str) -> dict[str, Tensor]:
    """Return the gradients of a step without a rule."""
    return step_of(model_of(neck, head), 'Sum')


@pytest.mark.parametrize(('neck', 'head'), PAIRS)
def test_what_a_model_offers_is_so(neck: str, head: str) -> None:
    model = model_of(neck, head)
    offer, terms = model.modality_offer(), terms_of(model)
    assert offer.losses == tuple(terms.per_modality)
    assert offer.has_confidence == bool(terms.confidence)
    assert bool(offer.contested) == reached_by_others(model) or not offer.losses
    assert set(offer.contested) <= set(offer.owned) <= set(offer.trained)
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert set(offer.trained) == names and offer.head == type(model.head).__name__


@pytest.mark.parametrize('rule', RULES)
@pytest.mark.parametrize(('neck', 'head'), PAIRS)
def test_a_rule_changes_something_or_says_that_it_does_not(
    neck: str, head: str, rule: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = model_of(neck, head)
    before = copy.deepcopy(model.state_dict())
    built = GRADIENT_MODULATORS.build(dict(type=rule))
    offer = model.modality_offer()
    refusal, doubt = built.refusal(offer), built.doubt(offer)
    assert (refusal is not None) == (rule != 'Sum' and not offer.losses)
    if refusal is not None:
        assert f'{type(model.head).__name__} gives no loss per modality' in refusal
        with pytest.raises(ValueError, match='optim_wrapper.modulator: .* gives no loss per modality'):
            step_of(model, rule)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        return
    with caplog.at_level(logging.WARNING):
        moved = difference(step_of(model, rule), plain_step(neck, head))
    if rule == 'Sum' or doubt is not None:
        assert moved < 1e-6
    elif rule != 'PCGrad':  # which changes nothing where no gradients are in conflict
        assert moved > 1e-7
    assert (doubt is not None) == (rule == 'ReGrad' and not offer.contested and not offer.has_confidence)


@pytest.mark.parametrize('rule', ['ReGrad', 'OGMGE'])
def test_nothing_owned_or_all_of_it_frozen(rule: str) -> None:
    model = model_of('AMANeck', 'PrototypeHead')
    assert step_of(model, rule)
    for part in (model.trunk, model.neck):
        for entries in part.modality_parameters().values():
            for entry in entries:
                (entry[0] if isinstance(entry, tuple) else entry).requires_grad_(False)
    with pytest.raises(ValueError, match=f'{rule} acts on parameters that belong to one modality, but no trained'):
        step_of(model, rule)
    assert step_of(model, 'PCGrad')  # acts on shared ones


@pytest.mark.parametrize('rule', ['ReGrad', 'PCGrad', 'OGMGE'])
def test_one_modality_has_nobody_to_be_weighed_against(rule: str) -> None:
    model = build_model(('rgb',))
    with pytest.raises(ValueError, match='gives a loss of its own to rgb only; take 2 modalities or train'):
        step_of(model, rule)


def test_a_head_of_weight_zero_is_like_one_without_losses() -> None:
    model = model_of('UAdapterNeck', 'PrototypeHead', prototype_weight=0.0)
    with pytest.raises(ValueError, match='no loss per modality; set model.head.prototype_weight above 0'):
        step_of(model, 'ReGrad')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            dict(reach=('trunk.embeding',)),
            "reach: no trained parameter begins with 'trunk.embeding'; did you",
        ),
        (dict(reach=('neck', 'tail')), "reach: no trained parameter begins with 'tail'"),
        (dict(reach=('trunk.vit',)), 'names no trained parameter that belongs to one modality, such as trunk'),
        (dict(use_confidence=True), 'use_confidence=True, but AMANeck gives no confidence; take one that does'),
    ],
)
def test_options_of_regrad_without_effect(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        step_of(model_of('AMANeck', 'LinearFASHead'), dict(type='ReGrad', **options))


def test_confidence_is_taken_where_it_is() -> None:
    steps = {
        use: step_of(model_of('UAdapterNeck', 'LinearFASHead'), dict(type='ReGrad', use_confidence=use))
        for use in (None, True, False)
    }
    assert difference(steps[None], steps[True]) == 0 and difference(steps[None], steps[False]) > 1e-6


class SilentHead(LinearFASHead):
    """A head of somebody else, which says nothing of its losses, and has none."""

    modality_losses = None


class OtherModel(nn.Module):
    """A model of another toolkit: it hands over no loss terms."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)


def test_what_is_not_declared_is_seen_in_the_first_batch() -> None:
    model = model_of('AMANeck', 'LinearFASHead')
    model.head = SilentHead(spec=model.neck.feature_spec)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match='PCGrad has nothing to modulate: SilentHead gives no loss per modality'):
        step_of(model, 'PCGrad')
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    other = OtherModel()
    wrapper = Keeper(torch.optim.SGD(other.parameters(), lr=0.1), dict(type='ReGrad'))
    with pytest.raises(ValueError, match='OtherModel gives no loss per modality'), wrapper.optim_context(other):
        wrapper.update_params(other.linear(torch.ones(1, 2)).sum())


@pytest.mark.parametrize('trunk', names_in(SLOTS['trunk']))
def test_the_check_builds_the_model_and_sees_it(trunk: str) -> None:
    cfg = model_cfg(trunk=trunk, head='TextAlignHead', neck='ConcatNeck').to_dict()
    cfg |= dict(train_cfg=dict(max_epochs=1), optim_wrapper=dict(modulator=dict(type='ReGrad')))
    before = copy.deepcopy(cfg)
    built, notes = build_without_memory(cfg['model'], 'mmfas'), []
    (problem,) = idle_rule_problems(cfg, built, 'mmfas', notes)
    assert problem.startswith('optim_wrapper.modulator: ReGrad has nothing to modulate: TextAlignHead gives no')
    assert cfg == before
    cfg['optim_wrapper']['modulator'] = dict(type='OGMGE', alpha=0, noise=0)
    (problem,) = idle_rule_problems(cfg, built, 'mmfas', notes)
    assert problem.startswith('optim_wrapper.modulator: alpha=0 and noise=0 change nothing')
    cfg['optim_wrapper']['modulator'] = dict(type='Sum')
    assert list(idle_rule_problems(cfg, built, 'mmfas', notes)) == notes == []


@pytest.mark.parametrize(('neck', 'num_notes'), [('ConcatNeck', 1), ('UAdapterNeck', 0)])
def test_the_check_notes_a_rule_that_gives_the_plain_sum(
    neck: str, num_notes: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / 'mine.py'
    config.write_text(
        f"_base_ = '{Path(__file__).parents[2]}/configs/_base_/mmdg_mini_vit_synthfas.py'\n"
        f"model = dict(neck=dict(_delete_=True, type='{neck}'))\n"
    )
    assert check([str(config)]) == 0
    shown = capsys.readouterr().out
    assert shown.count('note: optim_wrapper.modulator: ReGrad will give the plain sum') == num_notes
    assert shown.startswith(f'{config}: ok')


def test_a_rule_that_is_told_to_do_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match='alpha=0 and noise=0 change nothing'):
        OGMGE(alpha=0.0, noise=0.0)


def test_unknown_is_no_reason_to_refuse() -> None:
    for rule in RULES:
        built = GRADIENT_MODULATORS.build(dict(type=rule))
        assert built.refusal(ModalityOffer()) is built.doubt(ModalityOffer()) is None
        assert built.refusal(ModalityOffer(losses=MODALITIES)) is None


@pytest.mark.parametrize(
    ('head', 'options'),
    [
        (LinearFASHead, dict(modality_loss_weight=-0.3)),
        (LinearFASHead, dict(loss_weight=-1.0)),
        (LinearFASHead, dict(shared_classifier=True)),
        (LinearFASHead, dict(modality_loss=dict(type='FocalLoss'))),
        (PrototypeHead, dict(prototype_weight=-0.3, **DOMAINS)),
    ],
)
def test_weights_and_options_of_heads_that_mean_nothing(head: type, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match='must be at least 0|need modality_loss_weight above 0'):
        head(**options, spec=dict(modalities=MODALITIES, fused_dims=8, modality_dims=4))
