"""Tests of BIG-MoE's neck: the equations of a block, isolation, absent modalities, any grid."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmfas.models import IsolatedGatingMoENeck, MultiModalFAS
from mmfas.models.layers import ProductKeyExperts, Routing, balance_loss, quick_gelu, router_z_loss
from mmfas.models.necks import IsolatedGatingAdapter, PromptBypass, PromptOptions
from mmfas.structures import MODALITIES
from test_models.helpers import VIT, build, images, perturb, samples

RELEASED_BLOCK = dict(post_norm=True, adapter_residual=True, double_cls=True, activate_up=True, zero_up=False)
SPEC = dict(modalities=MODALITIES, embed_dims=8, token_dims=8, num_blocks=1, grid=(2, 3), image_size=(8, 12))
NECK = dict(type='IsolatedGatingMoENeck', adapter_dims=4, experts=dict(num_experts=16), prompt=dict(dims=6))
PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])

pytestmark = pytest.mark.engine


def model_with(trunk: dict[str, Any] = VIT, **options: Any) -> MultiModalFAS:
    return build(trunk=trunk, neck={**NECK, **options}).double().eval()


def double_images(batch: int = 3) -> dict[str, Tensor]:
    return {m: x.double() for m, x in images(batch).items()}


MEAN = {**VIT, 'pooling': 'mean'}


@pytest.mark.parametrize('trunk', [VIT, MEAN], ids=['cls', 'mean'])
def test_step_zero_equals_the_plain_trunk_on_the_joint_sequence(trunk: dict[str, Any]) -> None:
    model, inputs = model_with(trunk), double_images(1)
    streams = model.trunk.embed(torch.stack(list(inputs.values())))
    x = torch.cat([streams[:1, :, :1], *(stream[None, :, 1:] for stream in streams)], dim=2)
    for block in model.trunk.blocks:
        x = block(x)
    features = model.extract_feat(inputs)
    parts = x[0, :, 1:].unflatten(1, (3, -1)).transpose(0, 1)  # a mean is read from each modality's own patches
    expected = model.trunk.readout(torch.cat([x[:, :, :1].expand(3, -1, -1, -1), parts], dim=2)).mean(0)
    torch.testing.assert_close(features.fused, expected, rtol=1e-9, atol=1e-9)
    if trunk is VIT:
        torch.testing.assert_close(features.fused, model.trunk.readout(x)[0], rtol=1e-9, atol=1e-9)
    perturb(model.neck)
    assert (model.extract_feat(inputs).fused - features.fused).abs().max() > 1e-3


def reference_adapter(adapter: IsolatedGatingAdapter, patches: Tensor, prompt: Tensor, there: list[int]) -> Tensor:
    """Adapt the patches (M, P, C) of one sample, position by position."""
    out = torch.zeros_like(patches)
    for p in range(patches.shape[1]):
        parts = [quick_gelu(adapter.down(patches[m, p])) * (m in there) for m in range(3)]
        row = torch.cat(parts)
        gate = torch.cat([quick_gelu(adapter.gate_features(row)), quick_gelu(adapter.gate_prompt(prompt[p]))])
        mixed, _ = adapter.experts(row[None], gate[None])
        for m, part in enumerate(mixed[0].chunk(3)):
            delta = adapter.up(part)
            out[m, p] = quick_gelu(delta) if adapter.activate_up else delta
    return out


@pytest.mark.parametrize('released', [False, True])
@torch.no_grad()
def test_blocks_follow_the_equations(released: bool) -> None:
    options: dict[str, Any] = dict(arithmetic=RELEASED_BLOCK, mask_absent=False) if released else {}
    model = perturb(model_with(**options))
    inputs, neck = {**double_images(), 'present': PRESENT}, model.neck
    features = model.extract_feat(inputs)
    for b in range(3):
        there = [0, 1, 2] if released else PRESENT[b].nonzero().flatten().tolist()
        pictures = torch.stack([inputs[m][b] * (i in there) for i, m in enumerate(MODALITIES)])
        streams = model.trunk.embed(pictures[:, None])[:, 0]
        code = torch.tensor([sum(2**i for i in range(3) if not PRESENT[b, i])])
        prompt = neck.generator(pictures[:, None], code, (4, 4))
        # absent modalities are left out of the sequence, not masked
        x = torch.cat([streams[0, :1], *(streams[m, 1:] for m in there)])
        for block, adapter in zip(model.trunk.blocks, neck.adapters, strict=True):
            if released:
                hidden = block.norm1(x)
                x = base = block.norm2(hidden + block.attn(hidden))
            else:
                x = x + block.attn(block.norm1(x))
                base = block.norm2(x)
            patches = x.new_zeros(3, 16, 16)
            patches[there] = x[1:].unflatten(0, (len(there), 16))
            delta = reference_adapter(adapter, patches, prompt[0], there)[there].flatten(0, 1)
            rows = patches.transpose(0, 1)
            low = quick_gelu(adapter.down(rows)) * torch.tensor([m in there for m in range(3)])[:, None]
            gate = torch.cat([adapter.gate_features(low.flatten(1)), adapter.gate_prompt(prompt[0])], dim=1)
            prompt = prompt if adapter.bypass is None else adapter.bypass(prompt, quick_gelu(gate)[None], (4, 4))
            cls = 2 * x[:1] if released else torch.zeros_like(x[:1])
            x = x + block.mlp(base) + torch.cat([cls, delta + x[1:] if released else delta])
        torch.testing.assert_close(features.fused[b], model.trunk.readout(x[None, None])[0, 0])
        torch.testing.assert_close(features.maps['prompt'][b].flatten(0, 1), prompt[0])
        mean = x[1:].unflatten(0, (len(there), 16)).mean(1)
        torch.testing.assert_close(features.per_modality[there, b], model.trunk.readout(mean[:, None, None])[:, 0])


def test_one_product_equals_projecting_padding_and_adding() -> None:
    adapter = perturb(IsolatedGatingMoENeck(prompt=dict(dims=6), spec=SPEC)).adapters[0].double()
    mixed, base = (torch.randn(2, n, d, dtype=torch.float64, requires_grad=True) for n, d in ((18, 8), (20, 8)))
    plain = base + torch.nn.functional.pad(adapter.up(mixed), (0, 0, 2, 0))
    out = adapter._add(mixed, base)
    torch.testing.assert_close(out, plain, rtol=1e-13, atol=1e-13)
    assert torch.equal(out[:, :2], base[:, :2])
    weights, inputs_of = torch.randn_like(out), [mixed, base, adapter.up.weight, adapter.up.bias]
    for ours, theirs in zip(*(torch.autograd.grad((y * weights).sum(), inputs_of) for y in (out, plain))):
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)


def test_autocast_does_not_round_what_is_added_to() -> None:
    adapter = perturb(IsolatedGatingMoENeck(prompt=dict(dims=6), spec=SPEC)).adapters[0]
    base, mixed = torch.randn(2, 19, 8), torch.randn(2, 18, 8)
    with torch.autocast('cpu', torch.bfloat16):
        out = adapter._add(mixed, base)
    assert out.dtype == torch.float32 and torch.equal(out[:, :1], base[:, :1])
    torch.testing.assert_close(out, adapter._add(mixed, base), rtol=0.05, atol=0.05)


@pytest.mark.parametrize('isolated', [True, False])
def test_the_prompt_changes_the_routing_and_nothing_else(isolated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    neck = perturb(IsolatedGatingMoENeck(isolated_gate=isolated, prompt=dict(dims=6), dropout=0.0, spec=SPEC))
    adapter = neck.adapters[0].double()
    tokens = torch.randn(2, 19, 8, dtype=torch.float64)
    prompts = torch.randn(2, 2, 6, 6, dtype=torch.float64)
    present = torch.ones(2, 3, dtype=torch.bool)
    first, _, routing = adapter(tokens, tokens, prompts[0], present=present, grid=(2, 3))
    other, _, rerouted = adapter(tokens, tokens, prompts[1], present=present, grid=(2, 3))
    assert not torch.equal(routing.index, rerouted.index) and (first - other).abs().max() > 1e-3
    monkeypatch.setattr(adapter.experts.router, 'forward', lambda gate: routing)
    kept, _, _ = adapter(tokens, tokens, prompts[1], present=present, grid=(2, 3))
    assert torch.equal(kept, first) == isolated


def test_bypass_as_released_takes_rows_for_columns() -> None:
    plain = PromptBypass(5, options=PromptOptions(dims=6, residual=False), dropout=0.0).double()
    swapped = PromptBypass(5, options=PromptOptions(dims=6, residual=False, swap_grid=True), dropout=0.0).double()
    swapped.load_state_dict(plain.state_dict())
    prompt, gate = (torch.randn(2, 9, n, dtype=torch.float64) for n in (6, 5))

    def turned(x: Tensor) -> Tensor:
        return x.unflatten(1, (3, 3)).transpose(1, 2).flatten(1, 2)

    torch.testing.assert_close(swapped(prompt, gate, (3, 3)), plain(turned(prompt), turned(gate), (3, 3)))
    residual = PromptBypass(5, options=PromptOptions(dims=6), dropout=0.0).double()
    residual.load_state_dict(plain.state_dict())
    torch.testing.assert_close(residual(prompt, gate, (3, 3)), prompt + plain(prompt, gate, (3, 3)))


def test_bypass_of_each_block() -> None:
    def has_bypass(**prompt: Any) -> list[bool]:
        neck = IsolatedGatingMoENeck(prompt=prompt, spec={**SPEC, 'num_blocks': 3})
        return [adapter.bypass is not None for adapter in neck.adapters]

    assert has_bypass() == [True, True, False], 'nobody reads the prompt after the last block'
    assert has_bypass(last_bypass=True) == [True, True, True]
    assert has_bypass(bypass=False) == [False, False, False]


def test_code_of_missing_modalities() -> None:
    model = perturb(model_with())
    inputs = {**double_images(), 'present': PRESENT}
    seen: list[list[int]] = []
    model.neck.generator.register_forward_pre_hook(lambda module, args: seen.append(args[1].tolist()))
    model(inputs)
    model.neck.prompt = PromptOptions(code_at_test=False)
    model(inputs)
    model.train()
    model(inputs)
    assert seen == [[0, 2, 5], [0, 0, 0], [0, 2, 5]]


def test_absent_images_can_be_looked_at_as_released() -> None:
    model, inputs = perturb(model_with(mask_absent=False, prompt=dict(code_at_test=False))), double_images()
    everything = model.extract_feat(inputs).fused
    assert torch.equal(model.extract_feat({**inputs, 'present': PRESENT}).fused, everything)
    masking = perturb(model_with(prompt=dict(code_at_test=False)))
    masking.load_state_dict(model.state_dict())
    torch.testing.assert_close(masking.extract_feat(inputs).fused, everything)
    assert (masking.extract_feat({**inputs, 'present': PRESENT}).fused - everything).abs().max() > 1e-3


@pytest.mark.parametrize('trunk', [VIT, MEAN], ids=['cls', 'mean'])
def test_features_do_not_depend_on_neighbours(trunk: dict[str, Any]) -> None:
    model, inputs = perturb(model_with(trunk)), double_images(6)
    present = PRESENT.repeat(2, 1)
    whole = model.extract_feat({**inputs, 'present': present})
    for i in range(6):
        row = {m: x[i : i + 1] for m, x in inputs.items()}
        alone = model.extract_feat({**row, 'present': present[i : i + 1]})
        torch.testing.assert_close(alone.fused[0], whole.fused[i], rtol=0, atol=1e-9)
        assert torch.equal(alone.maps['expert_index'][:, 0], whole.maps['expert_index'][:, i])


@pytest.mark.parametrize('modalities', [('depth',), ('rgb', 'ir'), MODALITIES], ids='+'.join)
def test_any_modalities_and_any_grid(modalities: tuple[str, ...]) -> None:
    vit = {**VIT['vit'], 'img_size': (16, 40)}
    model = perturb(build(modalities, trunk={**VIT, 'vit': vit}, neck=NECK)).eval()
    assert model.neck.generator.by_code.shape == (2 ** len(modalities), 3, 16, 40)
    for size, grid in (((16, 40), (2, 5)), ((32, 24), (4, 3))):
        features = model.extract_feat({m: torch.randn(2, 3, *size) for m in modalities})
        assert features.fused.shape == (2, 16) and torch.isfinite(features.fused).all()
        assert features.maps['expert_index'].shape == (2, 2, *grid, 2, 2)
        assert features.maps['prompt'].shape == (2, *grid, 6)
        assert not any(value.requires_grad for value in features.maps.values())


def test_trunk_without_class_token() -> None:
    vit = {**VIT['vit'], 'with_cls_token': False}
    model = perturb(model_with({**VIT, 'vit': vit, 'pooling': 'mean'}))
    features = model.extract_feat({**double_images(), 'present': PRESENT})
    assert torch.isfinite(features.fused).all() and (features.per_modality[~PRESENT.t()] == 0).all()


def test_router_losses_are_means_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = dict(balance=0.5, router_z=0.25)
    model, inputs = perturb(model_with(losses=weights)), double_images()
    routings: list[Routing] = []
    for adapter in model.neck.adapters:
        adapter.experts.register_forward_hook(lambda module, args, out: routings.append(out[1]))
    losses = model(inputs, samples(3), mode='loss')
    assert len(routings) == 2
    for name, compute in (('balance', balance_loss), ('router_z', router_z_loss)):
        expected = weights[name] * sum(compute(routing) for routing in routings) / 2
        torch.testing.assert_close(losses[f'loss_aux_{name}'], expected)
    assert set(model_with(losses=dict(balance=0.0))(inputs, samples(3), mode='loss')) == {'loss_cls'}


def test_experts_start_small_or_as_released() -> None:
    def spread(**experts: Any) -> float:
        return float(ProductKeyExperts(24, num_experts=1600, **experts).table.down.detach().std())

    assert abs(spread() - 24**-0.5) < 0.01 and abs(spread(std=1.0) - 1) < 0.02
    necks = [IsolatedGatingMoENeck(arithmetic=dict(zero_up=zero), spec=SPEC) for zero in (True, False)]
    zero, free = (neck.adapters[0].up for neck in necks)
    assert not any(p.any() for p in zero.parameters()) and all(p.all() for p in free.parameters())


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(losses=dict(z=1.0)), r"losses may weight \('balance', 'router_z'\), but got \['z'\]"),
        (dict(experts=dict(num_experts=10)), 'take 9'),
        (dict(spec={**SPEC, 'grid': None, 'trunk': 'Odd'}), 'knows its image size and patch grid, not Odd'),
    ],
)
def test_refusals(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        IsolatedGatingMoENeck(**{'spec': SPEC, **options})
