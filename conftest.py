"""Settings of all tests, of projects too: quiet matplotlib, few threads, what a plain run leaves out or skips."""

from __future__ import annotations

import gc
import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault('MPLBACKEND', 'Agg')

import pytest
import torch
from memory_files import clean_up, keep_files_in_memory
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from optional_markers import is_left_out
from quick_engine import leave_out_looks

#: Folder of the temporary files, if it is in memory, and whether all tests have passed.
_IN_MEMORY, _PASSED = pytest.StashKey[Path | None](), pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Use two cores, or one for each of several test processes, and both for what counts."""
    torch.set_num_threads(1 if 'PYTEST_XDIST_WORKER' in os.environ else min(2, os.cpu_count() or 1))
    leave_out_looks()
    gc.set_threshold(100_000, 20, 100)  # garbage is looked for between files; here it takes a tenth of all time
    if 'PYTEST_XDIST_WORKER' not in os.environ:  # workers are told where to write
        config.stash[_IN_MEMORY] = keep_files_in_memory()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remember whether the temporary files are of interest to anybody."""
    session.config.stash[_PASSED] = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let everything be cleaned up at the end; see `_out_of_sight_of_the_garbage_collector`."""
    gc.unfreeze()
    clean_up(config.stash.get(_IN_MEMORY, None), is_passed=config.stash.get(_PASSED, True))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what nobody asked for, and skip GPU tests on machines without a GPU."""
    leave_out_optional(config, items)
    slow_files_first(items)
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason='no CUDA device')
    for item in items:
        if item.get_closest_marker('gpu') is not None:  # keywords also hold the name of the folder
            item.add_marker(skip)


def slow_files_first(items: list[pytest.Item]) -> None:
    """Let no process start on a file of minutes when the others are done; see `tools/run_tests.sh`.

    A slow test counts 4 seconds, or as many as its marker says.
    """
    seconds: Counter[Path] = Counter()
    for item in items:
        slow = item.get_closest_marker('slow')
        if slow is not None:
            seconds[item.path] += slow.args[0] if slow.args else 4
    items.sort(key=lambda item: -seconds[item.path])  # stable: all else stays as it is


def leave_out_optional(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests of records, fuzzing and tutorials unless their marker, file or node is named."""
    base, expression = config.invocation_params.dir, config.option.markexpr
    arguments = [str(base / argument) for argument in config.args]
    left_out = [
        item
        for item in items
        if is_left_out(
            {marker.name for marker in item.iter_markers()}, item.path, arguments=arguments, expression=expression
        )
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True, scope='module')
def _out_of_sight_of_the_garbage_collector() -> None:
    """Keep what a file of tests leaves behind from being looked through again and again.

    mmengine collects garbage whenever a data set is made: late in a session, with millions of live objects, that
    takes a second every time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Give every test the same start of torch's generator, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _scope() -> Iterator[None]:
    """Forget the default scope that a Runner of this test has set: it is global and decides what is found."""
    before = DefaultScope._instance_dict.copy()
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


@pytest.fixture(autouse=True)
def _open_log_files_only() -> None:
    """Forget log files of earlier runs that are closed: mmengine writes to them when a model is initialised."""
    for logger in MMLogger._instance_dict.values():
        for handler in [*logger.handlers]:
            if isinstance(handler, logging.FileHandler) and handler.stream is None:
                logger.removeHandler(handler)


@pytest.fixture
def small_and_quiet() -> Iterator[None]:
    """One thread and a quiet log for tiny models: the work of a second thread costs more than it saves."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')
    yield
    logger.setLevel(level)
    torch.set_num_threads(threads)
