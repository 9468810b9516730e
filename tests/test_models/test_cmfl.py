"""CMFL: released vectors of the loss and of RGBD-MH, a slow twin for three modalities, absent ones, refusals."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from golden_vectors import GOLDEN, assert_near, golden, released_names
from mmengine.config import Config
from torch import Tensor

from mmfas.models import CrossModalFocalHead, LinearFASHead, MultiModalFAS
from mmfas.models.heads import cross_modal_focal_losses
from mmfas.registry import MODELS
from mmfas.structures import MODALITIES, FusedFeatures
from test_models.helpers import build, images, perturb, samples

SPEC = dict(modalities=MODALITIES, fused_dims=12, modality_dims=4)
PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, True, False], [True, True, True]])
RGBD_MH = GOLDEN.parents[2] / 'configs' / '_base_' / 'models' / 'rgbd_mh_densenet161.py'
#: Layers of torchvision's DenseNet, by their number in the released encoders, in mmpretrain's names.
LAYERS = {
    '0': 'stem.0',
    '1': 'stem.1',
    '4': 'stages.0',
    '5': 'transitions.0',
    '6': 'stages.1',
    '7': 'transitions.1',
}

pytestmark = pytest.mark.engine


@pytest.mark.parametrize('case', ['gamma2', 'gamma2_sg', 'gamma3', 'gamma3_sg', 'gamma3_binary'])
def test_golden_cmfl_loss(case: str) -> None:
    data = golden('cmfl_loss')
    p = torch.stack([data['in.p_a'], data['in.p_b']]).requires_grad_(True)
    is_live = data['in.y'] == 1
    rows = cross_modal_focal_losses(
        -torch.log(torch.where(is_live, p, 1 - p)),
        torch.ones(10, 2, dtype=torch.bool),
        gamma=float(case[5]),
        partner_gradient=not case.endswith('sg'),
        relieved=~is_live if case.endswith('binary') else None,
    )
    assert_near(rows.mean(0), data[f'{case}.rows_mean'], 'rows')
    assert_near(rows.sum(0).mean(), data[f'{case}.out_sum'], 'sum')
    mean = rows.mean()
    assert_near(mean, data[f'{case}.out_mean'], 'mean')
    mean.backward()
    for row, name in enumerate(('p_a', 'p_b')):
        # gradients go from 1e-6 to 500, so every one is compared by itself
        torch.testing.assert_close(p.grad[row], data[f'{case}.grad_{name}'], rtol=1e-4, atol=2e-7, msg=name)


def released_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """Draw a tensor of the released network, as the golden vectors prescribe."""
    if name.endswith('num_batches_tracked'):
        return torch.tensor(0)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    value = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.07 if name.startswith('enc') else 0.2)
    is_norm = name.endswith('weight') and len(shape) == 1
    return torch.from_numpy(np.abs(value) + 1 if name.endswith('running_var') else value + is_norm)


def in_our_names(name: str, value: Tensor) -> tuple[str, Tensor]:
    """Rename and reshape a tensor of the released RGBD-MH: its classifiers have one logit, depth one channel."""
    part, _, rest = name.partition('.')
    if part in ('enc_rgb', 'enc_d'):
        number, _, rest = rest.partition('.')
        layer, _, end = rest.partition('.')
        if layer.startswith('denselayer'):
            rest = f'block.{int(layer.removeprefix("denselayer")) - 1}.{end}'
        # our depth images have three equal channels: the kernel is spread over them
        value = value.expand(-1, 3, -1, -1) / 3 if value.dim() == 4 and value.shape[1] == 1 else value
        return f'trunk.own.{("enc_rgb", "enc_d").index(part)}.{LAYERS[number]}.{rest}', value
    # the logit of live; that of spoof is 0
    value = torch.cat([torch.zeros_like(value), value])
    place = {
        'linear': 'joint.classifier',
        'linear_rgb': 'modality_classifier.0',
        'linear_d': 'modality_classifier.1',
    }
    return f'head.{place[part]}.{rest}', value


def released_network() -> MultiModalFAS:
    """Build RGBD-MH and fill it with the weights of the golden vectors."""
    cfg = Config.fromfile(RGBD_MH).model
    # the last two stages, which the trunk removes, in small: they take longer than the rest
    assert (cfg.trunk.cnn.arch, cfg.trunk.num_stages) == ('161', 2)
    cfg.trunk.cnn.arch = dict(growth_rate=48, depths=[6, 12, 1], init_channels=96)
    model = MODELS.build(cfg)
    lines = released_names('released_cmfl_rgbd_mh')
    shapes = {name: tuple(map(int, shape.split('x'))) for name, shape in lines}
    state = dict(in_our_names(name, released_weight(name, shape)) for name, shape in shapes.items())
    for kind in ('weight', 'bias'):
        parts = [state.pop(f'head.modality_classifier.{m}.{kind}') for m in (0, 1)]
        state[f'head.modality_classifier.{kind}'] = torch.stack(parts)
    model.load_state_dict(state)
    # in single precision, an activation near 0 falls on the other side of a ReLU, which moves a thousandth of the
    # gradient of the image
    return model.double().eval()


def liveness_of(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=-1)[..., 1:]


@pytest.fixture(scope='module')
def rgbd_mh() -> MultiModalFAS:
    return released_network()


def test_golden_cmfl_rgbd_mh(rgbd_mh: MultiModalFAS) -> None:
    data = golden('cmfl_rgbd_mh')
    image = data['in.img'].double().requires_grad_(True)
    inputs = {'rgb': image[:, :3], 'depth': image[:, 3:].expand(-1, 3, -1, -1)}
    features = rgbd_mh.extract_feat(inputs)
    joint, (rgb, depth) = (
        liveness_of(x) for x in (rgbd_mh.head(features), rgbd_mh.head.modality_logits(features))
    )
    outs = (features.fused.sigmoid(), joint, rgb, depth)
    for i, out in enumerate(outs):
        assert_near(out.float(), data[f'out.{i}'], f'out.{i}')
    sum((out * data[f'cotangent.{i}']).sum() for i, out in enumerate(outs)).backward()
    assert_near(image.grad.float(), data['grad_in.img'], 'img')


def test_golden_cmfl_rgbd_mh_parameters(rgbd_mh: MultiModalFAS) -> None:
    _, rgb, depth = golden('cmfl_rgbd_mh')['num_parameters'].tolist()
    assert not list(rgbd_mh.trunk.cnn.parameters())
    # the stem of depth has three channels instead of one
    numbers = [sum(p.numel() for p in network.parameters()) for network in rgbd_mh.trunk.own]
    assert numbers == [rgb, depth + 2 * 96 * 7 * 7]


def slow_losses(logits: Tensor, targets: Tensor, gamma: float) -> dict[str, tuple[float, int]]:
    """The cross-modal focal loss, sample by sample, as sums and counts."""
    p = torch.softmax(logits, dim=-1)[torch.arange(3)[:, None], torch.arange(4), targets]
    out = {}
    for m, name in enumerate(MODALITIES):
        total = 0.0
        for i in torch.nonzero(PRESENT[:, m]).flatten().tolist():
            partners = [j for j in range(3) if j != m and PRESENT[i, j]]
            weights = [float(p[j, i] * 2 * p[m, i] * p[j, i] / (p[m, i] + p[j, i])) for j in partners]
            weight = sum(weights) / len(weights) if weights else 0.0
            total += (1 - weight) ** gamma * -float(p[m, i].log())
        out[name] = total, int(PRESENT[:, m].sum())
    return out


def features_of(seed: int = 0) -> FusedFeatures:
    generator = torch.Generator().manual_seed(seed)
    per_modality = torch.randn(3, 4, 4, generator=generator, dtype=torch.float64)
    return FusedFeatures(per_modality.transpose(0, 1).flatten(1), per_modality)


def head_of(**options: Any) -> CrossModalFocalHead:
    torch.manual_seed(0)
    return perturb(CrossModalFocalHead(**options, spec=SPEC).double())


def test_three_modalities_equal_a_loop_and_absent_ones_say_nothing() -> None:
    head, features, targets = head_of(gamma=2.0, weight=0.25), features_of(), torch.tensor([1, 0, 1, 0])
    terms = head.loss_terms(features, targets, PRESENT)
    expected = slow_losses(head.modality_logits(features).detach(), targets, 2.0)
    for name, (total, count) in terms.per_modality.items():
        assert int(count) == expected[name][1]
        assert float(total) == pytest.approx(0.25 / 3 * expected[name][0], abs=1e-9)
    summed = head_of(gamma=2.0, weight=0.25, reduction_over_modalities='sum')
    for name, (total, _) in summed.loss_terms(features, targets, PRESENT).per_modality.items():
        torch.testing.assert_close(total, 3 * terms.per_modality[name][0])
    poisoned = features.per_modality.clone()
    poisoned[~PRESENT.t()] = 50.0
    again = head.loss_terms(FusedFeatures(features.fused, poisoned), targets, PRESENT)
    assert all(torch.equal(again.per_modality[m][0], terms.per_modality[m][0]) for m in MODALITIES)
    # a sample with one modality has no partner: the plain cross entropy
    alone = torch.tensor([[False, True, False]] * 4)
    plain = -torch.log_softmax(head.modality_logits(features)[1], 1)[torch.arange(4), targets]
    total, count = head.loss_terms(features, targets, alone).per_modality['depth']
    torch.testing.assert_close(total, 0.25 / 3 * plain.sum())
    assert int(count) == 4


def test_the_joint_head_keeps_the_rest_of_the_weight_and_the_score() -> None:
    head, features, targets = head_of(weight=0.25), features_of(), torch.tensor([1, 0, 1, 0])
    joint: LinearFASHead = head.joint
    assert torch.equal(head(features), joint(features))
    own = joint.loss_terms(features, targets, PRESENT).main['cls']
    torch.testing.assert_close(head.loss_terms(features, targets, PRESENT).main['cls'], 0.75 * own)
    squashed = head_of(squash=True)
    assert torch.equal(squashed(features), squashed.joint(FusedFeatures(features.fused.sigmoid())))
    live = head_of(relieve_live=False).loss_terms(features, torch.ones(4, dtype=torch.long), PRESENT)
    plain = head_of(gamma=0.0).loss_terms(features, torch.ones(4, dtype=torch.long), PRESENT)
    for name in MODALITIES:
        torch.testing.assert_close(live.per_modality[name][0], plain.per_modality[name][0])


def test_the_gradient_reaches_a_partner_only_where_it_may() -> None:
    features, targets = features_of(), torch.tensor([1, 0, 1, 0])
    for partner_gradient in (True, False):
        head = head_of(partner_gradient=partner_gradient)
        features.per_modality.requires_grad_(True)
        total, _ = head.loss_terms(features, targets, torch.ones(4, 3, dtype=torch.bool)).per_modality['rgb']
        (grad,) = torch.autograd.grad(total, features.per_modality)
        assert grad[0].abs().max() > 0 and bool(grad[1:].any()) == partner_gradient == head.mixes_modalities


def test_it_goes_around_other_heads() -> None:
    anchors = dict(dims=16, num_anchors=(3, 2))
    few = dict(num_ffn=2, num_constant=1)
    joint = dict(
        type='TextAlignHead', anchors=anchors, u_dsa=dict(num_levels=1, num_heads=2, experts=few), classifier=few
    )
    model = build(head=dict(type='CrossModalFocalHead', joint=joint))
    log = model.loss(images(4), samples(4))
    assert set(log) == {'loss_cls', 'loss_align', 'loss_text', 'loss_router', *(f'loss_{m}' for m in MODALITIES)}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(gamma=-1.0), 'gamma must be at least 0'),
        (dict(weight=1.0), r'weight in \(0, 1\)'),
        (dict(reduction_over_modalities='max'), "must be 'mean' or 'sum', but got 'max'"),
        (dict(joint=dict(type='LinearFASHead', modality_loss_weight=0.5)), 'has losses per modality itself'),
        (dict(spec=dict(modalities=MODALITIES, fused_dims=4)), 'needs per-modality features for the cross-modal'),
    ],
)
def test_refusals(options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrossModalFocalHead(**{'spec': SPEC, **options})
