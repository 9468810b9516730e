"""FLIP-MCL as a whole at one step of training: every loss and every gradient beside loops over samples."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmfas.models import MultiModalFAS
from mmfas.models.heads import text_contrast
from mmfas.structures import MODALITIES
from test_models.helpers import build, images, perturb, samples

HEAD = dict(
    type='TextContrastHead', anchors=dict(dims=16, num_anchors=(3, 2)), logit_scale=5.0, modality_loss_weight=0.7,
    contrast_weight=0.6, consistency_weight=0.4, contrast=dict(hidden_dims=8, out_dims=4, temperature=0.2),
)  # fmt: skip
PRESENT = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1]]).bool()

pytestmark = pytest.mark.engine


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b) / (a.square().sum() * b.square().sum()).sqrt()


def entropy(logits: list[Tensor], target: int) -> Tensor:
    return torch.stack(logits).exp().sum().log() - logits[target]


def projected(model: MultiModalFAS, rows: list[Tensor]) -> list[Tensor]:
    """Send one view of a batch through the perceptron, batch norm written out."""
    x = torch.stack(rows)
    for layer in model.head.contrast.project:
        if isinstance(layer, torch.nn.BatchNorm1d):
            x = (x - x.mean(0)) / (x.var(0, unbiased=False) + layer.eps).sqrt() * layer.weight + layer.bias
        else:
            x = layer(x)
    return list(x)


def simclr(first: list[Tensor], second: list[Tensor], temperature: float) -> Tensor:
    rows, losses = [*first, *second], []
    for i, row in enumerate(rows):
        partner = (i + len(first)) % len(rows)
        near = [cosine(row, other) / temperature for k, other in enumerate(rows) if k != i]
        losses.append(torch.stack(near).exp().sum().log() - cosine(row, rows[partner]) / temperature)
    return torch.stack(losses).mean()


def flip_objective(
    model: MultiModalFAS, batches: list[dict[str, Tensor]], targets: list[int], halves: tuple[Tensor, Tensor]
) -> dict[str, Tensor]:
    """Compute every loss of samples and their two views, sample by sample."""
    head, num = model.head, len(targets)
    anchors = head.anchors()
    texts = [anchors[:3].mean(0), anchors[3:].mean(0)]
    scale = head.log_scale.exp()
    readouts = [  # of the samples and of both views: feature of sample i in modality m
        model.trunk.readout(run(model, torch.stack([batch[m] for m in MODALITIES]))) for batch in batches
    ]
    joint = [
        [
            torch.stack([own[m, i] for m in range(3) if PRESENT[i, m]]).sum(0) / int(PRESENT[i].sum())
            for i in range(num)
        ]
        for own in readouts
    ]
    losses = [entropy([scale * cosine(v, t) for t in texts], y) for v, y in zip(joint[0], targets, strict=True)]
    found = {'cls': torch.stack(losses).mean()}
    for m, name in enumerate(MODALITIES):
        own = [
            entropy([scale * cosine(readouts[0][m, i], t) for t in texts], targets[i])
            for i in range(num)
            if PRESENT[i, m]
        ]
        found[name] = 0.7 * torch.stack(own).mean()
    first, second = (projected(model, rows) for rows in joint[1:])
    found['contrast'] = 0.6 * simclr(first, second, 0.2)
    squares = []
    for i in range(num):
        sides = []
        for view, counts in zip(joint[1:], halves, strict=True):
            prompts = [k for k, times in enumerate(counts[i].tolist()) for _ in range(int(times))]
            sides.append(cosine(view[i], torch.stack([anchors[k] for k in prompts]).mean(0)))
        squares.append((sides[0] - sides[1]) ** 2)
    found['consistency'] = 0.4 * torch.stack(squares).mean()
    return found


def run(model: MultiModalFAS, stacked: Tensor) -> Tensor:
    """Run the plain trunk on images (M, B, 3, H, W)."""
    present = torch.ones(stacked.shape[1], 3, dtype=torch.bool)
    streams = model.trunk.embed(stacked, present)
    for block in model.trunk.bind(present):
        streams = block(streams)
    return streams


@pytest.mark.parametrize('with_replacement', [False, True])
def test_whole_flip_objective_equals_loops(with_replacement: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    head = {**HEAD, 'with_replacement': with_replacement}
    model = perturb(build(neck=dict(type='MeanNeck'), head=head).double()).train()
    batches = [{m: x.double() for m, x in images(4).items()} for _ in range(3)]
    data, targets = samples(4), [1, 0, 0, 1]
    for sample, label, there in zip(data, targets, PRESENT, strict=True):
        sample.gt_label, sample.present = label, there
    drawn: list[tuple[Tensor, Tensor]] = []
    draw = text_contrast.prompt_halves
    monkeypatch.setattr(
        text_contrast, 'prompt_halves', lambda *given, **more: drawn.append(draw(*given, **more)) or drawn[-1]
    )
    views = {m: torch.cat([batch[m] for batch in batches[1:]]) for m in MODALITIES}
    terms = model(
        {**batches[0], 'present': PRESENT}, data, mode='loss_terms',
        inputs_view={**views, 'present': PRESENT.repeat(2, 1)},
    )  # fmt: skip
    found = {**terms.main, **{m: total / count for m, (total, count) in terms.per_modality.items()}}
    expected = flip_objective(model, batches, targets, drawn[0])
    assert set(found) == set(expected)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], msg=name)
        both = [
            torch.autograd.grad(loss, list(parameters.values()), retain_graph=True, materialize_grads=True)
            for loss in (value, expected[name])
        ]
        for where, ours, theirs in zip(parameters, *both, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9, msg=f'{name} {where}')
