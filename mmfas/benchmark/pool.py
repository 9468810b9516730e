"""Trainings in separate processes over GPUs or cores, with progress; one that fails does not stop the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from mmfas.benchmark.attempt import FAILED, Outcome, attempt, line_of, stop
from mmfas.benchmark.jobs import Job
from mmfas.benchmark.progress import HEARTBEAT_S, Clock

#: Seconds that a process has to end by itself.
GRACE_S = 5.0


@dataclass
class _Running:
    """A process and what is known of it."""

    job: Job
    place: str
    process: Any
    answers: Connection
    started: float = field(default_factory=time.monotonic)


def run_jobs(jobs: Sequence[Job], places: Sequence[str], *, report: Callable[[str], None]) -> list[str]:
    """Do jobs, each in a fresh process, one at a time in every place.

    Args:
        jobs: The jobs.
        places: One entry per process at a time: a GPU as `CUDA_VISIBLE_DEVICES` knows it, or `'cpu'`.
        report: Called with lines of progress.

    Returns:
        One message per job that failed; the others are not touched by it.
    """
    waiting, free = list(jobs), list(places)
    running: list[_Running] = []
    clock, failures = Clock(jobs), []
    context = _context()
    try:
        while waiting or running:
            while waiting and free:
                running.append(_start(context, waiting.pop(0), free.pop(0), len(places)))
            wait([item.process.sentinel for item in running], timeout=HEARTBEAT_S)
            ended = [item for item in running if not item.process.is_alive()]
            for item in ended:
                running.remove(item)
                free.append(item.place)
                line, failed = line_of(item.job, _outcome(item))
                failures += [line] if failed else []
                clock.end()
                report(f'{clock.stand([one.job for one in running])} {line}')
            if running and not ended:
                at_work = [one.job for one in running]
                report(f'{clock.stand(at_work)} {", ".join(map(clock.epoch, at_work))}')
    finally:
        _end(running)
    return failures


def _end(running: Sequence[_Running]) -> None:
    """Terminate processes, so that they stop their workers and remove partial files; kill those that remain."""
    for one in running:
        one.process.terminate()
    deadline = time.monotonic() + GRACE_S
    for one in running:
        one.process.join(max(0.0, deadline - time.monotonic()))
        one.process.kill()


def find_places(num_processes: int | None) -> list[str]:
    """Say where processes run: on the GPUs in turn, or all on the CPU where there is none.

    Args:
        num_processes: Processes at a time, at least 1; None takes one per GPU, or one.

    Returns:
        Entries for `run_jobs`; of the GPUs that `CUDA_VISIBLE_DEVICES` leaves, by their names there.
    """
    visible = [text.strip() for text in os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',') if text.strip()]
    number = torch.cuda.device_count()
    if not number:
        return ['cpu'] * (num_processes or 1)
    gpus = visible[:number] or [str(index) for index in range(number)]
    return [gpus[index % number] for index in range(num_processes or number)]


def _context() -> Any:
    """Return the start method: forked from a server that has imported everything, where that is available."""
    if 'forkserver' not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context('spawn')
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['mmfas.benchmark.jobs', 'mmpretrain.models', 'cv2'])
    return context


def _start(context: Any, job: Job, place: str, num_places: int) -> _Running:
    """Start the process of a job."""
    ours, theirs = context.Pipe()
    threads = max(1, (os.cpu_count() or 1) // num_places)
    process = context.Process(target=_child, args=(job, place, threads, theirs), name=job.name)
    process.start()
    theirs.close()
    return _Running(job, place, process, ours)


def _child(job: Job, place: str, threads: int, answers: Connection) -> None:
    """Do a job and answer with its outcome."""
    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=_end_with_parent, args=(answers,), daemon=True).start()
    answers.send(attempt(job, place, threads))


def _end_with_parent(answers: Connection) -> None:
    """End this process when its parent is gone, or a training would continue that nobody waits for."""
    try:
        answers.recv()  # nothing is ever sent this way: it ends when the other side does
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(1)


def _outcome(ended: _Running) -> Outcome:
    """Return what came of an ended process."""
    ended.process.join()
    try:
        found = ended.answers.recv() if ended.answers.poll() else None
    except EOFError:
        found = None
    if isinstance(found, Outcome):
        return found
    code = ended.process.exitcode
    return Outcome(FAILED, f'killed by signal {-code} (out of memory?)' if code < 0 else f'exit status {code}')
