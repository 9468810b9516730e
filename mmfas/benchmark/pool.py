"""Trainings in separate processes over GPUs or cores, with progress; one that fails does not stop the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from mmfas.apis.training import find_latest
from mmfas.benchmark.configs import num_epochs
from mmfas.benchmark.jobs import Job, do_job
from mmfas.utils.locks import BusyError

#: Seconds between two lines of progress while nothing ends.
HEARTBEAT_S = 60.0
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
    clock, failures = _Clock(jobs), []
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
                line, failed = _outcome(item)
                failures += [line] if failed else []
                clock.end(item)
                report(f'{clock.stand(running)} {line}')
            if running and not ended:
                report(f'{clock.stand(running)} {clock.under_way(running)}')
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
    """Do a job; what it prints goes to a file beside its checkpoints."""
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, args=(answers,), daemon=True).start()
    job.folder.mkdir(parents=True, exist_ok=True)
    with open(job.folder / 'log.txt', 'a', encoding='utf-8') as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if place != 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = place
    else:
        torch.set_num_threads(threads)
    try:
        made = do_job(job)
        answers.send(('done', _results(made)))
    except BusyError as error:
        answers.send(('left', str(error)))
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        answers.send(('failed', f'{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ""}'))


def _end_with_parent(answers: Connection) -> None:
    """End this process when its parent is gone, or a training would continue that nobody waits for."""
    try:
        answers.recv()  # nothing is ever sent this way: it ends when the other side does
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(1)


def _stop(number: int, frame: object) -> None:
    """End this process from wherever it is, so that everything is closed on the way out."""
    raise SystemExit(128 + number)


def _results(made: Sequence[Any]) -> str:
    """Return the first cell's numbers in a few words."""
    if not made:
        return 'nothing left to do'
    report, seconds = made[0].report, sum(record.seconds['score'] for record in made) + made[0].seconds['train']
    numbers = f'HTER {100 * report["hter"]["value"]:.2f}, AUC {100 * report["auc"]["value"]:.2f}'
    return f'{made[0].cell.name}: {numbers}; {len(made)} cell(s) in {seconds:.0f} s'


def _outcome(ended: _Running) -> tuple[str, bool]:
    """Return the line of an ended process and whether it failed."""
    ended.process.join()
    name, log = ended.job.name, ended.job.folder / 'log.txt'
    try:
        kind, text = ended.answers.recv() if ended.answers.poll() else ('', '')
    except EOFError:
        kind, text = '', ''
    if kind in ('done', 'left'):
        return f'{name}: {text}', False
    code = ended.process.exitcode
    reason = text or (f'killed by signal {-code} (out of memory?)' if code < 0 else f'exit status {code}')
    return f'{name}: failed, {reason}; the full message is in {log}', True


class _Clock:
    """Progress and remaining time, in units of one whole training."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._start = time.monotonic()
        self._total = len(jobs)
        self._ended = 0
        self._epochs = {job.method.name: num_epochs(job.method.load()) for job in jobs}
        self._had = {job.name: self._fraction(job) for job in jobs}

    def _fraction(self, job: Job) -> float:
        """Return the fraction of a training that is done, by its last checkpoint."""
        last = find_latest(job.folder)
        number = 0 if last is None else int(last.stem.rpartition('_')[2])
        return 0.95 * number / self._epochs[job.method.name]

    def end(self, ended: _Running) -> None:
        """Count a job as done."""
        self._ended += 1

    def stand(self, running: Sequence[_Running]) -> str:
        """Return the number of finished jobs and the remaining time."""
        done = self._ended + sum(self._fraction(item.job) for item in running)
        fresh = done - sum(self._had.values())
        count = f'[{self._ended}/{self._total}]'
        if fresh <= 0.02 or self._ended == self._total:
            return count
        left = (time.monotonic() - self._start) / fresh * (self._total - done)
        return f'{count} {_duration(left)} left:'

    def under_way(self, running: Sequence[_Running]) -> str:
        """Name the running jobs and their epochs."""
        epochs = (
            (item.job.name, self._epochs[item.job.method.name], self._fraction(item.job)) for item in running
        )
        return ', '.join(f'{name} epoch {round(done / 0.95 * number)}/{number}' for name, number, done in epochs)


def _duration(seconds: float) -> str:
    """Return a time span in words.

    >>> _duration(5400), _duration(50)
    ('1 h 30 min', '1 min')
    """
    minutes = max(1, round(seconds / 60))
    return f'{minutes // 60} h {minutes % 60:02d} min' if minutes >= 60 else f'{minutes} min'
