"""Runs of mmengine without what only looks better, and without its pauses: a tenth of the time on tiny data."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from logging import DEBUG, INFO
from types import SimpleNamespace
from typing import Any

import torch
from mmengine import logging
from mmengine.config import config
from mmengine.dataset import base_dataset
from mmengine.registry import default_scope
from mmengine.runner import loops
from mmengine.visualization import Visualizer
from yapf.yapflib import yapf_api

__all__ = ['leave_out_looks']


def _without_debugging(print_log: Callable[..., None]) -> Callable[..., None]:
    def print_if_seen(msg: str, logger: Any = None, level: int = INFO) -> None:
        if level > DEBUG:
            print_log(msg, logger, level)

    return print_if_seen


def leave_out_looks() -> None:
    """Log configs as they are, share the figures of visualizers, keep the garbage, and never sleep.

    mmengine lays out the text of a config with yapf whenever it is logged or written, every runner has a
    visualizer, which makes two figures of matplotlib, though no test draws on them, and every data set looks for
    garbage when it is made, in all that the tests before have left. A loop by iterations sleeps two seconds
    wherever an epoch would end, for the sake of loaders with workers. torch notes for every kind of device that is
    not there which seed it is to get, and from where it was called, each in a millisecond. Whenever something is
    built, mmengine sleeps so that the clock gives it another name; numbers do that, too. And every look-up in a
    registry makes a record for a debugging log that no handler takes.
    """
    logging.print_log = _without_debugging(logging.print_log)  # registries import it from there when they look up
    default_scope.time = SimpleNamespace(sleep=lambda seconds: None, time=itertools.count().__next__)
    for device in (torch.cuda, torch.xpu, torch.mtia):
        if not device.is_available():
            device.manual_seed_all = lambda seed: None
    loops.time = SimpleNamespace(sleep=lambda seconds: None)
    base_dataset.gc = SimpleNamespace(collect=lambda: 0)
    config.FormatCode = yapf_api.FormatCode = lambda text, **_: (text, True)  # the stacks look in either place
    make_figure = Visualizer._initialize_fig

    @functools.cache
    def figure(items: tuple[tuple[str, Any], ...]) -> tuple[Any, ...]:
        return make_figure(None, dict(items))

    Visualizer._initialize_fig = lambda self, fig_cfg: figure(tuple(sorted(fig_cfg.items())))
