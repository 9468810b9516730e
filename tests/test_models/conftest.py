"""Tiny models: every test of this folder runs on one thread with a quiet log."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> None:
    """Use the fixture of the whole suite without being asked."""
