"""FLIP-MCL: released vectors of every part and of a whole step, texts as constants at test, views, refusals."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_vectors import assert_near, golden
from torch import Tensor, nn

from mmfas.models import TextContrastHead
from mmfas.models.heads import ViewContrast, read_prompts, simclr_losses, text_contrast
from mmfas.models.heads.text_contrast import prompt_halves
from mmfas.registry import MODELS
from mmfas.structures import MODALITIES, FusedFeatures
from test_models.helpers import VIT, build, images, perturb, samples

SPEC = dict(modalities=MODALITIES, fused_dims=16, modality_dims=16)
SMALL = dict(hidden_dims=8, out_dims=4)
HEAD = dict(
    type='TextContrastHead', anchors=dict(dims=16, num_anchors=(3, 2)), logit_scale=5.0, contrast=SMALL,
)  # fmt: skip
TINY = dict(embed_dim=16, context_length=20, width=8, heads=2, layers=2)
TRAINED = {
    **HEAD,
    'anchors': dict(dims=16, num_anchors=(6, 6), train_text=True, text_tower=dict(arch=TINY, prompts='flip')),
}
#: Our layers of the projector in the released names.
LAYERS = {
    'project.0': 'layer1',
    'project.1': 'bn1',
    'project.3': 'layer2',
    'project.4': 'bn2',
    'project.6': 'layer3',
}

pytestmark = pytest.mark.engine


def projector(data: dict[str, Tensor]) -> ViewContrast:
    """Fill a projector with the released weights."""
    contrast = ViewContrast(512, hidden_dims=24, out_dims=16)
    names = {
        f'{ours}.{end}': f'mlp.param.{theirs}.{end}'
        for ours, theirs in LAYERS.items()
        for end in ('weight', 'bias')
    }
    contrast.load_state_dict({ours: data[name] for ours, name in names.items()}, strict=False)
    return contrast


def released_name(name: str) -> str:
    layer, _, end = name.rpartition('.')
    return f'{LAYERS[layer]}.{end}'


def test_golden_flip_infonce() -> None:
    data = golden('flip_mcl')
    views = [data[f'infonce.in.view{i}'].clone().requires_grad_(True) for i in (1, 2)]
    losses = simclr_losses(*views, 0.1)
    expected = torch.logsumexp(data['infonce.logits'], 1) - data['infonce.logits'][:, 0]
    assert_near(losses, expected, 'rows')
    losses.mean().backward()
    assert_near(losses.mean(), data['infonce.out.0'], 'mean')
    for i, view in enumerate(views, 1):
        assert_near(view.grad, data[f'infonce.grad_in.view{i}'], f'view{i}')


def test_golden_flip_projector() -> None:
    data = golden('flip_mcl')
    contrast = projector(data)
    for mode in ('train', 'eval'):
        contrast.train(mode == 'train').zero_grad()
        x = data['mlp.in.x'].clone().requires_grad_(True)
        out = contrast.project(x)
        (out * data['mlp.cotangent.0']).sum().backward()
        assert_near(out, data[f'mlp.{mode}.out.0'], f'{mode} out')
        assert_near(x.grad, data[f'mlp.{mode}.grad_in.x'], f'{mode} x')
        checked = 0
        for name, parameter in contrast.named_parameters():
            stored = data.get(f'mlp.{mode}.grad_param.{released_name(name)}')
            if stored is not None:
                assert_near(parameter.grad, stored, f'{mode} {name}')
                checked += 1
        assert checked == {'train': 7, 'eval': 9}[mode]
        if mode == 'train':
            for name, buffer in contrast.named_buffers():
                if 'running' in name:
                    assert_near(buffer, data[f'mlp.after.buffer.{released_name(name)}'], name)
    assert sum(p.numel() for p in ViewContrast(512).parameters()) == 19_947_776


def test_golden_flip_step(monkeypatch: pytest.MonkeyPatch) -> None:
    data = golden('flip_mcl')
    spec = dict(modalities=('rgb',), fused_dims=512)
    anchors = dict(dims=512, num_anchors=(6, 6))
    contrast = dict(hidden_dims=24, out_dims=16)
    head = TextContrastHead(anchors, contrast=contrast, modality_loss_weight=0, spec=spec).train()
    head.contrast = projector(data)
    head.log_scale.data.copy_(data['step.in.logit_scale'])
    given = {n: data[f'step.in.{n}'].clone().requires_grad_(True) for n in ('image', 'view1', 'view2')}
    texts = {n: data[f'step.in.text_{n}'].clone().requires_grad_(True) for n in ('spoof', 'real')}
    head.anchors = FixedAnchors(torch.cat([texts['spoof'], texts['real']]))
    label = data['step.in.label']
    rows = torch.nn.functional.one_hot(data['step.in.subset1'] + 6 * label[:, None], 12).sum(1).float()
    own = (torch.arange(12) >= 6) == (label[:, None] == 1)
    monkeypatch.setattr(text_contrast, 'prompt_halves', lambda *_, **__: (rows, (own & (rows == 0)).float()))
    features = FusedFeatures(given['image'], views=torch.stack([given['view1'], given['view2']]))
    assert_near(head(features), data['step.out.logits'], 'logits')
    terms = head.loss_terms(features, label, torch.ones(4, 1, dtype=torch.bool)).main
    assert set(terms) == {'cls', 'contrast', 'consistency'}
    for ours, theirs in (('cls', 'ce'), ('contrast', 'infonce'), ('consistency', 'consistency')):
        assert_near(terms[ours], data[f'step.out.{theirs}'], ours)
    leaves = {**given, **{f'text_{n}': text for n, text in texts.items()}}
    alone = torch.autograd.grad(terms['consistency'], list(leaves.values())[1:], retain_graph=True)
    for name, grad in zip(list(leaves)[1:], alone, strict=True):
        assert_near(grad, data[f'step.consistency.grad_in.{name}'], f'consistency {name}')
    total = sum(terms.values())
    assert_near(total, data['step.out.total'], 'total')
    total.backward()
    for name, leaf in {**leaves, 'logit_scale': head.log_scale}.items():
        assert_near(leaf.grad, data[f'step.grad_in.{name}'], name)


class FixedAnchors(nn.Module):
    """Anchors that are given, so that a gradient can flow into them."""

    def __init__(self, anchors: Tensor) -> None:
        super().__init__()
        self.given = anchors
        self.num_anchors = (6, 6)

    def forward(self) -> Tensor:
        return self.given


def test_halves_are_disjoint_prompts_of_the_class_of_a_sample() -> None:
    targets = torch.tensor([0, 1]).repeat(200)
    own = (torch.arange(11) >= 5) == (targets[:, None] == 1)
    first, second = prompt_halves(targets, (5, 6))
    assert torch.equal(first + second, own.float())
    assert (first.sum(1) == torch.where(targets == 1, 3, 2)).all()
    rates = first[targets == 0].mean(0)[:5]
    assert (rates - 0.4).abs().max() < 0.12, 'every prompt is drawn as often'
    first, second = prompt_halves(targets, (5, 6), with_replacement=True)
    assert (first.sum(1) == torch.where(targets == 1, 3, 2)).all() and first.max() >= 2
    assert torch.equal(second, (own & (first == 0)).float()) and not first[~own].any()


def head_of(**options: Any) -> TextContrastHead:
    torch.manual_seed(0)
    options = {k: v for k, v in {**HEAD, **options}.items() if k != 'type'}
    return perturb(TextContrastHead(**options, spec=SPEC).double())


def features_of(batch: int = 4, views: int = 2) -> FusedFeatures:
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(4 + views, batch, 16, generator=generator, dtype=torch.float64)
    return FusedFeatures(drawn[0], drawn[1:4], views=drawn[4:])


def test_modalities_are_compared_with_the_same_texts_where_they_are() -> None:
    head, features, targets = head_of(modality_loss_weight=0.5), features_of(), torch.tensor([1, 0, 1, 0])
    present = torch.tensor([[True, True, True], [True, False, True], [False, True, False], [True, True, True]])
    terms = head.loss_terms(features, targets, present)
    texts = nn.functional.normalize(torch.stack([a.mean(0) for a in head.anchors().split((3, 2))]), dim=1)
    for m, name in enumerate(MODALITIES):
        cosines = nn.functional.cosine_similarity(features.per_modality[m][:, None], texts[None], dim=-1)
        losses = nn.functional.cross_entropy(head.log_scale.exp() * cosines, targets, reduction='none')
        total, count = terms.per_modality[name]
        torch.testing.assert_close(total, 0.5 * losses[present[:, m]].sum())
        assert int(count) == int(present[:, m].sum())
    assert head_of(modality_loss_weight=0).modality_losses == ()


def test_one_further_view_is_compared_with_the_sample_itself() -> None:
    head, features, targets = head_of(), features_of(views=1), torch.tensor([1, 0, 1, 0])
    present = torch.ones(4, 3, dtype=torch.bool)
    both = FusedFeatures(
        features.fused, features.per_modality, views=torch.cat([features.fused[None], features.views])
    )
    logs = []
    for given in (features, both):
        torch.manual_seed(2)
        logs.append(copy.deepcopy(head).loss_terms(given, targets, present).main)
    assert all(torch.equal(logs[0][name], logs[1][name]) for name in ('cls', 'contrast', 'consistency'))


def test_flip_cosines_are_exact_under_autocast() -> None:
    head, features, targets = head_of().float(), features_of(), torch.tensor([1, 0, 1, 0])
    head.contrast.project = nn.Identity()  # its layers are rounded like any others
    features = FusedFeatures(features.fused.float(), features.per_modality.float(), views=features.views.float())
    found = []
    for enabled in (False, True):
        torch.manual_seed(2)
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            terms = head.loss_terms(features, targets, torch.ones(4, 3, dtype=torch.bool))
            sums = [total for total, _ in terms.per_modality.values()]
            found.append([head(features), *terms.main.values(), *sums])
    for exact, rounded in zip(*found, strict=True):
        torch.testing.assert_close(rounded, exact, rtol=1e-5, atol=1e-6)


def test_a_batch_of_one_trains() -> None:
    head, features = head_of(), features_of(batch=1)
    before = {name: buffer.clone() for name, buffer in head.named_buffers()}
    terms = head.loss_terms(features, torch.tensor([1]), torch.ones(1, 3, dtype=torch.bool))
    sum(terms.main.values()).backward()
    assert terms.main['contrast'] == 0
    assert all(torch.equal(buffer, before[name]) for name, buffer in head.named_buffers() if 'running' in name)


def test_without_views_the_other_losses_are_the_whole_model() -> None:
    plain = {k: v for k, v in HEAD.items() if k != 'contrast'}
    model = build(head=dict(plain, contrast_weight=0, consistency_weight=0))
    assert set(model.loss(images(4), samples(4))) == {'loss_cls', *(f'loss_{m}' for m in MODALITIES)}
    with pytest.raises(ValueError, match='TextContrastHead has no use for further views.*take AddViews out'):
        model({**images(2)}, samples(2), mode='loss', inputs_view=images(4))
    model = build(head=HEAD)
    with pytest.raises(ValueError, match=r"TextContrastHead needs further views.*dict\(type='AddViews', ...\)"):
        model(images(2), samples(2), mode='loss')
    with pytest.raises(ValueError, match="mode 'predict' has no use for further views"):
        model(images(2), mode='predict', inputs_view=images(4))


def test_views_take_the_same_way_as_the_samples() -> None:
    model = build(neck=dict(type='MeanNeck'), head=HEAD)
    data = {m: torch.randint(0, 256, (2, 3, 32, 32)).byte() for m in MODALITIES}
    views = {m: torch.randint(0, 256, (2, 3, 3, 32, 32)).byte() for m in MODALITIES}  # of 2 samples 3 views each
    given = samples(2)
    given[0].present = torch.tensor([True, False, True])
    seen: list[FusedFeatures] = []
    loss_terms = model.head.loss_terms
    model.head.loss_terms = lambda features, *rest, **more: (
        seen.append(features) or loss_terms(features, *rest, **more)
    )
    batch = model.data_preprocessor(dict(inputs=data, data_samples=given, inputs_view=views), True)
    lists = [{m: list(tensor) for m, tensor in part.items()} for part in (data, views)]  # of the other collation
    again = model.data_preprocessor(dict(inputs=lists[0], data_samples=given, inputs_view=lists[1]), True)
    assert all(torch.equal(again['inputs_view'][m], x) for m, x in batch['inputs_view'].items())
    model(**batch, mode='loss_terms')
    for number in range(3):
        alone = dict(inputs={m: x[:, number] for m, x in views.items()}, data_samples=given)
        expected = model.extract_feat(model.data_preprocessor(alone, True)['inputs']).fused
        torch.testing.assert_close(seen[0].views[number], expected)


@pytest.fixture
def trained(tmp_path: Path) -> Any:
    pytest.importorskip('open_clip', reason="open_clip is missing: pip install 'mmfas[clip]'")
    return build(neck=dict(type='MeanNeck'), head=TRAINED)


def test_the_text_tower_is_trained_and_never_run_for_a_score(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = {**images(8), 'present': torch.ones(8, 3, dtype=torch.bool)}
    trained.train()
    sum(trained(images(4), samples(4), mode='loss', inputs_view=views).values()).backward()
    assert trained.head.anchors.tower.encoder.text_projection.grad.abs().max() > 0
    given = images(2)
    trained.eval()
    other = build(neck=dict(type='MeanNeck'), head=TRAINED).eval()
    assert not torch.allclose(other(given), trained(given))
    other.load_state_dict(trained.state_dict())  # while it is in evaluation mode
    monkeypatch.setattr(type(trained.head.anchors.tower), 'forward', lambda self: pytest.fail('was run'))
    assert torch.equal(other(given), trained(given))


def test_scores_follow_weights_that_were_changed(trained: Any) -> None:
    given = images(2)
    before = trained.eval()(given)
    trained.train()
    with torch.no_grad():
        trained.head.anchors.tower.encoder.text_projection.normal_()
    after = trained.eval()(given)
    assert not torch.allclose(after, before)
    twin = copy.deepcopy(trained)
    twin.load_state_dict(trained.state_dict())
    assert torch.equal(twin(given), after)


def test_scores_follow_a_file_that_is_read_in_evaluation_mode(tmp_path: Path) -> None:
    file = tmp_path / 'anchors.pth'
    torch.save(dict(embeddings=torch.randn(5, 16), num_anchors=[3, 2]), file)
    anchors = dict(dims=16, num_anchors=(3, 2), file=str(file))
    head = {**HEAD, 'anchors': anchors}
    model = MODELS.build(dict(type='mmfas.MultiModalFAS', trunk=VIT, neck=dict(type='MeanNeck'), head=head))
    model.eval().init_weights()
    torch.testing.assert_close(model.head.texts, model.head.class_texts(torch.load(file)['embeddings']))


def test_prompts_of_flip_are_the_last_ones_of_mmda() -> None:
    flip, mmda = read_prompts('flip'), read_prompts('mmda')
    assert all(flip[label] == mmda[label][-6:] for label in (0, 1))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(consistency_weight=-1.0), 'weights must be at least 0'),
        (dict(logit_scale=0.0), 'logit_scale positive'),
        (dict(contrast_weight=0.0), 'contrast needs contrast_weight above 0'),
        (dict(consistency_weight=0.0, with_replacement=True), 'with_replacement needs consistency_weight above 0'),
        (dict(anchors=dict(dims=16, num_anchors=(3, 1))), 'two sets of prompts of a class'),
        (dict(contrast=dict(temperature=0.0)), 'temperature must be positive'),
    ],
)
def test_refusals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        head_of(**options)
