"""One try at a job, as every executor makes it: its log, its place, and what came of it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mmfas.benchmark.jobs import Job, do_job
from mmfas.benchmark.record import Record
from mmfas.utils.locks import BusyError

DONE, LEFT, FAILED = 'done', 'left', 'failed'


@dataclass(frozen=True)
class Outcome:
    """What came of a try.

    Args:
        kind: `'done'`, `'left'` to another process that does the same training, or `'failed'`.
        text: The first numbers, or the reason.
    """

    kind: str
    text: str


def log_of(job: Job) -> Path:
    """Return the file that takes what a job prints.

    Args:
        job: The job.
    """
    return job.folder / 'log.txt'


def attempt(job: Job, place: str | None, threads: int) -> Outcome:
    """Do a job in this process; what it prints goes to a file beside its checkpoints.

    Args:
        job: The job.
        place: A GPU as `CUDA_VISIBLE_DEVICES` knows it, or `'cpu'`; None leaves that as the scheduler set it.
        threads: Threads of torch on the CPU.

    Returns:
        What came of it; only what ends a process is raised.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    with open(log_of(job), 'a', encoding='utf-8') as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if place not in ('cpu', None):
        os.environ['CUDA_VISIBLE_DEVICES'] = str(place)
    elif place == 'cpu' or not torch.cuda.is_available():
        torch.set_num_threads(threads)
    try:
        return Outcome(DONE, _results(do_job(job)))
    except BusyError as error:
        return Outcome(LEFT, str(error))
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        return Outcome(FAILED, f'{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ""}')


def line_of(job: Job, outcome: Outcome) -> tuple[str, bool]:
    """Return the line that reports the end of a job, and whether it failed.

    Args:
        job: The job.
        outcome: What came of it.
    """
    if outcome.kind != FAILED:
        return f'{job.name}: {outcome.text}', False
    return f'{job.name}: failed, {outcome.text}; the full message is in {log_of(job)}', True


def stop(number: int, frame: object) -> None:
    """End this process from wherever it is, so that everything is closed on the way out: a handler of SIGTERM.

    Args:
        number: The signal.
        frame: Where it came; not read.
    """
    raise SystemExit(128 + number)


def _results(made: Sequence[Record]) -> str:
    """Return the first cell's numbers in a few words."""
    if not made:
        return 'nothing left to do'
    report, seconds = made[0].report, sum(record.seconds['score'] for record in made) + made[0].seconds['train']
    numbers = f'HTER {100 * report["hter"]["value"]:.2f}, AUC {100 * report["auc"]["value"]:.2f}'
    return f'{made[0].cell.name}: {numbers}; {len(made)} cell(s) in {seconds:.0f} s'
