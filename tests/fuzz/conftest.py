"""The attacks are left out of the quick suite: `python -m pytest tests/fuzz -m fuzz` runs them."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the attacks out unless `-m` or a file of theirs is given."""
    if config.option.markexpr or any('test_fuzz' in argument for argument in config.args):
        return
    left_out = [item for item in items if 'fuzz' in item.keywords]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
