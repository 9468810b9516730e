"""Runs of mmengine without what only looks better: a tenth of the time of a run on tiny data."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

from mmengine.config import config
from mmengine.dataset import base_dataset
from mmengine.visualization import Visualizer
from yapf.yapflib import yapf_api

__all__ = ['leave_out_looks']


def leave_out_looks() -> None:
    """Log configs as they are, let visualizers share their figures, on which no test draws, and keep the garbage.

    mmengine lays out the text of a config with yapf whenever it is logged or written, every runner has a
    visualizer, which makes two figures of matplotlib, and every data set that is made looks for garbage, in all
    that the tests before have left.
    """
    base_dataset.gc = SimpleNamespace(collect=lambda: 0)
    config.FormatCode = yapf_api.FormatCode = lambda text, **_: (text, True)  # the stacks look in either place
    make_figure = Visualizer._initialize_fig

    @functools.cache
    def figure(items: tuple[tuple[str, Any], ...]) -> tuple[Any, ...]:
        return make_figure(None, dict(items))

    Visualizer._initialize_fig = lambda self, fig_cfg: figure(tuple(sorted(fig_cfg.items())))
