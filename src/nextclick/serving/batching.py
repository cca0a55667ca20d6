"""Answers concurrent requests in batches.

A batch never waits to fill up: the requests that arrive while one batch is computed form the next
one, at most `max_batch` requests. The queue is bounded; a request that finds it full is rejected at
once, so waiting times stay short under any load.

`ThreadBatcher` computes on its own thread, so the event loop keeps reading requests. The handover
to a thread and back takes longer than a fast model needs, so `InlineBatcher` computes in the event
loop, one batch per iteration of the loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from nextclick.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextclick.serving.explanation import ExplanationSummary
    from nextclick.serving.recommender import Recommendation, Recommender
    from nextclick.serving.request import ResolvedRequest

    Answer: TypeAlias = tuple[Recommendation, ExplanationSummary | None]
    AnswerFuture: TypeAlias = Future[list[Answer]] | asyncio.Future[list[Answer]]


@dataclass(slots=True, eq=False)
class _Job:
    """Requests of one caller to one model."""

    recommender: Recommender
    requests: Sequence[ResolvedRequest]
    deadline: float  # of time.monotonic()
    future: AnswerFuture


def _ignore(size: int) -> None:
    del size


class RequestBatcher:
    """A bounded queue of requests, computed in batches.

    Args:
        max_queue: number of requests that may wait.
        max_batch: number of requests in a batch.
        on_batch: called with the number of requests of each batch.
    """

    def __init__(
        self,
        *,
        max_queue: int = 256,
        max_batch: int = 32,
        on_batch: Callable[[int], None] = _ignore,
    ):
        self.max_queue = max_queue
        self.max_batch = max_batch
        self._on_batch = on_batch
        self._jobs: deque[_Job] = deque()
        self._queued = 0  # requests of all jobs
        self._closed = False

    @property
    def queued(self) -> int:
        """Number of waiting requests."""
        return self._queued

    def check_capacity(self, n: int) -> None:
        """Check that n more requests fit into the queue.

        Raises:
            RequestError: the queue is full, or the batcher is closed.
        """
        if self._closed:
            raise RequestError(
                "the server is shutting down; retry in a second", status=503, retry_after=1
            )
        if self._queued and self._queued + n > self.max_queue:
            raise RequestError(
                f"the queue is full: {self._queued} requests are waiting, the maximum is "
                f"{self.max_queue}; retry in a second",
                status=503,
                retry_after=1,
            )

    def _enqueue(self, job: _Job) -> None:
        self.check_capacity(len(job.requests))
        self._jobs.append(job)
        self._queued += len(job.requests)

    def _next_batch(self) -> list[_Job]:
        """The oldest jobs for one model, up to the size of a batch."""
        batch: list[_Job] = []
        size = 0
        while self._jobs:
            job = self._jobs[0]
            other_model = batch and job.recommender is not batch[0].recommender
            if other_model or (batch and size + len(job.requests) > self.max_batch):
                break
            batch.append(self._jobs.popleft())
            size += len(job.requests)
            self._queued -= len(job.requests)
        return batch

    def _compute(self, jobs: list[_Job]) -> None:
        try:
            self._compute_together(jobs)
        except Exception:  # the batcher must survive any failure of a model
            self._compute_separately(jobs)

    def _compute_together(self, jobs: list[_Job]) -> None:
        now = time.monotonic()
        active = []
        for job in jobs:
            if not _start(job.future):
                continue
            if job.deadline < now:
                job.future.set_exception(TimeoutError())
            else:
                active.append(job)
        requests = [request for job in active for request in job.requests]
        if not requests:
            return
        self._on_batch(len(requests))
        answers = iter(_answers(active[0].recommender, requests))
        for job in active:
            job.future.set_result([next(answers) for _ in job.requests])

    def _compute_separately(self, jobs: list[_Job]) -> None:
        """Isolate the request that fails from the others of its batch."""
        for job in jobs:
            if job.future.done():
                continue
            try:
                job.future.set_result(_answers(job.recommender, job.requests))
            except Exception as error:  # reported to the caller
                job.future.set_exception(error)


class ThreadBatcher(RequestBatcher):
    """Computes on one thread of its own."""

    def __init__(
        self,
        *,
        max_queue: int = 256,
        max_batch: int = 32,
        on_batch: Callable[[int], None] = _ignore,
    ):
        super().__init__(max_queue=max_queue, max_batch=max_batch, on_batch=on_batch)
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="nextclick-batcher", daemon=True)
        self._thread.start()

    def submit(
        self, recommender: Recommender, requests: Sequence[ResolvedRequest], *, timeout: float
    ) -> Future[list[Answer]]:
        """Enqueue requests; the future yields one answer for each.

        Args:
            recommender: the model that answers, even if another version is activated meanwhile.
            requests: at least one request.
            timeout: seconds after which the answer is no longer needed.

        Raises:
            RequestError: as `check_capacity`.
        """
        future: Future[list[Answer]] = Future()
        with self._condition:
            self._enqueue(_Job(recommender, requests, time.monotonic() + timeout, future))
            self._condition.notify()
        return future

    def close(self) -> None:
        """Compute the waiting requests, then stop the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._jobs and not self._closed:
                    self._condition.wait()
                jobs = self._next_batch()
            if not jobs:
                return
            self._compute(jobs)


class InlineBatcher(RequestBatcher):
    """Computes in the event loop: requests of one iteration are a batch of the next."""

    _scheduled = False  # whether a batch is scheduled

    def submit(
        self, recommender: Recommender, requests: Sequence[ResolvedRequest], *, timeout: float
    ) -> asyncio.Future[list[Answer]]:
        """As `ThreadBatcher.submit`; must be called in the event loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Answer]] = loop.create_future()
        self._enqueue(_Job(recommender, requests, time.monotonic() + timeout, future))
        self._schedule(loop)
        return future

    def close(self) -> None:
        """Compute the waiting requests, then stop; must be called in the event loop."""
        self._closed = True
        while jobs := self._next_batch():
            self._compute(jobs)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._jobs and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._run_once, loop)

    def _run_once(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = False
        self._compute(self._next_batch())
        self._schedule(loop)  # after pending callbacks, so that new requests are rejected in time


def _start(future: AnswerFuture) -> bool:
    """Mark a future as running; False if it was cancelled."""
    if isinstance(future, Future):
        return future.set_running_or_notify_cancel()
    return not future.done()


def _answers(recommender: Recommender, requests: Sequence[ResolvedRequest]) -> list[Answer]:
    answers = recommender.answer(requests)
    return list(zip(answers, recommender.explanations(requests), strict=True))
