"""Answers concurrent requests in batches.

A batch never waits to fill up: the requests that arrive while one batch is computed form the next
one, at most `max_batch` cost. The queue is bounded; a request that finds it full is rejected at
once, so waiting times stay short under any load.

Jobs that cost more than one batch wait in a queue of their own. They are computed in slices, one
slice of the oldest job after each batch, and each job in turn. So a large job delays the others by
one slice, and does not fill their queue.

`ThreadBatcher` computes on its own thread, so the event loop keeps reading requests. The handover
to a thread and back takes longer than a fast model needs, so `InlineBatcher` computes in the event
loop, one batch per iteration of the loop. It takes no large jobs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from starlette.requests import ClientDisconnect

from nextclick.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nextclick.serving.explanation import ExplanationSummary
    from nextclick.serving.recommendation import Recommendation
    from nextclick.serving.request import ResolvedRequest

    Answer: TypeAlias = tuple[Recommendation, ExplanationSummary | None]
    AnswerFuture: TypeAlias = Future[list[Answer]] | asyncio.Future[list[Answer]]


class Answering(Protocol):
    """Answers requests: a recommender, or what computes the rows of an explanation."""

    def answer(self, requests: Sequence[ResolvedRequest]) -> list[Any]:
        """An answer to each request."""
        ...

    def explanations(self, requests: Sequence[ResolvedRequest]) -> list[Any]:
        """What explains each answer, or None."""
        ...


LARGE_QUEUE = 4  # the queue of large jobs holds this multiple of max_queue


def _always() -> bool:
    return True


@dataclass(slots=True, eq=False)
class _Job:
    """Requests of one caller to one model."""

    recommender: Answering
    requests: Sequence[ResolvedRequest]
    costs: Sequence[int]  # of each request
    deadline: float  # of the clock of the batcher
    wanted: Callable[[], bool]  # whether the client still waits
    future: AnswerFuture
    answers: list[Answer] = field(default_factory=list)  # of the first slices

    @property
    def cost(self) -> int:
        """Cost of the requests that are not answered."""
        return sum(self.costs[len(self.answers) :])

    def slice_end(self, max_cost: int) -> int:
        """The end of the next slice: at least one request, at most `max_cost`."""
        cost, end = 0, len(self.answers)
        while end < len(self.requests):
            cost += self.costs[end]
            if cost > max_cost and end > len(self.answers):
                break
            end += 1
        return end


def _ignore(size: int) -> None:
    del size


class RequestBatcher:
    """A bounded queue of requests, computed in batches.

    Args:
        max_queue: cost of the requests that may wait.
        max_batch: cost of a batch.
        on_batch: called with the number of requests of each batch.
        clock: of deadlines, in seconds.
    """

    def __init__(
        self,
        *,
        max_queue: int = 256,
        max_batch: int = 32,
        on_batch: Callable[[int], None] = _ignore,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.max_queue = max_queue
        self.max_batch = max_batch
        self._on_batch = on_batch
        self._clock = clock
        self._jobs: deque[_Job] = deque()
        self._queued = 0  # cost of all jobs
        self._closed = False

    @property
    def queued(self) -> int:
        """Cost of the waiting requests."""
        return self._queued

    def check_capacity(self, cost: int) -> None:
        """Check that requests of a cost fit into the queue.

        Raises:
            RequestError: the queue is full, or the batcher is closed.
        """
        self._check_capacity(cost, self._queued, self.max_queue)

    def _check_capacity(self, cost: int, queued: int, limit: int) -> None:
        if self._closed:
            raise RequestError(
                "the server is shutting down; retry in a second", status=503, retry_after=1
            )
        if queued and queued + cost > limit:
            raise RequestError(
                f"the queue is full: requests of cost {queued} are waiting, the maximum is "
                f"{limit}; retry in a second",
                status=503,
                retry_after=1,
            )

    def _enqueue(self, job: _Job) -> None:
        cost = job.cost
        self.check_capacity(cost)
        self._jobs.append(job)
        self._queued += cost

    def _next_batch(self) -> list[_Job]:
        """The oldest jobs for one model, up to the cost of a batch."""
        batch: list[_Job] = []
        cost = 0
        while self._jobs:
            job = self._jobs[0]
            other_model = batch and job.recommender is not batch[0].recommender
            if other_model or (batch and cost + job.cost > self.max_batch):
                break
            batch.append(self._jobs.popleft())
            cost += job.cost
            self._queued -= job.cost
        return batch

    def _is_dropped(self, job: _Job) -> bool:
        """Drop a job whose client has left, or whose time is over, before it costs anything."""
        if job.future.cancelled():
            return True
        if job.deadline < self._clock():
            _fail(job.future, TimeoutError())
            return True
        if not job.wanted():
            _fail(job.future, ClientDisconnect())
            return True
        return False

    def _compute(self, jobs: list[_Job]) -> None:
        active = [job for job in jobs if not self._is_dropped(job) and _start(job.future)]
        try:
            self._compute_together(active)
        except Exception:  # the batcher must survive any failure of a model
            self._compute_separately(active)

    def _compute_together(self, jobs: list[_Job]) -> None:
        requests = [request for job in jobs for request in job.requests]
        if not requests:
            return
        self._on_batch(len(requests))
        answers = iter(_answers(jobs[0].recommender, requests))
        for job in jobs:
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
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__(max_queue=max_queue, max_batch=max_batch, on_batch=on_batch, clock=clock)
        self._large: deque[_Job] = deque()
        self._large_queued = 0  # cost of all large jobs, without finished slices
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="nextclick-batcher", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Cost of the waiting requests, large jobs included."""
        return self._queued + self._large_queued

    def check_capacity(self, cost: int) -> None:
        """See `RequestBatcher`; large jobs have a queue of their own."""
        if cost > self.max_batch:
            self._check_capacity(cost, self._large_queued, LARGE_QUEUE * self.max_queue)
        else:
            super().check_capacity(cost)

    @contextmanager
    def reserve(self, cost: int) -> Iterator[None]:
        """Hold room in the queue of large jobs while a request of a cost is prepared.

        Raises:
            RequestError: as `check_capacity`.
        """
        self.check_capacity(cost)
        held = cost if cost > self.max_batch else 0
        with self._condition:
            self._large_queued += held
        try:
            yield
        finally:
            with self._condition:
                self._large_queued -= held

    def submit(
        self,
        recommender: Answering,
        requests: Sequence[ResolvedRequest],
        *,
        timeout: float,
        costs: Sequence[int] | None = None,
        wanted: Callable[[], bool] = _always,
    ) -> Future[list[Answer]]:
        """Enqueue requests; the future yields one answer for each.

        Args:
            recommender: the model that answers, even if another version is activated meanwhile.
            requests: at least one request.
            timeout: seconds after which the answer is no longer needed.
            costs: cost of each request; None is 1 each.
            wanted: whether the client still waits; called on the thread.

        Raises:
            RequestError: as `check_capacity`.
        """
        future: Future[list[Answer]] = Future()
        costs = [1] * len(requests) if costs is None else costs
        job = _Job(recommender, requests, costs, self._clock() + timeout, wanted, future)
        with self._condition:
            self._enqueue(job)
            self._condition.notify()
        return future

    def close(self) -> None:
        """Compute the waiting requests, then stop the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join()

    def _enqueue(self, job: _Job) -> None:
        cost = job.cost
        if cost <= self.max_batch:
            super()._enqueue(job)
            return
        self.check_capacity(cost)
        self._large.append(job)
        self._large_queued += cost

    def _run(self) -> None:
        while True:
            with self._condition:
                while not (self._jobs or self._large or self._closed):
                    self._condition.wait()
                jobs = self._next_batch()
                large = self._large[0] if self._large else None
            if not jobs and large is None:
                return
            self._compute(jobs)
            if large is not None:
                self._compute_slice(large)

    def _compute_slice(self, job: _Job) -> None:
        """Compute the next slice of the oldest large job, and move the job to the end."""
        before = job.cost
        finished = self._is_dropped(job)
        if not finished:
            end = job.slice_end(self.max_batch)
            try:
                requests = job.requests[len(job.answers) : end]
                self._on_batch(len(requests))
                job.answers += _answers(job.recommender, requests)
            except Exception as error:  # reported to the caller
                finished = True
                _fail(job.future, error)
            else:
                finished = end == len(job.requests)
                if finished and _start(job.future):
                    job.future.set_result(job.answers)
        with self._condition:
            self._large.popleft()
            self._large_queued -= before if finished else before - job.cost
            if not finished:
                self._large.append(job)


class InlineBatcher(RequestBatcher):
    """Computes in the event loop: requests of one iteration are a batch of the next."""

    _scheduled = False  # whether a batch is scheduled

    def submit(
        self,
        recommender: Answering,
        requests: Sequence[ResolvedRequest],
        *,
        timeout: float,
        costs: Sequence[int] | None = None,
        wanted: Callable[[], bool] = _always,
    ) -> asyncio.Future[list[Answer]]:
        """As `ThreadBatcher.submit`; must be called in the event loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Answer]] = loop.create_future()
        costs = [1] * len(requests) if costs is None else costs
        self._enqueue(_Job(recommender, requests, costs, self._clock() + timeout, wanted, future))
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


def _fail(future: AnswerFuture, error: Exception) -> None:
    if _start(future):
        future.set_exception(error)


def _answers(recommender: Answering, requests: Sequence[ResolvedRequest]) -> list[Answer]:
    answers = recommender.answer(requests)
    return list(zip(answers, recommender.explanations(requests), strict=True))
