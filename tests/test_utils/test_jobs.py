"""Long jobs in several processes: results, failures, and workers that are ended from outside."""

from __future__ import annotations

import functools
import math
import os
import signal

import pytest

from mmfas.utils.jobs import run_tasks


@pytest.mark.parametrize('num_processes', [1, 2])
def test_all_results_come_in_whatever_order(num_processes: int) -> None:
    assert sorted(run_tasks(math.sqrt, [1.0, 4.0, 9.0], num_processes)) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize('num_processes', [1, 2])
def test_the_error_of_a_task_is_that_of_the_job(num_processes: int) -> None:
    with pytest.raises(ValueError, match='math domain error|nonnegative'):
        list(run_tasks(math.sqrt, [1.0, -1.0], num_processes))


def test_a_worker_that_is_ended_ends_the_job_with_a_reason() -> None:
    with pytest.raises(RuntimeError, match='ended from outside.*run again with fewer processes'):
        list(run_tasks(os._exit, [9, 9], 2))


def test_nothing_to_do() -> None:
    assert list(run_tasks(math.sqrt, [], 4)) == []


def test_workers_leave_a_terminals_ctrl_c_to_the_one_in_charge() -> None:
    blocked = functools.partial(signal.pthread_sigmask, signal.SIG_BLOCK)
    assert all(signal.SIGINT in mask and signal.SIGTERM not in mask for mask in run_tasks(blocked, [[], []], 2))
    assert signal.SIGINT not in blocked([]) and signal.SIGHUP not in blocked([])
