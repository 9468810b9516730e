"""Progress of a benchmark and the time that is left, in units of one whole training."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mmfas.apis.training import find_latest
from mmfas.benchmark.configs import num_epochs
from mmfas.benchmark.jobs import Job

#: Seconds between two lines of progress while nothing ends.
HEARTBEAT_S = 60.0


class Clock:
    """Progress and remaining time, by the checkpoints that are there.

    Args:
        jobs: All jobs.
    """

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

    def end(self) -> None:
        """Count a job as done."""
        self._ended += 1

    def stand(self, running: Sequence[Job]) -> str:
        """Return the number of finished jobs and the remaining time.

        Args:
            running: Jobs under way.
        """
        done = self._ended + sum(map(self._fraction, running))
        fresh = done - sum(self._had.values())
        count = f'[{self._ended}/{self._total}]'
        if fresh <= 0.02 or self._ended == self._total:
            return count
        left = (time.monotonic() - self._start) / fresh * (self._total - done)
        return f'{count} {_duration(left)} left:'

    def epoch(self, job: Job) -> str:
        """Name a job and its epoch.

        Args:
            job: A job under way.
        """
        number = self._epochs[job.method.name]
        return f'{job.name} epoch {round(self._fraction(job) / 0.95 * number)}/{number}'


def _duration(seconds: float) -> str:
    """Return a time span in words.

    >>> _duration(5400), _duration(50)
    ('1 h 30 min', '1 min')
    """
    minutes = max(1, round(seconds / 60))
    return f'{minutes // 60} h {minutes % 60:02d} min' if minutes >= 60 else f'{minutes} min'
