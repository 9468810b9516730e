"""Grad-CAM and attention rollout, beside the same by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from random_photos import RandomPhotos, photo_config

from mmfas.analysis.saliency import rollout, saliency_maps, saliency_of
from mmfas.apis.scoring import load_model
from mmfas.cli.vis.cam import main
from mmfas.models import MultiModalFAS
from mmfas.registry import BACKBONES
from mmfas.structures import FusionContext
from mmfas.utils.errors import InputError
from mmfas.visualization.saliency_plots import draw_saliency

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> Iterator[None]:
    """Run on one thread with a quiet log."""
    yield


def model_of(neck: str = 'ConcatNeck', trunk: str = 'MultiStreamViT', **neck_options: Any) -> MultiModalFAS:
    """Build a model that has something to show: no weight is zero."""
    cfg = photo_config(neck, 'LinearFASHead', **neck_options)
    cfg.model.trunk = BACKBONES.get(trunk).example_cfg()
    torch.manual_seed(0)
    model = load_model(cfg, None)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return model


def item(index: int = 0, *, absent_ir: bool = False) -> dict[str, Any]:
    return RandomPhotos(absent_ir=absent_ir)[index]


def begun(model: MultiModalFAS, sample: dict[str, Any]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return embedded streams and state of one sample, as the model makes them."""
    inputs = model.data_preprocessor(pseudo_collate([sample]), False)['inputs']
    images = torch.stack([inputs[m] for m in model.modalities])
    ctx = FusionContext(images, inputs['present'], grid=model.trunk.grid(images.shape[-2:]),
                        num_prefix=model.trunk.num_prefix)  # fmt: skip
    return model.neck.begin(model.trunk.embed(images, inputs['present']), ctx)


@pytest.mark.parametrize(
    ('trunk', 'neck', 'block'),
    [('MultiStreamViT', 'AMANeck', 1), ('MultiStreamViT', 'IsolatedGatingMoENeck', 1),
     ('MultiStreamViT', 'UAdapterNeck', 0), ('MultiStreamCNN', 'ConcatNeck', 4)],
)  # fmt: skip
@pytest.mark.parametrize('target', ['live', 'spoof'])
def test_grad_cam_is_that_of_autograd_by_hand(trunk: str, neck: str, block: int, target: str) -> None:
    model = model_of(neck, trunk)
    found = saliency_of(model, item(), target=target, block=block)
    streams, state = begun(model, item())
    for index, view in enumerate(model.trunk.blocks):
        if index == block:
            streams = watched = streams.detach().requires_grad_()
        streams, state = model.neck.block(index, view, streams, state)
    if block == model.trunk.num_blocks:
        streams = watched = streams.detach().requires_grad_()
    logits = model.head(model.neck.finish(streams, state, model.trunk.readout))[0]
    (logits[1] - logits[0]).mul(1 if target == 'live' else -1).backward()
    assert found.score == pytest.approx(logits.softmax(0)[1].item(), abs=1e-6)
    for m in range(3):
        h, w = found.maps.shape[1:]
        if trunk == 'MultiStreamCNN':
            values, slopes = (x[m, 0].flatten(1).T for x in (watched.detach(), watched.grad))
        else:
            area = slice(1, 17) if len(watched) == 3 else slice(1 + 16 * m, 17 + 16 * m)
            row = m if len(watched) == 3 else 0
            values, slopes = watched.detach()[row, 0, area], watched.grad[row, 0, area]
        for position in range(h * w):
            total = sum(float(slopes[:, c].mean() * values[position, c]) for c in range(values.shape[1]))
            assert found.maps[m].flat[position] == pytest.approx(max(total, 0.0), abs=1e-5)
    assert found.maps.max() > 0 and found.target == target


def test_the_decision_is_explained_at_the_last_block_that_matters() -> None:
    model = model_of()
    found = saliency_of(model, item())
    target = 'live' if found.score >= 0.5 else 'spoof'
    assert (found.target, found.block) == (target, 1)
    np.testing.assert_array_equal(found.maps, saliency_of(model, item(), target=target, block=1).maps)
    assert found.place == 'before block 1'
    after = saliency_of(model_of(trunk='MultiStreamCNN'), item())
    assert (after.block, after.place) == (4, 'after the last block')


@pytest.mark.parametrize('trunk', ['MultiStreamViT', 'MultiStreamCNN'])
def test_absent_pictures_have_no_saliency_and_the_others_are_as_by_hand(trunk: str) -> None:
    model, sample = model_of(trunk=trunk), item(1, absent_ir=True)
    found = saliency_of(model, sample, target='spoof', block=1)
    streams, state = begun(model, sample)
    streams, state = model.neck.block(0, next(iter(model.trunk.blocks)), streams, state)
    watched = streams.detach().requires_grad_()
    streams = watched
    for index, view in enumerate(model.trunk.blocks):
        streams, state = model.neck.block(index, view, streams, state) if index else (streams, state)
    logits = model.head(model.neck.finish(streams, state, model.trunk.readout))[0]
    (logits[0] - logits[1]).backward()
    assert watched.grad is not None
    for m in range(2):
        pair = (watched.detach()[m, 0], watched.grad[m, 0])
        values, slopes = (x.flatten(1).T if trunk == 'MultiStreamCNN' else x[1:] for x in pair)
        by_hand = (values * slopes.mean(0)).sum(1).clamp(min=0)
        np.testing.assert_allclose(found.maps[m].ravel(), by_hand, atol=1e-6)
    assert not found.maps[2].any() and found.maps[:2].any() and found.present.tolist() == [True, True, False]


