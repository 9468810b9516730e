"""Figures of MMDA, and what they are drawn from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from random_photos import photo_config

from mmfas.analysis.anchor_view import view_anchors
from mmfas.apis.scoring import ScoreError, load_model, load_samples, score_in_batches
from mmfas.cli.vis.anchors import main
from mmfas.visualization.anchor_plots import draw_anchor_cosines, draw_attention, plot_noise_weight

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> Iterator[None]:
    """Run on one thread with a quiet log."""
    yield


def test_a_view_is_what_the_model_does(tmp_path: Path) -> None:
    cfg = photo_config('MD2ANeck', 'TextAlignHead')
    torch.save(load_model(cfg, None).state_dict(), tmp_path / 'a.pth')
    model = load_model(cfg, str(tmp_path / 'a.pth'))
    views = [view_anchors(cfg, str(tmp_path / 'a.pth'), face=2, batch_size=size) for size in (2, 5)]
    torch.testing.assert_close(views[0].attention, views[1].attention)
    view, samples = views[0], load_samples(cfg)
    assert view.sample_id == 's2' and view.cosines.shape == (5, 5) and view.num_anchors == (3, 2)
    torch.testing.assert_close(view.attention.sum(-1), torch.ones(2, 3, dtype=torch.float64))
    assert view.noise_weight == model.neck.attention.noise_weight.item()
    assert view.score == pytest.approx(float(score_in_batches(model, samples, range(5), 1)[2]), abs=1e-6)
    assert (view.pictures[1] == samples[2]['inputs']['depth'].permute(1, 2, 0).numpy()).all()
    with torch.no_grad():
        batch = model.data_preprocessor(dict(inputs={m: [v] for m, v in samples[2]['inputs'].items()},
                                             data_samples=[samples[2]['data_samples']]), False)  # fmt: skip
        features = model.extract_feat(batch['inputs'])
        logits = model.head.alignments(model.head.states(features)) / model.head.log_scale.exp()
    closest = torch.stack([part.max(-1).values for part in view.cosines.split([3, 2], dim=-1)], dim=-1)
    torch.testing.assert_close(closest, logits[:, 0])


def test_refusals() -> None:
    with pytest.raises(ScoreError, match='not for ConcatNeck and TextAlignHead'):
        view_anchors(photo_config('ConcatNeck', 'TextAlignHead'))
    with pytest.raises(ScoreError, match='face must be from 0 to 4, but got 5'):
        view_anchors(photo_config('MD2ANeck', 'TextAlignHead'), face=5)


def test_attention_is_drawn_with_what_is_left_of_it() -> None:
    attention = np.stack([np.stack([np.eye(2), np.full((2, 2), 0.5)])] * 2)
    figure = draw_attention(['epoch_1', 'epoch_2'], ('rgb', 'ir'), attention, [0.5, 1.0])
    left = [axes.get_images()[0].get_array().tolist() for axes in figure.axes]
    assert left[4:] == [[[0.75, -0.25], [-0.25, 0.75]], [[0.5, -0.5], [-0.5, 0.5]]]
    assert (
        figure.axes[0].get_title() == 'epoch_1\nsample' and figure.axes[5].get_title() == 'sample - 1.00 reference'
    )
    line = plot_noise_weight(['epoch_1', 'epoch_2'], [0.5, 1.0]).axes[0].get_lines()[0]
    assert line.get_ydata().tolist() == [0.5, 1.0]


def test_every_anchor_has_a_bar_and_the_closest_stand_out() -> None:
    cosines = np.array([[0.9, 0, 0, 0.1, 0.3], [0.1, 0.5, 0.2, 0.4, -0.6], [0.1, 0.5, 0.2, 0.4, -0.6]])
    figure = draw_anchor_cosines(np.zeros((2, 8, 8, 3), np.uint8), ('rgb', 'ir'), cosines, list('abcde'), 3)
    *faces, course, bars = figure.axes
    assert [axes.get_title() for axes in faces] == ['rgb', 'ir']
    assert [bar.get_width() for bar in bars.patches] == [0.1, 0.5, 0.2, 0.4, -0.6]
    assert [bar.get_alpha() for bar in bars.patches] == [0.4, 1, 0.4, 1, 0.4]
    assert [line.get_ydata().tolist() for line in course.get_lines()] == [[0.9, 0.5, 0.5], [0.3, 0.4, 0.4]]
    assert [label.get_text() for label in bars.get_yticklabels()] == list('abcde')
    assert [label.get_text() for label in course.get_xticklabels()] == ['$v_0$', '$v_1$', "$v'_0$"]
    assert 'random' not in bars.get_xlabel()


def test_a_u_has_its_states_named_and_random_anchors_are_labelled() -> None:
    faces = np.zeros((1, 8, 8, 3), np.uint8)
    *_, course, bars = draw_anchor_cosines(faces, ('rgb',), np.eye(5), list('abcde'), 3, are_random=True).axes
    names = [label.get_text() for label in course.get_xticklabels()]
    assert names == ['$v_0$', '$v_1$', '$v_2$', "$v'_1$", "$v'_0$"]
    assert 'random directions' in bars.get_xlabel()


def test_command_draws_checkpoints_with_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = photo_config('MD2ANeck', 'TextAlignHead')
    cfg.dump(tmp_path / 'c.py')
    model = load_model(cfg, None)
    for epoch in (1, 2):
        torch.save(model.state_dict(), tmp_path / f'epoch_{epoch}.pth')
        torch.nn.init.zeros_(model.neck.attention.lambdas)
    (tmp_path / 'prompts.yml').write_text('spoof: [a mask, a print, a screen]\nlive: [a face, a person]')
    files = [str(tmp_path / name) for name in ('c.py', 'epoch_1.pth', 'epoch_2.pth')]
    assert main([*files, '--out-dir', str(tmp_path / 'out'), '--prompts', str(tmp_path / 'prompts.yml')]) == 0
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'attention.png', 'lambda.png', 'cosines.png'}
    assert all(path.stat().st_size > 1000 for path in (tmp_path / 'out').iterdir())
    told = capsys.readouterr().out
    assert 'lambda 0.784; s0 has the score' in told and 'closest live anchor: a ' in told
    assert 'are random directions' in told
    (tmp_path / 'prompts.yml').write_text('spoof: [a mask]\nlive: [a face]')
    assert main([*files, '--prompts', str(tmp_path / 'prompts.yml')]) == 1
    assert 'has (1, 1) texts (spoof, live), but the model (3, 2) anchors' in capsys.readouterr().err
