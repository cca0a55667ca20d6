import asyncio
import threading
import time
from dataclasses import replace

import pytest

from nextclick.errors import RequestError
from nextclick.serving import warm_up
from nextclick.serving.batching import InlineBatcher, ThreadBatcher
from serving_cases import Client, make_app


class Slow:
    """Answers with the number of the request, when it is let."""

    def __init__(self):
        self.lets = threading.Event()
        self.batches = []

    def answer(self, wishes):
        assert self.lets.wait(10)
        self.batches.append(len(wishes))
        if "bad" in wishes:
            raise ValueError("bad")
        return wishes

    def explanations(self, wishes):
        return [None] * len(wishes)


def busy(engine, model):
    """Keep the thread busy with a first request."""
    first = engine.submit(model, [0], timeout=9)
    while engine.queued:
        time.sleep(0.001)
    return first


def test_what_waits_is_answered_together():
    engine, model = ThreadBatcher(max_batch=4), Slow()
    jobs = [busy(engine, model), *(engine.submit(model, [n], timeout=9) for n in range(1, 7))]
    model.lets.set()
    assert [job.result(9)[0][0] for job in jobs] == list(range(7))
    assert model.batches == [1, 4, 2]
    engine.close()


def test_models_are_asked_apart():
    engine, model, other = ThreadBatcher(), Slow(), Slow()
    other.lets.set()
    jobs = [busy(engine, model)]
    jobs += [engine.submit(m, [n], timeout=9) for n, m in enumerate([model, other, other, model])]
    model.lets.set()
    assert [job.result(9)[0][0] for job in jobs] == [0, 0, 1, 2, 3]
    assert (model.batches, other.batches) == ([1, 1, 1], [2])
    engine.close()


def test_a_full_queue_refuses_at_once():
    engine, model = ThreadBatcher(max_queue=3), Slow()
    jobs = [busy(engine, model), engine.submit(model, [1, 2], timeout=9)]
    with pytest.raises(
        RequestError,
        match="the queue is full: 2 requests are waiting, the maximum is 3; retry in a second",
    ):
        engine.submit(model, [3, 4], timeout=9)
    jobs.append(engine.submit(model, [3], timeout=9))
    model.lets.set()
    assert [len(job.result(9)) for job in jobs] == [1, 2, 1]
    engine.close()


def test_a_closed_engine_has_answered_what_it_held():
    engine, model = ThreadBatcher(), Slow()
    jobs = [busy(engine, model), engine.submit(model, [1], timeout=9)]
    threading.Timer(0.05, model.lets.set).start()
    engine.close()
    assert [job.result(0)[0][0] for job in jobs] == [0, 1]
    with pytest.raises(RequestError, match="the server is shutting down; retry in a second"):
        engine.submit(model, [2], timeout=9)