def test_frozen_trunks_are_explained_too_and_no_gradient_stays() -> None:
    model = model_of()
    expected = saliency_of(model, item()).maps
    model.requires_grad_(False)
    np.testing.assert_array_equal(saliency_of(model, item()).maps, expected)
    assert all(parameter.grad is None for parameter in model.parameters())


def naive_rollout(model: MultiModalFAS, sample: dict[str, Any]) -> np.ndarray:
    """Roll attention out with loops: for every head and query, one softmax over the keys."""
    streams, state = begun(model, sample)
    flows = [np.eye(streams.shape[2]) for _ in range(len(streams))]
    for view in model.trunk.blocks:
        attn = view.layer.attn
        for m, tokens in enumerate(view.norm1(streams)[:, 0]):
            query, key, _ = (
                attn.qkv(tokens).detach().numpy().astype(np.float64).reshape(len(tokens), 3, -1).swapaxes(0, 1)
            )
            mean, width = np.zeros((len(tokens), len(tokens))), query.shape[1] // attn.num_heads
            for head in range(attn.num_heads):
                part = slice(head * width, (head + 1) * width)
                for row in range(len(tokens)):
                    weights = np.exp(key[:, part] @ query[row, part] / np.sqrt(width))
                    if 'key_mask' in state:
                        weights = weights * state['key_mask'][0, 0].numpy()
                    mean[row] += weights / weights.sum() / attn.num_heads
            flows[m] = (0.5 * mean + 0.5 * np.eye(len(tokens))) @ flows[m]
        streams, state = model.neck.block(0, view, streams, state) if len(streams) == 3 else model.neck.block(
            list(model.trunk.vit.layers).index(view.layer), view, streams, state
        )  # fmt: skip
    return np.concatenate([flow[0, 1:] for flow in flows]).reshape(3, 4, 4)


@torch.no_grad()
@pytest.mark.parametrize('neck', ['ConcatNeck', 'IsolatedGatingMoENeck'])
def test_rollout_is_that_of_plain_loops(neck: str) -> None:
    model, sample = model_of(neck), item(1, absent_ir=True)
    found = saliency_of(model, sample, method='rollout')
    expected = naive_rollout(model, sample)
    np.testing.assert_allclose(found.maps[:2], expected[:2], atol=1e-6)
    assert (found.maps[2] == 0).all() and found.present.tolist() == [True, True, False]
    assert (found.target, found.block) == ('', None)


def test_rows_of_a_rollout_add_up_to_one() -> None:
    attentions = torch.rand(4, 2, 5, 5, dtype=torch.float64).softmax(-1)
    flow = rollout(list(attentions))
    torch.testing.assert_close(flow.sum(-1), torch.ones(2, 5, dtype=torch.float64))
    torch.testing.assert_close(rollout([attentions[0]]), (attentions[0] + torch.eye(5)) / 2)


def test_refusals() -> None:
    with pytest.raises(InputError, match='those of MultiStreamCNN do not; take grad-cam'):
        saliency_of(model_of(trunk='MultiStreamCNN'), item(), method='rollout')
    with pytest.raises(InputError, match=r'block must lie in 0..2 \(2: after the last\), but got 3'):
        saliency_of(model_of(), item(), block=3)
    with pytest.raises(InputError, match='a readout of the class token looks at no patch'):
        saliency_of(model_of(), item(), block=2)
    with pytest.raises(InputError, match='knows no class: leave both out'):
        saliency_of(model_of(), item(), method='rollout', target='live')


def test_figure_has_one_scale_and_no_map_of_an_absent_picture() -> None:
    maps = np.stack([np.full((2, 2), value) for value in (1.0, 0.0, 3.0)])
    figure = draw_saliency(
        np.zeros((3, 8, 12, 3), np.uint8),
        ('rgb', 'depth', 'ir'),
        maps,
        present=(True, False, True),
        title='a face',
    )
    *panels, bar = figure.axes
    assert [axes.get_title() for axes in panels[:3]] == ['rgb', 'depth: absent', 'ir']
    assert [axes.get_title() for axes in panels[3:]] == ['25% of the saliency', '', '75% of the saliency']
    assert panels[3].get_images()[1].get_array().tolist() == [[1 / 3] * 2] * 2
    assert not panels[4].get_images() and bar.get_ylabel() == 'saliency, largest = 1'


def test_command_writes_a_figure_of_every_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = photo_config('ConcatNeck', 'LinearFASHead', test=dict(absent_ir=True))
    cfg.dump(tmp_path / 'config.py')
    options = ['--out-dir', str(tmp_path / 'out'), '--max-samples', '2', '--method', 'rollout']
    assert main([str(tmp_path / 'config.py'), *options]) == 0
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['000_s0.png', '001_s4.png']
    assert capsys.readouterr().out.count('attention rollout, rgb, depth, ir') == 2
    assert [found.sample_id for found in saliency_maps(cfg, max_samples=2, method='rollout')] == ['s0', 's4']
