"""Batch norm where a batch has too few rows for statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def running_statistics(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Normalise by the running statistics, and leave them as they are, within a block.

    Args:
        modules: Modules whose batch norms do so; those in evaluation mode do it anyway.

    Yields:
        Nothing.
    """
    norms = [m for module in modules for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.training = True
