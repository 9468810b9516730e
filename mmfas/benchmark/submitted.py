"""What runs of a job in a process that submitit starts, here or on a node of a cluster."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from mmfas.benchmark.attempt import LEFT, Outcome, attempt, stop
from mmfas.benchmark.jobs import Job

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

#: Seconds between two looks at whether the command that waits for this job still runs.
LOOK_S = 0.2
#: Seconds between two tries at a training that another job still holds.
RETRY_S = 20.0
#: Seconds that this process has to end by itself.
_GRACE_S = 5.0


@dataclass(frozen=True)
class SubmittedJob:
    """A job as submitit keeps it: it can be stopped at any time and started again from the same file.

    Args:
        job: The job.
        place: See `attempt`.
        threads: See `attempt`.
        driver: Lock file that the command which waits for the job holds; the job ends when the command does. None:
            the job is the scheduler's and outlives the command.
    """

    job: Job
    place: str | None
    threads: int
    driver: str | None = None

    def __call__(self) -> Outcome:
        """Do the job."""
        if self.driver is not None:
            signal.signal(signal.SIGTERM, stop)
            threading.Thread(target=_end_with_driver, args=(self.driver,), daemon=True).start()
        outcome = attempt(self.job, self.place, self.threads)
        while outcome.kind == LEFT and self.driver is None:
            # A job that an earlier command submitted: when it ends, nothing is left to do here, or its rest.
            time.sleep(RETRY_S)
            outcome = attempt(self.job, self.place, self.threads)
        return outcome

    def checkpoint(self) -> DelayedSubmission:
        """Say what is to be run when the scheduler takes the node away: the same, from the last saved epoch."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _end_with_driver(path: str) -> None:
    """End this process when the command that waits for it is gone: its lock is free then."""
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    while True:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            time.sleep(LOOK_S)
            continue
        lock.release()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE_S)
        os._exit(1)
