"""Answers requests of many callers, as many at once as are waiting.

Nobody waits for a batch to fill: what has come while the last batch was answered is the next one,
at most `most` requests, and one request alone is a batch of one. The queue is bounded, and who
finds it full is told at once, so that waiting stays short whatever the load.

`Engine` answers on a thread of its own, so that the event loop goes on reading meanwhile. Handing
a request to a thread and its answer back costs more than a quick model needs, so `Turns` answers
in the loop itself, once in each of its turns.
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

    from nextclick.serving.explanation_summary import Reasons
    from nextclick.serving.recommender import Recommendation, Recommender
    from nextclick.serving.request import Wish

    Answer: TypeAlias = tuple[Recommendation, Reasons | None]
    Promise: TypeAlias = Future[list[Answer]] | asyncio.Future[list[Answer]]


@dataclass(slots=True, eq=False)
class _Job:
    """Requests of one caller to one model."""

    recommender: Recommender
    wishes: Sequence[Wish]
    deadline: float  # of time.monotonic()
    done: Promise


def _tells_nobody(n: int) -> None:
    del n


class _Queue:
    """Requests that wait, and how a batch of them is answered.

    Args:
        max_queue: requests that may wait.
        most: requests that are answered at once.
        told: called with the number of requests of each batch.
    """

    def __init__(
        self, *, max_queue: int = 256, most: int = 32, told: Callable[[int], None] = _tells_nobody
    ):
        self.max_queue = max_queue
        self.most = most
        self._told = told
        self._jobs: deque[_Job] = deque()
        self._waiting = 0  # requests in the queue
        self._stops = False

    @property
    def waiting(self) -> int:
        """How many requests wait to be taken."""
        return self._waiting

    def check_room(self, n: int) -> None:
        """See whether so many requests would be taken.

        Raises:
            RequestError: the queue is full, or the engine was closed.
        """
        if self._stops:
            raise RequestError(
                "the server is stopping; ask again in a second", status=503, retry_after=1
            )
        if self._waiting and self._waiting + n > self.max_queue:
            raise RequestError(
                f"{self._waiting} requests are waiting, of at most {self.max_queue}; "
                "ask again in a second",
                status=503,
                retry_after=1,
            )

    def _put(self, job: _Job) -> None:
        self.check_room(len(job.wishes))
        self._jobs.append(job)
        self._waiting += len(job.wishes)

    def _taken(self) -> list[_Job]:
        """What waits, for one model, oldest first."""
        taken: list[_Job] = []
        size = 0
        while self._jobs:
            job = self._jobs[0]
            other = taken and job.recommender is not taken[0].recommender
            if other or (taken and size + len(job.wishes) > self.most):
                break
            taken.append(self._jobs.popleft())
            size += len(job.wishes)
            self._waiting -= len(job.wishes)
        return taken

    def _answer_all(self, jobs: list[_Job]) -> None:
        try:
            self._answer(jobs)
        except Exception:  # what answers must go on
            self._answer_apart(jobs)

    def _answer(self, jobs: list[_Job]) -> None:
        now = time.monotonic()
        kept = []
        for job in jobs:
            if not _claimed(job.done):
                continue
            if job.deadline < now:
                job.done.set_exception(TimeoutError())
            else:
                kept.append(job)
        wishes = [wish for job in kept for wish in job.wishes]
        if not wishes:
            return
        recommender = kept[0].recommender
        self._told(len(wishes))
        answers = iter(_answers(recommender, wishes))
        for job in kept:
            job.done.set_result([next(answers) for _ in job.wishes])

    def _answer_apart(self, jobs: list[_Job]) -> None:
        """A request that the model fails on must not take others with it."""
        for job in jobs:
            if job.done.done():
                continue
            try:
                job.done.set_result(_answers(job.recommender, job.wishes))
            except Exception as error:  # it is the caller's to hear of
                job.done.set_exception(error)


class Engine(_Queue):
    """One thread that scores, and the bounded queue before it."""

    def __init__(
        self, *, max_queue: int = 256, most: int = 32, told: Callable[[int], None] = _tells_nobody
    ):
        super().__init__(max_queue=max_queue, most=most, told=told)
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="nextclick-engine", daemon=True)
        self._thread.start()

    def submit(
        self, recommender: Recommender, wishes: Sequence[Wish], *, timeout: float
    ) -> Future[list[Answer]]:
        """Put requests into the queue; the future has an answer for each.

        Args:
            recommender: the model that is to answer, whatever is swapped meanwhile.
            wishes: at least one request.
            timeout: seconds after which nobody waits for the answer any more.

        Raises:
            RequestError: as `check_room`.
        """
        done: Future[list[Answer]] = Future()
        with self._change:
            self._put(_Job(recommender, wishes, time.monotonic() + timeout, done))
            self._change.notify()
        return done

    def close(self) -> None:
        """Answer what is waiting, then stop."""
        with self._change:
            self._stops = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._jobs and not self._stops:
                    self._change.wait()
                jobs = self._taken()
            if not jobs:
                return
            self._answer_all(jobs)


class Turns(_Queue):
    """Answers in the event loop: what came in one turn of it is a batch of the next."""

    _comes = False  # a turn is under way

    def submit(
        self, recommender: Recommender, wishes: Sequence[Wish], *, timeout: float
    ) -> asyncio.Future[list[Answer]]:
        """Put requests into the queue, as `Engine.submit` does; called in the loop."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Answer]] = loop.create_future()
        self._put(_Job(recommender, wishes, time.monotonic() + timeout, done))
        self._next(loop)
        return done

    def close(self) -> None:
        """Answer what is waiting, then stop; called in the loop."""
        self._stops = True
        while jobs := self._taken():
            self._answer_all(jobs)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._jobs and not self._comes:
            self._comes = True
            loop.call_soon(self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._comes = False
        self._answer_all(self._taken())
        self._next(loop)  # behind what has come meanwhile: who finds the queue full is told


def _claimed(done: Promise) -> bool:
    """Whether somebody still waits."""
    if isinstance(done, Future):
        return done.set_running_or_notify_cancel()
    return not done.done()


def _answers(recommender: Recommender, wishes: Sequence[Wish]) -> list[Answer]:
    return list(zip(recommender.answer(wishes), recommender.reasons(wishes), strict=True))
