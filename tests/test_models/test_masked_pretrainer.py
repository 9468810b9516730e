"""Masked pretraining: what the trunk and the decoder may see, what is compared, and that no label is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from contracts.cases import perturb
from ranks import run_group
from torch import Tensor
from torch.nn import functional

from mmfas.models import FASDistributedDataParallel, MaskedMultiModalPretrainer
from mmfas.models.pretraining.decoder import cut_patches
from mmfas.registry import BACKBONES, MODELS
from mmfas.structures import MODALITIES, FASDataSample

pytestmark = pytest.mark.engine


def build(modalities: tuple[str, ...] = MODALITIES, **changes: Any) -> MaskedMultiModalPretrainer:
    torch.manual_seed(0)
    trunk = BACKBONES.get('MultiStreamViT').example_cfg()
    cfg = dict(type='MaskedMultiModalPretrainer', trunk={**trunk, 'pooling': 'mean'}, modalities=modalities)
    decoder = dict(type='CrossModalDecoder', patch_size=8, dims=16, num_heads=2, feedforward_channels=16)
    model = MODELS.build({**cfg, 'decoder': decoder, **changes})
    model.init_weights()
    return model


def make_samples(batch: int, hide: int | None = None, *, seed: int = 0) -> list[FASDataSample]:
    """Samples without any label; half of the 4 x 4 patches are masked, and one modality may be hidden."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for number in range(batch):
        sample = FASDataSample(metainfo=dict(sample_id=f's{number}', domain='site0000'))
        sample.present = torch.ones(3, dtype=torch.bool)
        mask = torch.rand(3, 16, generator=generator).argsort(1) < 8
        sample.set_field(mask.reshape(3, 4, 4), 'patch_mask', dtype=Tensor)
        hidden = torch.zeros(3, dtype=torch.bool)
        if hide is not None:
            hidden[hide] = True
        sample.set_field(hidden, 'hidden', dtype=Tensor)
        samples.append(sample)
    return samples


def make_inputs(batch: int, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {m: torch.rand(batch, 3, 32, 32, generator=generator) * 2 - 1 for m in MODALITIES}


def pixels_of(samples: list[FASDataSample], place: int) -> Tensor:
    """Mask (B, 1, 32, 32) of one modality in pixels."""
    masks = torch.stack([sample.patch_mask[place] for sample in samples])
    return masks.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, None]


def test_patches_are_cut_in_the_order_of_the_tokens() -> None:
    image = torch.arange(3 * 4 * 6, dtype=torch.float32).reshape(3, 4, 6)
    patches = cut_patches(image, 2)
    assert patches.shape == (6, 12)
    for row in range(2):
        for column in range(3):
            wanted = image[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].flatten()
            assert torch.equal(patches[3 * row + column], wanted)


def test_what_is_masked_is_not_seen() -> None:
    model, samples, inputs = perturb(build()).eval(), make_samples(3), make_inputs(3)
    other = {m: torch.where(pixels_of(samples, i), -image, image) for i, (m, image) in enumerate(inputs.items())}
    with torch.no_grad():
        first, second = model.rebuild(inputs, samples), model.rebuild(other, samples)
        assert torch.equal(first, second)
        assert not torch.allclose(model.rebuild(inputs), model.rebuild(other))


@pytest.mark.parametrize('place', range(3))
def test_a_hidden_modality_is_restored_from_the_others_alone(place: int) -> None:
    model, samples, inputs = perturb(build()).eval(), make_samples(2, place), make_inputs(2)
    other = {**inputs, MODALITIES[place]: -inputs[MODALITIES[place]]}
    third = MODALITIES[(place + 1) % 3]
    with torch.no_grad():
        restored = model.rebuild(inputs, samples)
        assert torch.equal(restored, model.rebuild(other, samples))
        changed = model.rebuild({**inputs, third: -inputs[third]}, samples)
    assert not torch.allclose(restored[place], changed[place])


