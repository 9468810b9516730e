"""Trainings through submitit: on this machine, or as an array job of a Slurm cluster; done as in the pool."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from mmfas.benchmark.attempt import FAILED, Outcome, line_of
from mmfas.benchmark.jobs import Job
from mmfas.benchmark.progress import HEARTBEAT_S, Clock
from mmfas.benchmark.submitted import SubmittedJob
from mmfas.utils.errors import InputError, MissingPackageError, RunError
from mmfas.utils.files import write_atomically

#: Seconds between two looks at jobs, and at the queue of a cluster.
POLL_S, QUEUE_S = 0.5, 15.0
#: Seconds that the result of a job may take through a shared file system after it has left the queue.
RESULT_S = 60.0
#: How often a job may reach its time limit; more often, and an epoch does not fit into it.
_MOST_TIMEOUTS = 50
#: Minutes of a limit that is none.
_NO_LIMIT = 60 * 24 * 365
#: File in the folder of a training that says which job of a cluster does it.
TICKET = 'submitted.json'


@dataclass
class _Running:
    """A job that was submitted, and what is known of it."""

    job: Job
    handle: Any
    place: str | None = None
    left_queue: float | None = None
    said: str = ''
    state: str = field(default='submitted')


def run_local(jobs: Sequence[Job], places: Sequence[str], *, report: Callable[[str], None]) -> list[str]:
    """Do jobs through submitit's local executor, one at a time in every place; they end with this process.

    Args:
        jobs: The jobs, at least none; all with one work dir.
        places: As for `mmfas.benchmark.pool.run_jobs`.
        report: Called with lines of progress.

    Returns:
        One message per job that failed.

    Raises:
        MissingPackageError: If submitit is not installed.
    """
    submitit = _submitit()
    if not jobs:
        return []
    folder = _folder(jobs)
    waiting, free = list(jobs), list(places)
    threads = max(1, (os.cpu_count() or 1) // len(places))
    running: list[_Running] = []
    watch = _Watch(jobs, report)
    with _driver_lock(folder) as driver, ExitStack() as stack:
        stack.callback(_cancel, running)
        executor = submitit.LocalExecutor(folder=folder)
        executor.update_parameters(timeout_min=_NO_LIMIT)
        while waiting or running:
            while waiting and free:
                job, place = waiting.pop(0), free.pop(0)
                handle = executor.submit(SubmittedJob(job, place, threads, driver))
                running.append(_Running(job, handle, place))
            time.sleep(POLL_S)
            for one in [one for one in running if one.handle.done()]:
                running.remove(one)
                free.append(str(one.place))
                watch.end(one, _outcome(one), running)
            watch.beat(running)
    return watch.failures


def run_slurm(
    jobs: Sequence[Job],
    num_at_a_time: int | None,
    parameters: Mapping[str, Any],
    *,
    report: Callable[[str], None],
) -> list[str]:
    """Do jobs as an array job of a Slurm cluster; those that an earlier call submitted are only waited for.

    Args:
        jobs: The jobs; all with one work dir, on a file system that all nodes have.
        num_at_a_time: Jobs of the array that run at the same time; None leaves it to the cluster.
        parameters: Options of sbatch by their names with `_` for `-`, such as `partition`; `time` in minutes.
        report: Called with lines of progress.

    Returns:
        One message per job that failed.

    Raises:
        MissingPackageError: If submitit is not installed.
        RunError: If there is no Slurm here, or it refuses the jobs.
        ValueError: If submitit knows no such option.
    """
    submitit = _submitit()
    if not jobs:
        return []
    executor = _slurm_executor(submitit, _folder(jobs), num_at_a_time or len(jobs), parameters)
    running, fresh = _earlier_jobs(submitit, jobs)
    for one in running:
        report(f'{one.job.name}: job {one.handle.job_id} of an earlier call does it')
    running += _submit(executor, fresh, threads=int(parameters.get('cpus_per_task', 1)))
    for one in running[len(running) - len(fresh) :]:
        report(f'{one.job.name}: submitted as job {one.handle.job_id}')
    watch, looked = _Watch(jobs, report), 0.0
    try:
        while running:
            time.sleep(POLL_S)
            if time.monotonic() - looked > QUEUE_S:
                _look_at_queue(running)
                looked = time.monotonic()
            for one in [one for one in running if _has_ended(one)]:
                running.remove(one)
                (one.job.folder / TICKET).unlink(missing_ok=True)
                watch.end(one, _outcome(one), running)
            watch.beat(running)
    finally:
        if running:
            ids = ' '.join(one.handle.job_id for one in running)
            report(f'{len(running)} jobs stay in the queue; the same command waits for them')
            report(f'scancel {ids}  # ends them')
    return watch.failures


class _Watch:
    """Lines of progress: one when a job ends, and now and then one for every job that has come further."""

    def __init__(self, jobs: Sequence[Job], report: Callable[[str], None]) -> None:
        self._clock, self._report = Clock(jobs), report
        self._beaten = time.monotonic()
        self.failures: list[str] = []

    def end(self, ended: _Running, outcome: Outcome, running: Sequence[_Running]) -> None:
        """Report the end of a job."""
        line, failed = line_of(ended.job, outcome)
        self.failures += [line] if failed else []
        self._clock.end()
        self._report(f'{self._clock.stand([one.job for one in running])} {line}')

    def beat(self, running: Sequence[_Running]) -> None:
        """Report jobs that have come further, at most once a minute."""
        if time.monotonic() - self._beaten < HEARTBEAT_S:
            return
        self._beaten = time.monotonic()
        stand = self._clock.stand([one.job for one in running])
        for one in running:
            line = f'{self._clock.epoch(one.job)} (job {one.handle.job_id}, {one.state})'
            if line != one.said:
                self._report(f'{stand} {line}')
                one.said = line


def _submitit() -> Any:
    """Import submitit."""
    try:
        import submitit
    except ImportError as error:
        raise MissingPackageError("this executor needs a further package: pip install 'mmfas[cluster]'") from error
    return submitit


def _folder(jobs: Sequence[Job]) -> Path:
    """Return the folder for what submitit writes."""
    folder = Path(jobs[0].settings.work_dir, 'submitit').absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _driver_lock(folder: Path) -> Iterator[str]:
    """Hold a lock as long as this command waits for jobs, however it ends."""
    path = str(folder / f'driver-{os.getpid()}-{time.time_ns()}.lock')
    with FileLock(path, thread_local=False, fallback_to_soft=False):
        yield path
    Path(path).unlink(missing_ok=True)


def _cancel(running: Sequence[_Running]) -> None:
    """End local jobs that were not waited for; what remains of them ends with the lock of this command."""
    for one in running:
        one.handle._process.terminate()
    for one in running:
        with suppress(subprocess.TimeoutExpired):
            one.handle._process.wait(RESULT_S)


def _outcome(ended: _Running) -> Outcome:
    """Return what came of an ended job."""
    path = ended.handle.paths.result_pickle
    if not path.exists():
        return Outcome(FAILED, f'job {ended.handle.job_id} ended without a result (killed, or out of memory?)')
    from submitit.core.utils import pickle_load

    kind, result = pickle_load(path)
    if kind == 'success' and isinstance(result, Outcome):
        return result
    lines = str(result).strip().splitlines()
    return Outcome(FAILED, f'job {ended.handle.job_id}: {lines[-1] if lines else kind}')


def _slurm_executor(submitit: Any, folder: Path, num_at_a_time: int, parameters: Mapping[str, Any]) -> Any:
    """Make the executor, and check the options of the user."""
    try:
        executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=_MOST_TIMEOUTS)
    except RuntimeError as error:
        raise RunError('there is no Slurm on this machine (no `srun`): run this on a login node') from error
    given = {'job_name': 'mmfas', 'time': 240, **parameters}
    try:
        executor.update_parameters(array_parallelism=num_at_a_time, **given)
    except (ValueError, TypeError) as error:
        known = ', '.join(sorted(executor._valid_parameters()))
        raise InputError(f'--slurm: {str(error).splitlines()[0]}; known are {known}') from error
    return executor


def _submit(executor: Any, jobs: Sequence[Job], *, threads: int) -> list[_Running]:
    """Submit jobs as one array, and note in the folder of each which job does it."""
    if not jobs:
        return []
    try:
        with executor.batch():
            handles = [executor.submit(SubmittedJob(job, None, threads)) for job in jobs]
    except Exception as error:  # sbatch says why on the last line
        raise RunError(f'Slurm refused the jobs: {str(error).strip().splitlines()[-1]}') from error
    for job, handle in zip(jobs, handles, strict=True):
        job.folder.mkdir(parents=True, exist_ok=True)
        ticket = {'job_id': handle.job_id, 'folder': str(handle.paths.folder), 'identity': _identity(job)}
        write_atomically(job.folder / TICKET, json.dumps(ticket))
    return [_Running(job, handle) for job, handle in zip(jobs, handles, strict=True)]


def _identity(job: Job) -> str:
    """Return what must be the same for a job of an earlier call to do this one."""
    members = [(member.identity.key, member.training.name) for member in (job, *job.dependents)]
    return json.dumps([members, str(job.settings)])


def _earlier_jobs(submitit: Any, jobs: Sequence[Job]) -> tuple[list[_Running], list[Job]]:
    """Find jobs that an earlier call submitted and that have not ended; return these and the others."""
    queue = _queue() or {}
    running, fresh = [], []
    for job in jobs:
        try:
            ticket = json.loads((job.folder / TICKET).read_text(encoding='utf-8'))
            number, folder = ticket['job_id'], ticket['folder']
            is_his = number in queue and ticket['identity'] == _identity(job)
        except (OSError, ValueError, KeyError, TypeError):
            is_his = False
        if is_his:
            running.append(_Running(job, submitit.SlurmJob(folder=folder, job_id=number)))
        else:
            fresh.append(job)
    return running, fresh


def _queue() -> dict[str, str] | None:
    """Return the state of every job of this user by its number; None if the cluster does not answer."""
    call = ['squeue', '--noheader', '--array', '--me', '--format=%i %T']
    try:
        done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    return dict(line.split(None, 1) for line in done.stdout.splitlines() if len(line.split()) > 1)


def _look_at_queue(running: Sequence[_Running]) -> None:
    """Note the state of jobs; accounting, which small clusters do not have, is not needed."""
    queue = _queue()
    if queue is None:
        return
    for one in running:
        found = queue.get(one.handle.job_id)
        one.state = 'ended' if found is None else found.strip().lower()
        one.left_queue = None if found is not None else one.left_queue or time.monotonic()


def _has_ended(one: _Running) -> bool:
    """Tell whether a job has given its result, or left the queue without one."""
    if one.handle.paths.result_pickle.exists():
        return True
    return one.left_queue is not None and time.monotonic() - one.left_queue > RESULT_S
