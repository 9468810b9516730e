"""Figures of experts, and the counts they are drawn from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from random_photos import RandomPhotos, photo_config

from mmfas.analysis.expert_usage import measure_expert_usage
from mmfas.apis.scoring import ScoreError, load_model
from mmfas.structures import MODALITIES
from mmfas.visualization.expert_plots import draw_routing, plot_expert_usage, plot_usage_entropy
from mmfas.visualization.style import save_figure

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> Iterator[None]:
    """Run on one thread with a quiet log."""
    yield


def config(neck: str = 'IsolatedGatingMoENeck') -> Config:
    return photo_config(neck, 'LinearFASHead', test=dict(absent_ir=True))


def test_usage_counts_every_choice_of_every_sample() -> None:
    cfg = config()
    whole = measure_expert_usage(cfg, batch_size=2)
    # 2 blocks of 16 experts; 5 samples of 16 patches take 2 experts in each of 2 heads
    assert whole.counts.shape == (2, 16) and whole.counts.sum(1).tolist() == [5 * 16 * 4] * 2
    assert ((whole.entropy >= 0) & (whole.entropy <= 1)).all()
    assert whole.routing.shape == (2, 4, 4) and whole.pictures.shape == (3, 32, 32, 3)
    assert whole.modalities == MODALITIES and whole.pictures.dtype == np.uint8
    first = RandomPhotos()[0]['inputs']
    assert all((whole.pictures[i] == first[m].permute(1, 2, 0).numpy()).all() for i, m in enumerate(MODALITIES))


def test_usage_is_that_of_the_maps_and_not_of_the_batches(tmp_path: Path) -> None:
    cfg = config()
    model = load_model(cfg, None)
    torch.save(model.state_dict(), tmp_path / 'epoch_1.pth')
    usages = [measure_expert_usage(cfg, str(tmp_path / 'epoch_1.pth'), batch_size=size) for size in (1, 5)]
    assert torch.equal(usages[0].counts, usages[1].counts) and torch.equal(usages[0].routing, usages[1].routing)
    two = measure_expert_usage(cfg, str(tmp_path / 'epoch_1.pth'), max_samples=2)
    assert two.counts.sum(1).tolist() == [2 * 16 * 4] * 2


def test_models_without_experts_and_configs_without_tests_are_refused() -> None:
    with pytest.raises(ScoreError, match='ConcatNeck has no experts to choose from'):
        measure_expert_usage(config('ConcatNeck'))
    with pytest.raises(ScoreError, match='no test set'):
        measure_expert_usage(Config(dict(model={})))


def test_usage_plot_ranks_shares_and_marks_even_use() -> None:
    figure = plot_expert_usage(np.array([[1.0, 0, 3, 0], [1, 1, 1, 1]]))
    *steps, even = figure.axes[0].get_lines()
    assert [line.get_ydata().tolist() for line in steps] == [[75, 25, 0, 0], [25, 25, 25, 25]]
    assert even.get_ydata()[0] == 25
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == ['block 0: 2 of 4 used', 'block 1: 4 of 4 used', 'even use']


def test_entropy_plot_has_a_line_for_each_block() -> None:
    figure = plot_usage_entropy(['epoch_1', 'epoch_2'], np.array([[0.9, 0.5], [0.8, 0.4]]))
    axes = figure.axes[0]
    assert [line.get_ydata().tolist() for line in axes.get_lines()] == [[0.9, 0.8], [0.5, 0.4]]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ['epoch_1', 'epoch_2']


def test_routing_is_drawn_over_every_picture(tmp_path: Path) -> None:
    pictures = np.zeros((2, 8, 12, 3), np.uint8)
    routing = np.array([[[900, 3, 900], [3, 3, 7]]])
    figure = draw_routing(pictures, ('rgb', 'ir'), routing)
    assert [axes.get_title() for axes in figure.axes] == ['rgb, block 0', 'ir, block 0']
    drawn = figure.axes[1].get_images()[1].get_array()
    assert drawn.tolist() == [[2, 0, 2], [0, 0, 1]], 'equal experts have equal colours'
    assert save_figure(figure, tmp_path / 'routing.png').stat().st_size > 1000
