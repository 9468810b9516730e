"""MD2A, U-DSA and RS2: references, batch independence, missing modalities, pruned inference, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from golden_vectors import assert_near, golden
from torch import Tensor

from mmfas.models import MD2ANeck, TextAlignHead
from mmfas.models.heads import UDSA, TextAnchors, closest_anchor_logits, read_prompts
from mmfas.models.losses import UnnormalizedSmoothingLoss
from mmfas.structures import MODALITIES, FusedFeatures
from test_models.helpers import build, images, perturb, samples
from test_models.test_experts import released

SPEC = dict(modalities=MODALITIES, embed_dims=8)
FEW = dict(num_ffn=2, num_constant=1)
NECK = dict(type='MD2ANeck', num_heads=2, dropout=0.0, experts=FEW)
HEAD = dict(
    type='TextAlignHead', anchors=dict(dims=16, num_anchors=(3, 2)), logit_scale=5.0,
    u_dsa=dict(num_levels=2, num_heads=2, experts=FEW), classifier=FEW,
)  # fmt: skip
PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])


def neck_with(**options: Any) -> MD2ANeck:
    return perturb(MD2ANeck(2, dropout=0.0, experts=FEW, spec=SPEC, **options).double()).eval()


def fuse(neck: MD2ANeck, x: Tensor, present: Tensor | None = None, domain: Tensor | None = None) -> FusedFeatures:
    """Fuse readouts (B, M, C)."""
    state = {'present': torch.ones(x.shape[:2], dtype=torch.bool) if present is None else present}
    state |= {} if domain is None else {'domain': domain}
    return neck.finish(x.transpose(0, 1), state, lambda streams: streams)


def test_golden_mmda_fusion() -> None:
    data = golden('mmda_fusion_second_expert_always_kept')
    neck = MD2ANeck(dropout=0.0, spec={**SPEC, 'embed_dims': 32})
    states = {}
    for kind in ('param', 'grad_param'):
        attention = released(_below(data, kind, 'attn'), 'neck.attention', 'fusion.attn', kind)
        experts = released(_below(data, kind, 'net'), 'neck.experts', 'fusion.net', kind)
        states[kind] = {f'attention.{k}': v for k, v in attention.items()}
        states[kind] |= {f'experts.{k}': v for k, v in experts.items()}
        for ours, theirs in (('norm1', 'ln1'), ('norm2', 'ln2'), ('project', 'proj')):
            states[kind] |= {f'{ours}.{end}': data[f'{kind}.{theirs}.{end}'] for end in ('weight', 'bias')}
    neck.load_state_dict(states['param'])
    x, reference = (data[f'in.{name}'].clone().requires_grad_(True) for name in ('x', 'x_domain'))
    # the first four samples are the references of the last four
    neck._references = lambda present, domain: torch.arange(8) % 4
    out = fuse(neck, torch.cat([reference, x])).fused[4:]
    (out * data['cotangent.0'][:, 0]).sum().backward()
    assert_near(out, data['out.0'][:, 0], 'out')
    assert_near(x.grad, data['grad_in.x'], 'x')
    assert_near(reference.grad, data['grad_in.x_domain'], 'reference')
    for name, parameter in neck.named_parameters():
        assert_near(parameter.grad, states['grad_param'][name], name)


def _below(data: dict[str, Any], kind: str, part: str) -> dict[str, Any]:
    """Entries of one part of the fusion block, without its name."""
    start = f'{kind}.{part}.'
    return {f'{kind}.{key[len(start) :]}': value for key, value in data.items() if key.startswith(start)}


def test_partners_are_others_of_the_domain() -> None:
    neck = MD2ANeck(2, experts=FEW, spec=SPEC)
    present, domain = torch.ones(7, 3, dtype=torch.bool), torch.tensor([4, 9, 4, 9, 4, 1, 9])
    draws = torch.stack([neck._references(present, domain) for _ in range(300)])
    assert (domain[draws] == domain).all()
    assert (draws[:, 5] == 5).all(), 'a sample without a partner is its own reference'
    for i, others in enumerate([{2, 4}, {3, 6}, {0, 4}, {1, 6}, {0, 2}, {5}, {1, 3}]):
        assert set(draws[:, i].tolist()) == others
    own = torch.arange(7)
    assert torch.equal(neck._references(present, None), own)
    assert torch.equal(neck.eval()._references(present, domain), own)
    first = MD2ANeck(2, experts=FEW, reference='first', spec=SPEC).eval()
    assert first._references(present, domain).tolist() == [0, 1, 0, 1, 0, 5, 1]
    assert first._references(present, None).tolist() == [0] * 7


def test_neighbours_matter_only_as_released() -> None:
    x = torch.randn(6, 3, 8, dtype=torch.float64)
    for reference, is_leaking in (('partner', False), ('first', True)):
        neck = neck_with(reference=reference)
        whole = fuse(neck, x).fused
        alone = torch.cat([fuse(neck, x[i : i + 1]).fused for i in range(6)])
        if is_leaking:
            assert (whole - alone)[1:].abs().amax(1).min() > 1e-6
        else:
            torch.testing.assert_close(whole, alone, rtol=0, atol=1e-12)


def test_absent_modalities_are_never_seen() -> None:
    neck = neck_with()
    x = torch.randn(3, 3, 8, dtype=torch.float64)
    features = fuse(neck, x, PRESENT)
    poisoned = torch.where(PRESENT[..., None], x, torch.nan)
    torch.testing.assert_close(fuse(neck, poisoned, PRESENT).fused, features.fused, rtol=0, atol=0)
    assert (features.per_modality.transpose(0, 1)[~PRESENT] == 0).all()
    seeing = neck_with(mask_absent=False)
    seeing.load_state_dict(neck.state_dict())
    torch.testing.assert_close(fuse(seeing, x, PRESENT).fused, fuse(neck, x).fused)


def test_a_partner_gives_only_what_it_has() -> None:
    neck = neck_with().train()
    x, domain = torch.randn(2, 3, 8, dtype=torch.float64), torch.tensor([1, 1])
    present = torch.tensor([[True, True, True], [True, False, True]])
    features = fuse(neck, x, present, domain)
    patched = x.clone()
    patched[1, 1] = x[0, 1]  # where the partner lacks depth, the sample's own stands in
    expected = fuse(neck, patched, torch.ones_like(present), domain)
    torch.testing.assert_close(features.fused[0], expected.fused[0])
    assert set(features.aux_losses) == {'router'} and features.aux_losses['router'] > 0
    assert not fuse(neck.eval(), x).aux_losses


def test_a_bank_stands_for_the_mean_of_its_maps() -> None:
    neck = neck_with(reference='bank', bank_size=4)
    neck.bank.copy_(torch.randn(4, 3, 8))
    x = torch.randn(3, 3, 8, dtype=torch.float64)
    features = fuse(neck, x, PRESENT)
    maps = [neck.attention(neck.norm1(x), neck.norm1(one.expand(3, 3, 8)), PRESENT).maps[1] for one in neck.bank]
    torch.testing.assert_close(features.maps['attention'][1], torch.stack(maps).mean(0))
    for row, keys in enumerate(PRESENT):
        assert (features.maps['attention'][:, row, :, :, ~keys] == 0).all()
    alone = torch.cat([fuse(neck, x[i : i + 1], PRESENT[i : i + 1]).fused for i in range(3)])
    torch.testing.assert_close(features.fused, alone, rtol=0, atol=1e-12)


def states_by_equation(u: UDSA, image: Tensor) -> list[Tensor]:
    """Every state of images alone, one sample after the other: 2 d + 1 of (B, C)."""
    rows = []
    for v in image.split(1):
        down = [v]
        for adapt in u.adapt:
            down.append(adapt(down[-1])[0])
        up, below = [], down[-1]
        for level in range(len(u.remap) - 1, -1, -1):
            source = below if u.up == 'chained' else down[level + 1]
            below = u.remap[level](source)[0] + down[level]
            up.append(below)
        rows.append(down + up)
    return [torch.cat(parts) for parts in zip(*rows, strict=True)]


@pytest.mark.parametrize('up', ['chained', 'parallel'])
@pytest.mark.parametrize('num_levels', [0, 1, 3])
def test_pruned_inference_equals_all_states(up: str, num_levels: int) -> None:
    u = perturb(UDSA(8, num_levels=num_levels, num_heads=2, up=up, experts=FEW).double()).eval()
    image, anchors = torch.randn(4, 8, dtype=torch.float64), torch.randn(5, 8, dtype=torch.float64)
    states = u(image, anchors, (3, 2))
    assert states.image.shape == (2 * num_levels + 1, 4, 8)
    assert states.anchors.shape == (2 * num_levels + 1, 5, 8)
    torch.testing.assert_close(states.image, torch.stack(states_by_equation(u, image)), rtol=0, atol=1e-12)
    torch.testing.assert_close(u.refine(image), states.image[-1], rtol=0, atol=1e-12)
    assert torch.equal(states.anchors, states.anchors.flip(0)), 'the way up meets the anchors of the way down'


@pytest.mark.parametrize(('up', 'needed'), [('chained', {0, 1, 2}), ('parallel', {0})])
def test_a_score_runs_no_block_and_no_anchor_that_does_not_reach_it(up: str, needed: set[int]) -> None:
    u_dsa = dict(num_levels=3, num_heads=2, up=up, experts=FEW)
    spec = dict(modalities=MODALITIES, fused_dims=16)
    head = TextAlignHead(dict(dims=16, num_anchors=(3, 2)), u_dsa=u_dsa, classifier=FEW, spec=spec).eval()
    run: set[int] = set()
    for level in range(3):
        for block in (head.u_dsa.adapt[level], head.u_dsa.remap[level]):
            block.register_forward_hook(lambda block, inputs, output, level=level: run.add(level))
    features = FusedFeatures(fused=torch.randn(4, 16), per_modality=None)
    logits = head(features)
    assert run == needed
    torch.nn.init.constant_(head.anchors.embeddings, torch.nan)
    for level in {0, 1, 2} - needed:
        for parameter in (*head.u_dsa.adapt[level].parameters(), *head.u_dsa.remap[level].parameters()):
            torch.nn.init.constant_(parameter, torch.nan)
    assert torch.equal(head(features), logits) and logits.isfinite().all()


@pytest.mark.parametrize('num_levels', [1, 2, 7])
def test_a_deep_u_leaves_the_score_to_the_sample(num_levels: int) -> None:
    torch.manual_seed(0)
    u_dsa = dict(num_levels=num_levels, num_heads=8)
    head = TextAlignHead(anchors=dict(dims=128), u_dsa=u_dsa, spec=dict(modalities=MODALITIES, fused_dims=128))
    image = torch.randn(64, 128)
    last = head.eval().u_dsa.refine(image)
    assert last.norm() < 1.5 * (num_levels + 1) * image.norm()
    routed = head.mixture(last)
    assert head.mixture.router_loss(routed.logits[:, None]) < 0.2
    # the router weighs two experts, it does not choose one: a constant one would give all its samples one score
    assert routed.gates.amax(-1).mean() < 0.9
    assert head.classifier(routed.out).softmax(-1)[:, 1].std() > 1e-2


def test_one_token_attends_to_itself_and_anchors_to_their_class() -> None:
    block = perturb(UDSA(8, num_levels=1, num_heads=2, experts=FEW).double()).eval().adapt[0]
    attention = torch.nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    state = {'in_proj_weight': block.qkv.weight, 'in_proj_bias': block.qkv.bias}
    state |= {f'out_proj.{end}': value for end, value in block.project.state_dict().items()}
    attention.load_state_dict(state)
    image, anchors = torch.randn(4, 8, dtype=torch.float64), torch.randn(5, 8, dtype=torch.float64)

    def by_hand(x: Tensor) -> Tensor:
        """The block on sequences (N, L, C)."""
        normed = block.norm1(x)
        x1 = x + attention(normed, normed, normed)[0]
        return (x if block.doubled_skip else 0) + x1 + block.experts(block.norm2(x1)).out

    out, texts, _ = block(image, anchors, (3, 2))
    torch.testing.assert_close(out, by_hand(image[:, None])[:, 0])
    torch.testing.assert_close(texts, torch.cat([by_hand(part[None])[0] for part in anchors.split([3, 2])]))
    block.across_batch = block.doubled_skip = True
    torch.testing.assert_close(block(image, anchors, (3, 2))[0], by_hand(image[None])[0])


def test_closest_anchor_is_the_largest_cosine() -> None:
    features, anchors = torch.randn(2, 4, 8), torch.randn(2, 5, 8)
    logits = closest_anchor_logits(features, anchors, (3, 2), 7.0)
    for s in range(2):
        for b in range(4):
            cosines = [torch.cosine_similarity(features[s, b], anchor, dim=0) for anchor in anchors[s]]
            expected = 7.0 * torch.stack([max(cosines[:3]), max(cosines[3:])])
            torch.testing.assert_close(logits[s, b], expected)


def test_losses_are_the_sum_of_their_parts() -> None:
    model = perturb(build(neck=NECK, head=HEAD).double()).train()
    inputs = {m: image.double() for m, image in images(4).items()}
    terms, head = model.loss_terms(inputs, samples(4)).main, model.head
    assert set(terms) == {'cls', 'align', 'text', 'router', 'aux_router'}
    features, targets = model.eval().extract_feat(inputs), torch.tensor([0, 1, 0, 1])
    logits = head.alignments(head.states(features))
    expected = sum(head.loss(level, targets).mean() for level in logits)
    # the training pass had other references; without any randomness the parts agree
    model.train()
    again = head.loss_terms(features, targets, torch.ones(4, 3, dtype=torch.bool)).main
    torch.testing.assert_close(again['align'], expected)
    torch.testing.assert_close(again['cls'], head.loss(head(features), targets).mean())
    text = head.classifier(head.mixture(head.anchors.embeddings).out).log_softmax(-1)
    parts = [-(0.9 * text[:3, 0] + 0.1 * text[:3, 1]).mean(), -(0.1 * text[3:, 0] + 0.9 * text[3:, 1]).mean()]
    torch.testing.assert_close(again['text'], sum(parts))


def test_released_smoothing_sums_to_more_than_one() -> None:
    logits = torch.randn(5, 2)
    values = UnnormalizedSmoothingLoss(0.1)(logits, torch.ones(5, dtype=torch.long))
    log_p = logits.log_softmax(1)
    torch.testing.assert_close(values, -(0.1 * log_p[:, 0] + log_p[:, 1]))
    with pytest.raises(ValueError, match=r'smoothing must lie in \[0, 1\), but got 1'):
        UnnormalizedSmoothingLoss(1)


def test_anchors_are_read_by_init_weights_and_travel_with_the_model(tmp_path: Path) -> None:
    embeddings, file = torch.randn(5, 16), tmp_path / 'anchors.pth'
    torch.save(dict(embeddings=embeddings, num_anchors=[3, 2], prompts=list('abcde')), file)
    head = {**HEAD, 'anchors': {**HEAD['anchors'], 'file': str(file)}}
    model = build(neck=NECK, head=head)
    assert torch.equal(model.head.anchors.embeddings, embeddings)
    other = build(neck=NECK, head=HEAD)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.head.anchors.embeddings, embeddings)
    wrong = TextAnchors(16, num_anchors=(2, 3), file=str(file))
    with pytest.raises(ValueError, match=r'has \(3, 2\) anchors .* but the config says \(2, 3\) of width 16'):
        wrong.init_weights()
    torch.save(dict(state_dict={}), file)
    with pytest.raises(ValueError, match='make the file with `mmfas weights prompts`'):
        wrong.init_weights()


def test_prompts_are_checked(tmp_path: Path) -> None:
    prompts = read_prompts()
    assert [len(prompts[label]) for label in (0, 1)] == [24, 24]
    file = tmp_path / 'prompts.yml'
    for text, message in (('spoof: [a]', 'two lists'), ('spoof: [a]\nlive: [a]', 'each once')):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_prompts(file)


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(u_dsa=dict(up='across')), "up must be one of .* but got 'across'"),
        (dict(u_dsa=dict(doubled_skip=True)), r'doubled_skip makes a chained U grow as 4\^d'),
        (dict(u_dsa=dict(num_heads=3)), 'num_heads must divide the width 16'),
        (dict(align_weight=0, u_dsa=dict(up='parallel')), 'levels from the second on reach no loss'),
        (dict(logit_scale=0.0), 'logit_scale positive'),
        (dict(anchors=dict(dims=16, num_anchors=(3, 0))), r'from 1 on, spoof and live, but got \(3, 0\)'),
    ],
)
def test_refusals(options: dict[str, Any], text: str) -> None:
    spec = dict(modalities=MODALITIES, fused_dims=16)
    with pytest.raises(ValueError, match=text):
        TextAlignHead(**{'anchors': dict(dims=16), **options}, spec=spec)
    with pytest.raises(ValueError, match="reference must be one of .* but got 'any'"):
        MD2ANeck(2, reference='any', spec=SPEC)
