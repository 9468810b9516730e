"""The neck of mutual masks: loops over pairs, absent modalities, batch norm of present rows, information terms."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
import torch
from dadm_twins import OneMask, loop_over_pairs
from torch import Tensor, nn

from mmfas.models import ConcatNeck, InformationLoss, MultiModalFAS, MutualMaskNeck
from mmfas.models.layers.mutual_mask import GroupBatchNorm, MutualMask
from mmfas.structures import MODALITIES
from test_models.helpers import VIT, build, images, perturb, samples

SPEC = dict(modalities=MODALITIES, embed_dims=8, token_dims=8, num_blocks=1, num_prefix=1, grid=(2, 3))
NECK = dict(type='MutualMaskNeck', interaction_dims=4, adapter_dims=4, dropout=0.0)
PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])

pytestmark = pytest.mark.engine


def model_with(**options: Any) -> MultiModalFAS:
    return build(neck={**NECK, **options})


def double_images(batch: int) -> dict[str, Tensor]:
    return {m: image.double() for m, image in images(batch).items()}


def test_stacked_dadm_masks_equal_a_loop_with_gradients() -> None:
    mask = perturb(MutualMask(list(combinations(range(3), 2)), token_dims=8, interaction_dims=6)).double().eval()
    naive = [OneMask(mask, pair, 8).double().eval() for pair in range(3)]
    y = torch.randn(3, 2, 7, 8, dtype=torch.float64, requires_grad=True)
    down = torch.randn(3, 4, 8, dtype=torch.float64)
    found = mask(y, down[mask.streams], grid=(2, 3), with_info=True)
    aligned, info = loop_over_pairs(naive, y, (2, 3))
    ours = torch.stack([found.sides[mask.streams == m].mean(0) for m in range(3)])
    theirs = aligned @ down.transpose(1, 2)[:, None]
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(found.info, info)
    grads = [torch.autograd.grad((v * v).sum(), y, retain_graph=True)[0] for v in (ours, theirs)]
    torch.testing.assert_close(*grads)
    short = mask(y, down[mask.streams], grid=(2, 3), prefix_only=True)
    torch.testing.assert_close(short.sides, found.sides[:, :, :1])
    assert short.masks is None and short.info is None


@pytest.mark.parametrize('train_statistics', [True, False])
def test_group_batch_norm_is_batch_norm_of_the_rows_that_count(train_statistics: bool) -> None:
    norm = perturb(GroupBatchNorm(2, channels=3, train_statistics=train_statistics)).double()
    x = torch.randn(5, 6, 2, 2, dtype=torch.float64)
    rows = torch.tensor([[True, False], [True, True], [False, True], [True, False], [True, True]])
    twins = [nn.BatchNorm2d(3).double().train(train_statistics) for _ in range(2)]
    for g, twin in enumerate(twins):
        for name in ('weight', 'bias'):
            getattr(twin, name).data.copy_(getattr(norm, name)[3 * g : 3 * g + 3])
    out = norm(x, rows)
    for g, twin in enumerate(twins):
        there, where = rows[:, g], slice(3 * g, 3 * g + 3)
        torch.testing.assert_close(out[there, where], twin(x[there, where]))
        torch.testing.assert_close(norm.running_mean[where], twin.running_mean)
        torch.testing.assert_close(norm.running_var[where], twin.running_var)
    before = norm.running_mean.clone()
    assert torch.isfinite(norm(x, torch.zeros_like(rows))).all() and torch.equal(norm.running_mean, before)
    assert int(norm.num_batches_tracked) == (2 if train_statistics else 0)


def test_step_zero_equals_the_plain_trunk() -> None:
    adapted, plain = model_with().eval(), build().eval()
    plain.trunk.load_state_dict(adapted.trunk.state_dict())
    inputs = images(3)
    expected = plain.extract_feat(inputs).fused
    torch.testing.assert_close(adapted.extract_feat(inputs).fused, expected, rtol=0, atol=1e-6)
    perturb(adapted.neck)
    assert (adapted.extract_feat(inputs).fused - expected).abs().max() > 1e-3


def test_block_follows_the_equation() -> None:
    model = perturb(model_with().double()).eval()
    x, neck = double_images(3), model.neck
    streams = model.trunk.embed(torch.stack(list(x.values())))
    for block, mask, adapter in zip(model.trunk.blocks, neck.masks, neck.adapters, strict=True):
        y = block.attn(block.norm1(streams))
        naive = [OneMask(mask, pair, 16).double().eval() for pair in range(3)]
        aligned, _ = loop_over_pairs(naive, y, (4, 4))
        a = streams + y
        streams = a + block.mlp(block.norm2(a)) + adapter(adapter.down(aligned), 1, (4, 4))
    features = model.extract_feat(x)
    torch.testing.assert_close(features.per_modality, model.trunk.readout(streams))
    assert features.confidence is None and not features.modality_losses
    # the class token is read: the last block makes no masks at test
    assert features.maps['mask'].shape == (1, 3, 2, 3, 4, 4)
    assert ((features.maps['mask'] > 0) & (features.maps['mask'] < 1)).all()


def test_absent_modalities_are_in_no_pair() -> None:
    model, inputs = perturb(model_with().double()).eval(), double_images(3)
    masked = model.extract_feat({**inputs, 'present': PRESENT})
    assert (masked.per_modality[~PRESENT.t()] == 0).all()
    poisoned = {m: torch.where(PRESENT[:, i, None, None, None], x, 1e3) for i, (m, x) in enumerate(inputs.items())}
    again = model.extract_feat({**poisoned, 'present': PRESENT}).fused
    torch.testing.assert_close(again, masked.fused, rtol=0, atol=1e-9)
    # two modalities left: the same as the pair alone
    mask, y = model.neck.masks[0], torch.randn(3, 3, 17, 16, dtype=torch.float64)
    state = dict(present=PRESENT, pairs=PRESENT[:, [0, 0, 1]] & PRESENT[:, [1, 2, 2]], grid=y.new_empty(0, 4, 4))
    state['masks'] = y.new_empty(0, 3, 2, 3, 4, 4)
    delta, _ = model.neck._adapt(0, y, state, False)
    adapter = model.neck.adapters[0]
    rgb_ir = OneMask(mask, 1, 16).double().eval()(y[0, 1:2], y[2, 1:2], (4, 4))[0]
    aligned = torch.stack([rgb_ir[0], y[1, 1:2], rgb_ir[1]])  # depth has no partner here
    torch.testing.assert_close(delta[:, 1:2], adapter(adapter.down(aligned), 1, (4, 4)))
    torch.testing.assert_close(delta[1, 2:], adapter(adapter.down(y[:, 2:]), 1, (4, 4))[1])


def test_absent_images_can_be_looked_at_as_released() -> None:
    seeing, inputs = perturb(model_with(mask_absent=False)).eval(), images(3)
    everything = seeing.extract_feat(inputs).fused
    assert torch.equal(seeing.extract_feat({**inputs, 'present': PRESENT}).fused, everything)


def test_absent_pairs_do_not_enter_statistics_or_information() -> None:
    model, inputs = perturb(model_with().double()).train(), double_images(3)
    present = torch.tensor([[True, True, True], [True, False, True], [True, False, True]])
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = []
    for filling in (0.0, 1e3):
        model.load_state_dict(state)
        depth = torch.where(present[:, 1, None, None, None], inputs['depth'], filling)
        torch.manual_seed(0)
        features = model.extract_feat({**inputs, 'depth': depth, 'present': present})
        buffers = [value for name, value in model.state_dict().items() if 'running' in name]
        found.append(
            [features.fused, features.confidence, *features.modality_losses.values(), *map(torch.clone, buffers)]
        )
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize('convolve_cls', [False, True])
def test_features_do_not_depend_on_neighbours(convolve_cls: bool) -> None:
    model, inputs = perturb(model_with(convolve_cls=convolve_cls).double()).eval(), double_images(6)
    present = PRESENT.repeat(2, 1)
    whole = model.extract_feat({**inputs, 'present': present}).fused
    for i in range(6):
        row = {m: image[i : i + 1] for m, image in inputs.items()}
        alone = model.extract_feat({**row, 'present': present[i : i + 1]}).fused
        torch.testing.assert_close(alone, whole[i : i + 1], rtol=0, atol=1e-9)


def test_training_without_moving_statistics_is_evaluation() -> None:
    model, inputs = perturb(model_with(train_norm=False, convolve_cls=True)), images(3)
    expected = model.eval().extract_feat(inputs).fused
    features = model.train().extract_feat(inputs)
    torch.testing.assert_close(features.fused, expected, rtol=0, atol=1e-5)
    assert all(int(v) == 0 for name, v in model.state_dict().items() if name.endswith('batches_tracked'))


def test_each_modality_has_the_terms_of_its_pairs() -> None:
    losses = {}
    for attach in ('partners', 'numbered'):
        model = perturb(model_with(mutual_information=dict(weight=2.0, attach=attach))).train()
        torch.manual_seed(0)
        state = dict(information=torch.tensor([1.0, 2.0, 4.0]), pairs=torch.ones(3, 3, dtype=torch.bool))
        losses[attach] = [float(v) for v in model.neck._information_of(state).values()]
        terms = model(images(4), samples(4), mode='loss_terms')
        assert set(terms.per_modality) == set(MODALITIES) and set(terms.confidence) == set(MODALITIES)
        total, count = terms.per_modality['rgb']
        assert int(count) == 4 and float(total) > 0
        assert model.modality_offer().losses == MODALITIES
    assert losses == {'partners': [3.0, 5.0, 6.0], 'numbered': [2.0, 4.0, 8.0]}
    assert model_with(mutual_information=dict(weight=0.0)).modality_offer().losses == ()


@pytest.mark.parametrize('weight', [0.0, 0.1])
def test_every_trained_parameter_gets_a_gradient(weight: float) -> None:
    model = perturb(model_with(mutual_information=dict(weight=weight))).train()
    sum(model.loss(images(4), samples(4)).values()).backward()
    lost = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert lost == []
    last = model.neck.masks[-1].convs[5].weight
    assert last.requires_grad == (weight > 0)


def test_the_additive_term_does_not_see_dependence() -> None:
    """Tokens that say everything about each other and tokens that say nothing have the same loss."""
    width, rows = 64, torch.ones(512, 1, dtype=torch.bool)
    own, noise = torch.randn(512, width), torch.randn(512, width)
    dependent, independent = torch.stack([own, own.roll(1, 1)]), torch.stack([own, noise])
    additive, contrast = (
        InformationLoss(num_pairs=1, width=width),
        InformationLoss('infonce', num_pairs=1, width=width),
    )
    found = [[float(loss(t, rows)) for t in (dependent, independent)] for loss in (additive, contrast)]
    assert found[0][0] == pytest.approx(found[0][1], abs=0.02)
    same = float(contrast(torch.stack([own, own]), rows))
    assert same < 0.1 < 5 < found[1][1]
    # its minimum: info tokens that are one number
    assert float(additive(torch.full((2, 8, width), 0.3), torch.ones(8, 1).bool())) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('kind', ['additive', 'infonce', 'mine'])
def test_information_of_present_rows_only(kind: str) -> None:
    loss = InformationLoss(kind, num_pairs=2, width=4, hidden_dims=3)
    tokens = torch.randn(4, 5, 4, requires_grad=True)
    pairs = torch.tensor([[True, False]] * 3 + [[False, False]] * 2)
    order = torch.tensor([2, 0, 1, 3, 4]).expand(2, 2, 5)
    value = loss(tokens, pairs, order)
    alone = loss(tokens[:, :3], pairs[:3], order[..., :3])
    torch.testing.assert_close(value, alone)
    assert value[1] == 0
    value.sum().backward()
    assert torch.isfinite(tokens.grad).all() and (tokens.grad[:, 3:] == 0).all() and (tokens.grad[2:] == 0).all()


@pytest.mark.parametrize(('options', 'text'), [
    (dict(interaction_dims=3), 'interaction_dims must be even'),
    (dict(mutual_information=dict(weight=-1.0)), 'weight must be a number of at least 0'),
    (dict(mutual_information=dict(kind='nwj')), "kind must be one of .* but got 'nwj'"),
    (dict(mutual_information=dict(attach='numbered'), spec={**SPEC, 'modalities': ('rgb', 'ir')}),
     "attach='numbered' gives pair i"),
    (dict(spec={**SPEC, 'modalities': ('rgb',)}), 'needs at least 2 modalities'),
])  # fmt: skip
def test_refusals(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        MutualMaskNeck(**{'spec': SPEC, **options})


def test_what_belongs_to_a_modality() -> None:
    neck = model_with().neck
    owned = neck.modality_parameters()
    # per block: five tensors of the adapter, and weight and bias of the layers behind two pairs
    assert {m: len(entries) for m, entries in owned.items()} == dict.fromkeys(MODALITIES, 2 * (5 + 2 * 2))
    sides = {index for p, index in owned['depth'] if p is neck.masks[0].out.weight}
    assert sides == {1, 4}


def test_trunk_without_class_token() -> None:
    vit = {**VIT['vit'], 'with_cls_token': False}
    model = perturb(build(neck=NECK, trunk={**VIT, 'vit': vit, 'pooling': 'mean'}))
    assert model.neck.masks[0].mix_prefix is None and not isinstance(model.neck, ConcatNeck)
    assert torch.isfinite(model.eval().extract_feat(images(2)).fused).all()
