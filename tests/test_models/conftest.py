"""One thread and a quiet log for tiny models: the work of a second thread costs more than it saves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from mmengine.logging import MMLogger


@pytest.fixture(autouse=True)
def _small_and_quiet() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')
    yield
    logger.setLevel(level)
    torch.set_num_threads(threads)
