"""The one fork server of a test process: what it forks has imported torch, the engine and mmfas already."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest import mock

_HERE = Path(__file__).resolve().parent


def warm_context() -> Any:
    """Return the context of the server, started if need be; the benchmark's pool then forks from it, too.

    Unlike a fork of the test process, what it forks has no threads that a fork breaks.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['warm'])
    with mock.patch.dict(os.environ, PYTHONPATH=search_path()):
        forkserver.ensure_running()
    return context


def search_path() -> str:
    """Return the `PYTHONPATH` with which a server finds `warm` and the mmfas of these tests."""
    return os.pathsep.join(filter(None, (str(_HERE.parents[1]), str(_HERE), os.environ.get('PYTHONPATH'))))
