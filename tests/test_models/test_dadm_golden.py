"""Published vectors of DADM's parts: masks, adapter, angular loss, information terms; values and gradients."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from golden_vectors import Sketch, assert_near, difference, golden, released_names
from torch import Tensor

from mmfas.models.layers.mutual_mask import MutualMask
from mmfas.models.losses import AngularMarginLoss, InformationLoss
from mmfas.models.necks import ConvolutionalAdapter
from mmfas.structures import MODALITIES

INTERACT, GENERATE = 'interactive_block', 'mask_generation'
CONVS = [f'{INTERACT}.0.depthwise_conv.0', f'{INTERACT}.0.pointwise_conv.0', f'{INTERACT}.1']
CONVS += [f'{GENERATE}.{i}' for i in (0, 3, 6)]
NORMS = [f'{INTERACT}.0.depthwise_conv.1', f'{INTERACT}.0.pointwise_conv.1', f'{INTERACT}.2']
NORMS += [f'{GENERATE}.{i}' for i in (1, 4, 7)]

pytestmark = pytest.mark.engine


def assert_close(ours: Tensor, theirs: Tensor | Sketch, name: str, tolerance: float = 1e-5) -> None:
    assert_near(ours.reshape(theirs.shape), theirs, name, tolerance=tolerance)


def released_value(name: str, shape: tuple[int, ...]) -> Tensor:
    scale = np.float32(0.3 if 'depthwise' in name or 'fc' in name else 0.055)
    value = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32) * scale
    if name.endswith('running_var'):
        return torch.from_numpy(1 + np.abs(value))
    if name.endswith('num_batches_tracked'):
        return torch.tensor(0)
    return torch.from_numpy(value + 1 if name.endswith('weight') and len(shape) == 1 else value)


def ours_by_theirs() -> dict[str, str]:
    """Our name of every tensor of one mask module by the released one; slices of stacks as NAME/INDEX."""
    names = {f'{conv}.{k}': f'convs.{i}.{k}' for i, conv in enumerate(CONVS) for k in ('weight', 'bias')}
    for i, norm in enumerate(NORMS):
        for k in ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'):
            names[f'{norm}.{k}'] = f'norms.{i}.{k}'
    for k in ('weight', 'bias'):
        names |= {f'interactive_fc.{k}': f'mix_prefix.{k}/0', f'fc1.{k}': f'out.{k}/0', f'fc2.{k}': f'out.{k}/1'}
    return names


@pytest.fixture
def released_mask() -> MutualMask:
    """One pair of width 32 with the weights of the rule."""
    mask, names = MutualMask([(0, 1)], token_dims=32), ours_by_theirs()
    state = mask.state_dict()
    lines = released_names('released_dadm_mim')
    assert {name for name, _ in lines} == set(names)
    for name, shape in lines:
        ours, _, index = names[name].partition('/')
        target = state[ours][int(index)] if index else state[ours]
        target.copy_(released_value(name, tuple(int(n) for n in shape.split('x'))).reshape(target.shape))
    return mask


def run_mask(mask: MutualMask, data: dict[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the four outputs of the release, with the identity for what the adapter makes of them, and inputs."""
    inputs = [data[f'in.{side}'].clone().requires_grad_(True) for side in 'ab']
    found = mask(torch.stack(inputs), torch.eye(32).expand(2, -1, -1), grid=(4, 4), with_info=True)
    return [*found.sides, *found.info], inputs