def test_a_request_that_fails_takes_no_other_with_it():
    engine, model = ThreadBatcher(), Slow()
    jobs = [busy(engine, model), *(engine.submit(model, [w], timeout=9) for w in (1, "bad", 2))]
    model.lets.set()
    assert [jobs[n].result(9)[0][0] for n in (0, 1, 3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="bad"):
        jobs[2].result(9)
    engine.close()


def test_what_nobody_waits_for_is_not_answered():
    engine, model = ThreadBatcher(), Slow()
    jobs = [busy(engine, model), engine.submit(model, [1], timeout=0.01)]
    time.sleep(0.05)
    model.lets.set()
    jobs[0].result(9)
    with pytest.raises(TimeoutError):
        jobs[1].result(9)
    assert model.batches == [1]
    engine.close()


def quick():
    model = Slow()
    model.lets.set()
    return model


def in_the_loop(work):
    """What `work` gives in an event loop, which may not hang."""

    async def bounded():
        return await asyncio.wait_for(work(), 10)

    return asyncio.run(bounded())


def test_what_comes_in_one_turn_of_the_loop_is_answered_together():
    async def asked():
        turns, model, other = InlineBatcher(max_batch=4), quick(), quick()
        jobs = [turns.submit(model, [n], timeout=9) for n in range(6)]
        jobs.append(turns.submit(other, [6], timeout=9))
        answers = await asyncio.gather(*jobs)
        return [one[0][0] for one in answers], model.batches, other.batches, turns.queued

    assert in_the_loop(asked) == (list(range(7)), [4, 2], [1], 0)


def test_a_turn_leaves_out_whom_nobody_waits_for_and_fails_alone():
    async def asked():
        turns, model = InlineBatcher(), quick()
        jobs = [turns.submit(model, [n], timeout=9) for n in (0, "bad", 2)]
        late, gone = (turns.submit(model, [n], timeout=-n) for n in (3, 0))
        gone.cancel()
        return await asyncio.gather(*jobs, late, return_exceptions=True)

    first, bad, second, late = in_the_loop(asked)
    assert (first[0][0], second[0][0]) == (0, 2)
    assert isinstance(bad, ValueError)
    assert isinstance(late, TimeoutError)


def test_a_full_queue_of_turns_is_told_and_a_closed_one_has_answered():
    async def asked():
        turns, model = InlineBatcher(max_queue=2), quick()
        jobs = [turns.submit(model, [n], timeout=9) for n in range(2)]
        with pytest.raises(RequestError, match="2 requests are waiting, the maximum is 2"):
            turns.submit(model, [2], timeout=9)
        turns.close()
        assert all(job.done() for job in jobs)
        with pytest.raises(RequestError, match="shutting down"):
            turns.submit(model, [3], timeout=9)
        return model.batches

    assert in_the_loop(asked) == [2]


def loaded_of(app, monkeypatch, *, quick):
    """The model of an app, answered in the loop or on a thread."""
    slot = app.models.slot("knn")
    monkeypatch.setattr(slot, "loaded", replace(slot.loaded, inline=quick))
    return slot.loaded


@pytest.mark.parametrize("quick", [True, False])
def test_a_model_within_milliseconds_needs_no_thread(knn, monkeypatch, quick):
    monkeypatch.setattr(warm_up, "INLINE_SECONDS", 60.0 if quick else 0.0)
    assert make_app({"knn": knn}).models.slot("knn").loaded.inline == quick


@pytest.mark.parametrize("quick", [True, False])
def test_overload_is_told_early_and_nothing_else_fails(knn, monkeypatch, quick):
    app = make_app({"knn": knn}, max_queue=4, max_batch=2)
    recommender = loaded_of(app, monkeypatch, quick=quick).recommender
    answer = recommender.answer

    def slowly(wishes):
        time.sleep(0.02)
        return answer(wishes)

    recommender.answer = slowly
    with Client(app) as client:
        asked = [("POST", "/v1/recommend", {"json": {"session": [10], "k": 1}})] * 60
        began = time.monotonic()
        answers = client.together(asked)
        statuses = [a.status_code for a in answers]
        assert set(statuses) == {200, 503}
        assert statuses.count(200) >= 4
        refused = next(a for a in answers if a.status_code == 503)
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["remedy"] == "retry in a second"
        assert time.monotonic() - began < 5
        full = [("POST", "/v1/sessions/s/events", {"json": {"item": 10, "k": 1}})] * 30
        answers = client.together(full)
        kept = [a for a in answers if a.status_code == 200]
        clicks = client.get("/v1/sessions/s").json()["clicks"]
        assert len(clicks) == len(kept) < 30  # a click that was refused was not taken note of


def test_a_request_has_so_much_time(knn, monkeypatch):
    app = make_app({"knn": knn}, timeout=0.05)
    recommender = loaded_of(app, monkeypatch, quick=False).recommender
    recommender.answer = Slow().answer  # never let
    with Client(app) as client:
        late = client.post("/v1/recommend", {"session": [10], "k": 1})
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        assert late.json()["problem"] == "no answer within 0.05 s"

        async def trickles():
            yield b"{"
            await asyncio.sleep(0.2)
            yield b"}"

        slow = client.post("/v1/recommend", content=trickles())
        assert slow.status_code == 408
        assert slow.json()["problem"] == "the body did not arrive within 0.05 s"
