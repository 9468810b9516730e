"""Requests that arrive at the same time are judged at once, by one thread, which alone runs the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, Queue
from threading import Thread
from typing import TypeAlias

from mmfas.deploy.inputs import Sample
from mmfas.deploy.verdict import Verdict

__all__ = ['Batcher']

_Job: TypeAlias = tuple[Sample, 'Future[Verdict]']


class Batcher:
    """Judges samples from many callers in batches.

    Args:
        judge: Judges samples at once; called in one thread only.
        max_batch: Samples that are judged at once.
        max_wait_ms: Time that the first sample of a batch waits for others, in milliseconds.
        watch: Called with the size of every batch.
    """

    def __init__(
        self,
        judge: Callable[[Sequence[Sample]], Sequence[Verdict]],
        *,
        max_batch: int,
        max_wait_ms: float,
        watch: Callable[[int], object] = lambda size: None,
    ) -> None:
        self._judge = judge
        self._max_batch = max_batch
        self._max_wait_s = max_wait_ms / 1000
        self._watch = watch
        self._jobs: Queue[_Job | None] = Queue()
        self._thread = Thread(target=self._run, name='mmfas-batcher', daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether samples are judged."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, sample: Sample) -> Future[Verdict]:
        """Hand a sample in.

        Args:
            sample: What to judge.

        Returns:
            Its verdict, or the error that judging it raises, once it is known.
        """
        future: Future[Verdict] = Future()
        self._jobs.put((sample, future))
        return future

    def close(self) -> None:
        """Judge what was handed in before, then end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        """Judge batch after batch."""
        while batch := self._next_batch():
            wanted = [job for job in batch if job[1].set_running_or_notify_cancel()]
            if wanted:
                self._watch(len(wanted))
                self._answer(wanted)

    def _next_batch(self) -> list[_Job]:
        """Wait for the next batch; an empty one is the end."""
        first = self._jobs.get()
        if first is None:
            return []
        batch, until = [first], time.monotonic() + self._max_wait_s
        while len(batch) < self._max_batch:
            try:
                job = self._jobs.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                break
            if job is None:
                self._jobs.put(None)  # for the next call
                break
            batch.append(job)
        return batch

    def _answer(self, batch: Sequence[_Job]) -> None:
        """Judge a batch; if that fails, every sample alone, so that one does not spoil the others."""
        try:
            verdicts = self._judge([sample for sample, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for job in batch:
                self._answer([job])
            return
        for (_, future), verdict in zip(batch, verdicts, strict=True):
            future.set_result(verdict)