def test_gradient_reaches_every_parameter_without_a_label() -> None:
    model, reached = perturb(build()), set()
    for hide in (None, 0, 1, 2):
        losses = model(make_inputs(4), make_samples(4, hide), mode='loss')
        assert list(losses) == ['loss_rebuild']
        losses['loss_rebuild'].backward()
        reached |= {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert reached == {name for name, _ in model.named_parameters()}


def test_loss_and_errors_are_those_of_the_formula() -> None:
    model, samples, inputs = build(beta=0.5), make_samples(2, 1), make_inputs(2)
    restored = model.rebuild(inputs, samples)
    wanted = torch.stack([cut_patches(inputs[m], 8) for m in MODALITIES])
    gap = (restored - wanted).abs()
    error = torch.where(gap < 0.5, gap**2, gap - 0.25)
    loss = model(inputs, samples, mode='loss')['loss_rebuild']
    torch.testing.assert_close(loss, error.mean())
    model.eval()
    for number, sample in enumerate(model(inputs, samples, mode='predict')):
        own = error[:, number].mean(-1).reshape(3, 4, 4)
        torch.testing.assert_close(sample.rebuild_error, own.detach(), atol=1e-5, rtol=1e-4)


def test_targets_of_every_patch_have_one_contrast_but_noise_is_not_blown_up() -> None:
    model, samples, inputs = build(normalize_targets=True), make_samples(2), make_inputs(2)
    inputs['depth'] = 0.25 + 1e-4 * inputs['depth']  # plain but for noise
    restored = model.rebuild(inputs, samples)
    wanted = torch.stack([cut_patches(inputs[m], 8) for m in MODALITIES])
    for place, deviation in enumerate((1.0, 0.0, 1.0)):
        patches = wanted[place].reshape(-1, 192)
        wanted[place] = (
            (patches - patches.mean(1, keepdim=True)) / (patches.var(1, correction=0) + 1e-3).sqrt()[:, None]
        ).reshape(wanted[place].shape)
        assert wanted[place].std(-1).mean().item() == pytest.approx(deviation, abs=0.01)
    error = functional.smooth_l1_loss(restored, wanted)
    torch.testing.assert_close(model(inputs, samples, mode='loss')['loss_rebuild'], error)
    scaled = {**inputs, 'rgb': 0.5 * inputs['rgb'] + 0.1}
    torch.testing.assert_close(
        model._targets(torch.stack(list(scaled.values())))[0], wanted[0], atol=0.02, rtol=0.02
    )


def test_mixed_precision_gives_the_same_loss_up_to_its_digits() -> None:
    model, inputs, samples = perturb(build()), make_inputs(3), make_samples(3, 0)
    wanted = model(inputs, samples, mode='loss')['loss_rebuild']
    with torch.autocast('cpu', torch.bfloat16):
        found = model(inputs, samples, mode='loss')['loss_rebuild']
    found.backward()
    assert found.dtype == torch.float32 and found.item() == pytest.approx(wanted.item(), rel=0.03)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_an_absent_modality_neither_helps_nor_counts() -> None:
    model, samples = perturb(build(('rgb', 'ir'))), make_samples(3)
    inputs = {**make_inputs(3), 'present': torch.tensor([[True, True], [True, False], [False, True]])}
    poisoned = {**inputs, 'ir': torch.where(inputs['present'][:, 1, None, None, None], inputs['ir'], 9.0)}
    one, two = (model(x, samples, mode='loss')['loss_rebuild'] for x in (inputs, poisoned))
    torch.testing.assert_close(one, two)
    errors = [sample.rebuild_error for sample in model.predict(inputs, samples)]
    absent = torch.stack([table.isnan().flatten(1).all(1) for table in errors])
    assert absent.tolist() == [[False, True, False], [False, True, True], [True, True, False]]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(decoder=dict(type='CrossModalDecoder', patch_size=16)), 'patch_size 16 does not make the grid'),
        (
            dict(decoder=dict(type='CrossModalDecoder', patch_size=8, dims=10)),
            'dims 10 is not a multiple of num_h',
        ),
        (dict(beta=0.0), 'beta must be above 0'),
        (dict(trunk=BACKBONES.get('MultiStreamCNN').example_cfg()), 'but MultiStreamCNN yields none'),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**changes)


def test_samples_without_masks_and_unknown_modes_are_refused() -> None:
    model, bare = build(), FASDataSample(metainfo=dict(sample_id='a'))
    with pytest.raises(KeyError, match="sample 'a' has no masks; put dict"):
        model(make_inputs(1), [bare], mode='loss')
    with pytest.raises(ValueError, match='needs data samples with the masks'):
        model(make_inputs(1), mode='loss')
    with pytest.raises(ValueError, match="but got 'train'"):
        model(make_inputs(1), make_samples(1), mode='train')


def gradients(rank: int, folder: Path | None = None) -> dict[str, Tensor]:
    """Return the gradients of a whole batch, or with a folder those of one half, averaged over the group."""
    model, inputs, samples = build().double().train(), make_inputs(8), make_samples(8, 1)
    mine = slice(0, 8) if folder is None else slice(4 * rank, 4 * rank + 4)
    wrapped = model if folder is None else FASDistributedDataParallel(model)
    wrapped({m: image[mine].double() for m, image in inputs.items()}, samples[mine], mode='loss')[
        'loss_rebuild'
    ].backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    one, two = run_group(gradients, tmp_path)
    alone = gradients(0)
    assert alone.keys() == one.keys() and any(name.startswith('decoder') for name in alone)
    for name, grad in alone.items():
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=0)
        torch.testing.assert_close(one[name], grad, msg=name)