@pytest.mark.parametrize('mode', ['eval', 'train'])
def test_golden_dadm_mask_with_gradients(mode: str, released_mask: MutualMask) -> None:
    data, mask = golden('dadm_mim'), released_mask.train(mode == 'train')
    outs, inputs = run_mask(mask, data)
    for i, out in enumerate(outs):
        assert_close(out, data[f'{mode}.out.{i}'], f'out.{i}')
    sum((out * data[f'cotangent.{i}'].reshape(out.shape)).sum() for i, out in enumerate(outs)).backward()
    for side, given in zip('ab', inputs, strict=True):
        assert_close(given.grad, data[f'{mode}.grad_in.{side}'], side)
    compared, parameters = 0, dict(mask.named_parameters())
    for theirs, ours in ours_by_theirs().items():
        name, _, index = ours.partition('/')
        for kind in ('grad_param', 'grad_param_every'):
            if f'{mode}.{kind}.{theirs}' in data:
                grad = parameters[name].grad[int(index)] if index else parameters[name].grad
                step = -(-grad.numel() // 1000) if kind.endswith('every') else 1
                assert_close(grad.flatten()[::step], data[f'{mode}.{kind}.{theirs}'].flatten(), theirs)
                compared += 1
    assert compared == (30 if mode == 'eval' else 24)


def test_golden_dadm_mask_statistics_and_masks(released_mask: MutualMask) -> None:
    data = golden('dadm_mim')
    for mode in ('eval', 'train', 'eval_after'):
        released_mask.train(mode == 'train')
        outs, inputs = run_mask(released_mask, data)
        assert_close(outs[0], data[f'{mode}.out.0'], mode)
        with torch.no_grad():
            patches = torch.stack(inputs).permute(1, 2, 0, 3)[:, 1:]
            released_mask.eval()  # the statistics have moved already
            interaction, masks = released_mask.interact(patches, (4, 4))
        if mode != 'train':
            # (B, h*w, S, C) to the released (B, S*C, h, w)
            assert_close(masks.flatten(2).transpose(1, 2), data[f'{mode}.state.masks'].flatten(2), 'masks')
            mean = interaction.mean(1).flatten(1)
            assert_close(mean, data[f'{mode}.state.interaction_mean'], 'interaction')
    state, names = released_mask.state_dict(), ours_by_theirs()
    buffers = [key for key in data if key.startswith('after.buffer.')]
    assert len(buffers) == 12
    for key in buffers:
        assert_close(state[names[key.removeprefix('after.buffer.')]], data[key], key)


def test_golden_dadm_mask_notices_each_part(released_mask: MutualMask) -> None:
    data = golden('dadm_mim')
    expected = data['eval.out.0']
    released_mask.eval()
    for change in (lambda m: m.norms[5].running_mean.add_(1), lambda m: m.mix_prefix.weight.mul_(0)):
        state = {name: value.clone() for name, value in released_mask.state_dict().items()}
        with torch.no_grad():
            change(released_mask)
            moved = (run_mask(released_mask, data)[0][0] - expected).abs().max()
        assert moved > 100 * 1e-5 * expected.abs().max()
        released_mask.load_state_dict(state)


def test_golden_dadm_adapter() -> None:
    data = golden('dadm_adapter')
    adapter = ConvolutionalAdapter(1, token_dims=32, adapter_dims=8, theta=0.7, dropout=0.0, convolve_prefix=True)
    names = {
        'adapter_conv.conv.weight': 'conv.weight',
        'adapter_down.weight': 'down.weight',
        'adapter_down.bias': 'down.bias',
        'adapter_up.weight': 'up.weight',
        'adapter_up.bias': 'up.bias',
    }
    adapter.load_state_dict({ours: data[f'param.{theirs}'][None] for theirs, ours in names.items()})
    x = data['in.x'].clone().requires_grad_(True)
    out = adapter(adapter.down(x[None]), 1, (14, 14))
    assert_close(out, data['out.0'], 'out')
    (out[0] * data['cotangent.0']).sum().backward()
    assert_close(x.grad, data['grad_in.x'], 'x')
    for theirs, ours in names.items():
        assert_close(adapter.get_parameter(ours).grad, data[f'grad_param.{theirs}'], theirs)
    adapter.convolve_prefix = False
    assert difference(adapter(adapter.down(x[None]), 1, (14, 14))[0], data['out.0']).abs().max() > 1e-2


def angle_cases() -> list[str]:
    return sorted({key.split('.')[0] for key in golden('dadm_angle_loss')} - {'all_equal'})


@pytest.mark.parametrize('case', angle_cases())
def test_golden_dadm_angular_loss(case: str) -> None:
    data = {
        k.removeprefix(f'{case}.'): v for k, v in golden('dadm_angle_loss').items() if k.startswith(f'{case}.')
    }
    features = torch.stack([data[f'in.{m}'] for m in MODALITIES]).requires_grad_(True)
    targets, domains = data['in.label'].long(), data['in.domain'].long()
    present = torch.ones(len(targets), 3, dtype=torch.bool)
    loss = AngularMarginLoss(reduction='released')(features, targets, domains, present, num_domains=3)
    loss.backward()
    assert_close(loss, data['out.0'], 'loss')
    assert_close(features.grad, torch.stack([data[f'grad_in.{m}'] for m in MODALITIES]), 'features')
    other = AngularMarginLoss(0.9, 0.7, reduction='released')(features, targets, domains, present, num_domains=3)
    assert abs(float(other) - float(loss)) > 1e-3


def test_golden_dadm_angular_loss_of_equal_features() -> None:
    expected = golden('dadm_angle_loss')['all_equal.out.0']
    features, present = torch.ones(3, 6, 8), torch.ones(6, 3, dtype=torch.bool)
    targets, domains = torch.tensor([0, 1] * 3), torch.tensor([0, 0, 1, 1, 2, 2])
    loss = AngularMarginLoss(reduction='released')(features, targets, domains, present, num_domains=3)
    torch.testing.assert_close(loss, expected.reshape(()), rtol=1e-5, atol=0)
    assert expected.item() == pytest.approx(0.0675, rel=1e-5)


@pytest.mark.parametrize('case', ['identity', 'perm1', 'perm2', 'infonce', 'mine'])
def test_golden_dadm_information_losses(case: str) -> None:
    data = golden('dadm_mi_loss')
    kind = case if case in ('infonce', 'mine') else 'additive'
    loss = InformationLoss(kind, num_pairs=1, width=8, hidden_dims=12)
    names = {'fc1.weight': '0.weight', 'fc1.bias': '0.bias', 'fc2.weight': '2.weight', 'fc2.bias': '2.bias'}
    if loss.critic is not None:
        loss.critic.load_state_dict({ours: data[f'mine.param.{name}'][None] for name, ours in names.items()})
    given = [data[f'in.t_{side}'][:, 0].clone().requires_grad_(True) for side in 'ab']
    orders = None
    if kind != 'infonce':
        orders = torch.stack([data[f'{case}.in.perm_{side}'].long() for side in 'ab'])[:, None]
    value = loss(torch.stack(given), torch.ones(4, 1, dtype=torch.bool), orders)
    value.sum().backward()
    assert_close(value, data[f'{case}.out.0'], case)
    for side, token in zip('ab', given, strict=True):
        assert_close(token.grad, data[f'{case}.grad_in.t_{side}'][:, 0], side)
    if loss.critic is not None:
        for name, ours in names.items():
            expected = data[f'mine.grad_param.{name}']
            grad = loss.critic.get_parameter(ours).grad
            # a bias behind which nothing bends has no gradient: 0 up to rounding
            torch.testing.assert_close(grad.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


def test_golden_dadm_toy_of_the_additive_term() -> None:
    expected = golden('dadm_mi_loss')['toy.out']
    loss, pairs = InformationLoss(num_pairs=1, width=1), torch.ones(2, 1, dtype=torch.bool)
    tokens, same = torch.tensor([0.0, 2.0])[None, :, None].expand(2, -1, -1), torch.tensor([[[0, 1]]])
    found = [
        loss(tokens, pairs, same.expand(2, -1, -1)),
        loss(tokens, pairs, torch.cat([same, same.flip(-1)])),
        loss(torch.ones(2, 2, 1), pairs),
    ]
    torch.testing.assert_close(torch.cat(found), expected.reshape(3), rtol=1e-5, atol=1e-6)
