"""ReGrad, PCGrad and OGM-GE: golden vectors, cases one can draw, and naive twins."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from golden_vectors import golden
from modulation_oracles import given, ogm_scales, pcgrad, regrad_pairs, regrad_tensor
from torch import Tensor

from mmfas.engine.modulators import OGMGE, PCGrad, ReGrad
from mmfas.engine.modulators.ogm_ge import deviation
from mmfas.engine.modulators.pcgrad import draw_orders

pytestmark = pytest.mark.engine
NUM_TRIPLES, SIZE = 12, 35


def golden_rows(kind: str) -> Tensor:
    """Return triple after triple, row 0 the branch's own: (3, 12 * 35)."""
    data = golden('mmdg_regrad_rules')
    return torch.stack(
        [torch.cat([data[f'{i}.{kind}.{j}'].ravel() for i in range(NUM_TRIPLES)]) for j in range(3)]
    )


@pytest.mark.parametrize('own', [0, 1, 2])
@pytest.mark.parametrize('kind', ['slow', 'fast'])
def test_golden_mmdg_regrad_rules(kind: str, own: int) -> None:
    """All twelve triples at once, each a tensor; the branch's own gradient in the row of any modality."""
    order = torch.tensor([own, *(j for j in range(3) if j != own)]).argsort()
    trust = [0.9, 0.5, 0.7]
    fast = own if kind == 'fast' else (own + 1) % 3
    losses = torch.tensor([0.2 if m == fast else 0.6 for m in range(3)])
    seen = given(
        golden_rows('grad')[order],
        lengths=[SIZE] * NUM_TRIPLES,
        owners=[own] * NUM_TRIPLES,
        losses=losses.tolist(),
        trust=trust,
    )
    parts = golden_rows(kind)[order]
    # the released rule leaves the slow parts alone; confidence weighs the modulated ones only
    modulated = [(m == own) == (kind == 'fast') for m in range(3)]
    expected = sum(part * (trust[m] if modulated[m] else 1) for m, part in enumerate(parts))
    direction = ReGrad().modulate(seen)
    torch.testing.assert_close(direction, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    tolerance = 1e-5 * float(expected.abs().max())
    unweighted = ReGrad(use_confidence=False).modulate(seen)
    swapped = ReGrad().modulate(replace(seen, losses=losses.roll(1 if kind == 'fast' else -1)))
    for other in (unweighted, swapped, seen.rows.sum(0)):
        assert (other - expected).abs().max() > 100 * tolerance


# g_own, g_other, who is fast -> where the tensor goes, with a trust of 1/2 in both
BRANCHES = {
    'aligned, the other is fast: its part along mine': ((1, 0), (1, 1), 'other', (1.5, 0)),
    'conflict, the other is fast: its part across mine': ((1, 0), (-1, 1), 'other', (1, 0.5)),
    'aligned, mine is fast: my part along the other': ((1, 1), (1, 0), 'own', (1.5, 0)),
    'conflict, mine is fast: my part across the other': ((-1, 1), (1, 0), 'own', (1, 0.5)),
    'at a right angle, the other is fast: all of it': ((1, 0), (0, 2), 'other', (1, 1)),
    'no gradient of mine: the other, weighted': ((0, 0), (2, 2), 'other', (1, 1)),
}


@pytest.mark.parametrize('pairwise', [False, True], ids=['released', 'pairwise'])
@pytest.mark.parametrize('case', BRANCHES)
def test_mmdg_regrad_in_the_plane(case: str, pairwise: bool) -> None:
    own, other, fast, expected = BRANCHES[case]
    for number in (0, 1):  # the owner is the first or the second modality
        rows = torch.tensor([own, other] if number == 0 else [other, own], dtype=torch.float32)
        is_own_fast = fast == 'own'
        losses = [0.3, 0.7] if is_own_fast == (number == 0) else [0.7, 0.3]
        seen = given(rows, lengths=[2], owners=[number], losses=losses, trust=[0.5, 0.5])
        assert ReGrad(pairwise=pairwise).modulate(seen).tolist() == pytest.approx(expected)


LENGTHS, OWNERS = [1, 7, 30, 4, 12, 50, 3], [0, 1, 2, -1, 2, 0, 1]


def random_rows(seed: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(3, sum(LENGTHS) + 20, generator=generator) * scale
    rows[1, 1:8] = 0  # a modality without gradient in its own tensor
    rows[:, 8:38] *= torch.tensor([0.0, 1.0, 0.0])[:, None]  # only another modality has one
    return rows


@pytest.mark.parametrize('counts', [(4, 4, 4), (4, 0, 4), (0, 4, 0)])
@pytest.mark.parametrize('pairwise', [False, True], ids=['released', 'pairwise'])
def test_mmdg_regrad_equals_loops_over_tensors(pairwise: bool, counts: tuple[int, ...]) -> None:
    compared = 0
    for seed, fast in product(range(3), range(3)):
        there = torch.tensor(counts) > 0
        rows = random_rows(seed) * there[:, None]
        losses = [0.2 if m == fast else 0.4 + 0.1 * m for m in range(3)]
        losses = [loss * float(there[m]) for m, loss in enumerate(losses)]
        trust = [0.9 * float(there[0]), 0.5 * float(there[1]), 0.7 * float(there[2])]
        seen = given(rows, lengths=LENGTHS, owners=OWNERS, losses=losses, trust=trust, counts=counts)
        direction = ReGrad(pairwise=pairwise).modulate(seen)
        present = [m for m in range(3) if counts[m]]
        fastest = min(present, key=lambda m: losses[m])
        for where, own in zip(seen.slices, [*OWNERS, -1], strict=True):
            grads = list(rows[:, where])
            if own < 0:
                expected = sum(grads)
            elif pairwise:
                expected = regrad_pairs(grads, own, losses, trust, there.tolist())
            else:
                expected = regrad_tensor(grads, own, fastest, trust)
            torch.testing.assert_close(direction[where], expected, rtol=1e-5, atol=1e-6)
            compared += 1
    assert compared == 9 * 8


@pytest.mark.parametrize('scale', [1e-25, 1e25])
def test_mmdg_regrad_knows_no_absolute_size(scale: float) -> None:
    """Squares of these gradients are zero or infinite in single precision."""
    one, tiny = (
        given(random_rows(0, s), lengths=LENGTHS, owners=OWNERS, losses=[0.1, 0.2, 0.3]) for s in (1.0, scale)
    )
    for rule in (ReGrad(), ReGrad(pairwise=True), PCGrad()):
        expected = rule.modulate(one)
        if isinstance(rule, PCGrad):
            rule.load_state_dict(dict(num_steps=0))
        torch.testing.assert_close(rule.modulate(tiny) / scale, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('size', [1e-6, 1e-4, 1.0])
@pytest.mark.parametrize('pairwise', [False, True], ids=['released', 'pairwise'])
def test_mmdg_regrad_adds_the_released_eps_below_the_fraction(pairwise: bool, size: float) -> None:
    """Tiny gradients, tensor by tensor, in double precision; 1e-8 of a squared length is what the release adds."""
    trust, losses, eps = [0.9, 0.5, 0.7], [0.2, 0.5, 0.6], 1e-8
    rows = size * random_rows(5).double()
    seen = given(rows, lengths=LENGTHS, owners=OWNERS, losses=losses, trust=trust)
    direction = ReGrad(pairwise=pairwise, eps=eps).modulate(seen)
    moved = []
    for where, own in zip(seen.slices, [*OWNERS, -1], strict=True):
        grads = list(rows[:, where])
        if own < 0:
            expected = plain = sum(grads)
        elif pairwise:
            expected, plain = (regrad_pairs(grads, own, losses, trust, [True] * 3, eps=e) for e in (eps, 0.0))
        else:
            expected, plain = (regrad_tensor(grads, own, 0, trust, e) for e in (eps, 0.0))
        torch.testing.assert_close(direction[where], expected, rtol=1e-9, atol=1e-12 * size)
        moved.append(float((expected - plain).norm() / plain.norm()))
    assert size == 1e-4 or (max(moved) > 0.3 if size == 1e-6 else max(moved) < 1e-2)
    assert torch.equal(ReGrad(pairwise=pairwise, eps=0.0).modulate(seen), ReGrad(pairwise=pairwise).modulate(seen))


def test_mmdg_regrad_eps_does_not_see_the_loss_scale() -> None:
    rows, scale = 1e-5 * random_rows(6).double(), 2.0**16
    options = dict(lengths=LENGTHS, owners=OWNERS, losses=[0.1, 0.2, 0.3])
    plain = given(rows, **options)
    scaled = replace(given(scale * rows, **options), scale=torch.tensor(scale))
    rule = ReGrad(eps=1e-8)
    torch.testing.assert_close(rule.modulate(scaled), scale * rule.modulate(plain))
    unaware = rule.modulate(replace(scaled, scale=None)) / scale
    assert (unaware - rule.modulate(plain)).norm() > 0.01 * rule.modulate(plain).norm()


@pytest.mark.parametrize('eps', [-1e-8, float('nan'), float('inf')])
def test_mmdg_regrad_refuses_an_eps_that_is_no_length(eps: float) -> None:
    with pytest.raises(ValueError, match='eps must be a finite number, 0 or more'):
        ReGrad(eps=eps)


def test_mmdg_regrad_reach_is_chosen_by_names() -> None:
    seen = given(random_rows(1), lengths=LENGTHS, owners=OWNERS, losses=[0.1, 0.2, 0.3])
    full = ReGrad().modulate(seen)
    some = ReGrad(reach=('part.2', 'part.7')).modulate(seen)
    for number, where in enumerate(seen.slices):
        assert torch.equal(some[where], full[where] if number in (2, 7) else torch.zeros_like(full[where]))
    with pytest.raises(ValueError, match='reach must list starts of parameter names'):
        ReGrad(reach='part')


def test_mmdg_regrad_tells_who_is_fast() -> None:
    seen = given(random_rows(1), lengths=LENGTHS, owners=OWNERS, losses=[0.3, 0.0, 0.2], counts=(4, 0, 4))
    told = ReGrad().describe(seen)
    assert {name: value.item() for name, value in told.items()} == dict(fast_rgb=0, fast_depth=0, fast_ir=1)


@pytest.mark.parametrize('rows_at', [0, 1, 2])
@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('rule', [ReGrad, PCGrad, OGMGE])
def test_not_a_number_comes_through_in_every_tensor(rule: type, value: float, rows_at: int) -> None:
    for where in (0, 40, 45, 60, 120):
        rows = random_rows(2)
        rows[rows_at, where] = value
        for losses in ([0.1, 0.2, 0.3], [0.3, 0.1, 0.2]):
            seen = given(rows, lengths=LENGTHS, owners=OWNERS, losses=losses, trust=[0.5, 0.5, 0.5])
            assert not torch.isfinite(rule().modulate(seen)).all(), where


def test_pcgrad_equals_the_algorithm() -> None:
    conflicts = 0
    for seed in range(5):
        rows = random_rows(seed) - 0.4 * random_rows(seed)[[1, 2, 0]]
        seen = given(rows, lengths=LENGTHS, owners=OWNERS, losses=[0.1, 0.2, 0.3])
        conflicts += int(((rows @ rows.t()) < 0).sum()) // 2
        rule = PCGrad(seed=seed)
        for step in range(4):
            expected = pcgrad(list(rows), draw_orders(3, seed, step=step).tolist())
            torch.testing.assert_close(rule.modulate(seen), expected, rtol=1e-5, atol=1e-5)
    assert conflicts >= 5
    orders = {str(draw_orders(3, 0, step=step).tolist()) for step in range(30)}
    assert len(orders) == 8


def test_pcgrad_in_the_plane() -> None:
    """In conflict each loses its part along the other; at peace nothing changes."""
    fight, peace = torch.tensor([[1.0, 0.0], [-1.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    options = dict(lengths=[2], owners=[0], losses=[0.1, 0.2])
    assert PCGrad().modulate(given(fight, **options)).tolist() == pytest.approx([0.5, 1.5])
    assert PCGrad().modulate(given(peace, **options)).tolist() == pytest.approx([2.0, 1.0])


@pytest.mark.parametrize('counts', [(4, 4, 4), (4, 0, 4), (0, 4, 0)])
def test_ogm_scales_the_total_gradient_of_what_the_dominant_owns(counts: tuple[int, ...]) -> None:
    losses, there = [0.2, 0.9, 0.5], torch.tensor(counts) > 0
    rows, main = random_rows(3) * there[:, None], random_rows(4)[0]
    losses = [loss * float(there[m]) for m, loss in enumerate(losses)]
    seen = given(rows, lengths=LENGTHS, owners=OWNERS, losses=losses, counts=counts, main=main)
    rule = OGMGE(alpha=0.4, noise=0.0)
    total = rule.modulate(seen) + main
    scales = ogm_scales(losses, counts, 0.4)
    for where, own in zip(seen.slices, [*OWNERS, -1], strict=True):
        plain = main[where] + rows[:, where].sum(0)
        torch.testing.assert_close(total[where], plain * (scales[own] if own >= 0 else 1.0), rtol=1e-5, atol=1e-6)
    assert [value.item() for value in rule.describe(seen).values()] == pytest.approx(scales)
    assert (min(scales) < 0.8) == (sum(counts) > 4)


def test_ogm_ge_noise_has_the_size_of_the_gradient() -> None:
    lengths, owners = [4000, 6000, 5000], [0, 1, -1]
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(3, 15000, generator=generator) * torch.tensor([1.0, 0.1, 0.1])[:, None]
    seen = given(rows, lengths=lengths, owners=owners, losses=[0.5] * 3)
    quiet, noisy, twin = OGMGE(noise=0.0), OGMGE(noise=2.0, seed=3), OGMGE(noise=2.0, seed=3)
    noise = noisy.modulate(seen) - quiet.modulate(seen)
    total = rows.sum(0)
    for where, owner in zip(seen.slices, owners, strict=True):
        expected = 2 * float(total[where].std(correction=0)) if owner >= 0 else 0.0
        assert float(noise[where].std()) == pytest.approx(expected, rel=0.05)
    spread = deviation(seen.segments, total)
    assert spread.tolist() == pytest.approx([float(total[w].std(correction=0)) for w in seen.slices], rel=1e-4)
    assert torch.equal(twin.modulate(seen) - quiet.modulate(seen), noise)
    twin.load_state_dict(noisy.state_dict())
    second = noisy.modulate(seen)
    assert torch.equal(twin.modulate(seen), second)
    assert not torch.equal(second - quiet.modulate(seen), noise)


@pytest.mark.parametrize(
    ('rule', 'options'), [(PCGrad, dict(seed=-1)), (OGMGE, dict(alpha=-1.0)), (OGMGE, dict(loss_weight=0.0))]
)
def test_options_out_of_range_are_refused(rule: type, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match='must'):
        rule(**options)
