import asyncio
import threading
import time
from dataclasses import replace

import pytest
from starlette.requests import ClientDisconnect

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
        match="the queue is full: requests of cost 2 are waiting, the maximum is 3; retry in",
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


class Steps:
    """A model that records what it computes; `then` runs before each batch."""

    def __init__(self, then=lambda: None):
        self.batches, self.then = [], then

    def answer(self, requests):
        self.then()
        self.batches.append(list(requests))
        return requests

    def explanations(self, requests):
        return [None] * len(requests)


def test_large_jobs_take_turns_with_each_other_and_with_small_ones():
    engine, first, model = ThreadBatcher(max_batch=4), Slow(), Steps()
    busy(engine, first)
    large = [engine.submit(model, [name] * 8, timeout=9) for name in "ab"]
    small = [engine.submit(model, [n], timeout=9) for n in range(5)]
    costly = engine.submit(model, ["c", "d"], costs=[100, 100], timeout=9)
    first.lets.set()
    assert [len(job.result(9)) for job in (*large, *small, costly)] == [8, 8, 1, 1, 1, 1, 1, 2]
    assert [f"{batch[0]}{len(batch)}" for batch in model.batches] == [
        "04", "a4", "41", "b4", "c1", "a4", "b4", "d1",
    ]  # fmt: skip
    assert engine.queued == 0
    engine.close()


def test_large_jobs_do_not_fill_the_queue_of_small_ones():
    engine, model = ThreadBatcher(max_queue=4, max_batch=4), Slow()
    jobs = [busy(engine, model), engine.submit(model, ["a"], costs=[1000], timeout=9)]
    with pytest.raises(RequestError, match="requests of cost 1000 are waiting, the maximum is 16"):
        engine.submit(model, ["b"], costs=[5], timeout=9)
    with pytest.raises(RequestError, match="the queue is full"):
        engine.check_capacity(5)
    jobs += [engine.submit(model, [n], timeout=9) for n in range(4)]
    with pytest.raises(RequestError, match="requests of cost 4 are waiting, the maximum is 4"):
        engine.submit(model, [5], timeout=9)
    model.lets.set()
    for job in jobs:
        job.result(9)
    engine.close()


def test_room_is_held_for_a_large_request_that_is_prepared():
    engine = ThreadBatcher(max_queue=4, max_batch=4)
    with engine.reserve(100), pytest.raises(RequestError, match="cost 100 are waiting"):
        engine.check_capacity(5)
    engine.check_capacity(5)
    engine.close()


class Now:
    seconds = 0.0

    def __call__(self):
        return self.seconds


def test_a_large_job_ends_with_its_deadline_or_its_client():
    now, connected = Now(), [True]
    engine = ThreadBatcher(max_batch=1, clock=now)

    def passes():
        if len(model.batches) == 1:
            now.seconds = 10.0

    model = Steps(passes)
    late = engine.submit(model, ["late"] * 5, timeout=9)
    with pytest.raises(TimeoutError):
        late.result(9)
    assert model.batches == [["late"]] * 2  # the slice in which the time passed is the last

    def leaves():
        connected[0] = False

    model = Steps(leaves)
    gone = engine.submit(model, ["gone"] * 5, timeout=9, wanted=lambda: connected[0])
    with pytest.raises(ClientDisconnect):
        gone.result(9)
    assert model.batches == [["gone"]]
    dead = engine.submit(model, ["dead"], timeout=9, wanted=lambda: False)
    with pytest.raises(ClientDisconnect):
        dead.result(9)
    assert model.batches == [["gone"]]
    engine.close()


def test_a_large_job_that_fails_harms_no_other():
    engine, model = ThreadBatcher(max_batch=2), Slow()
    model.lets.set()
    bad = engine.submit(model, [1, 2, 3, "bad", 5], timeout=9)
    good = engine.submit(model, list(range(5)), timeout=9)
    with pytest.raises(ValueError, match="bad"):
        bad.result(9)
    assert len(good.result(9)) == 5
    assert engine.queued == 0
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
        with pytest.raises(RequestError, match="requests of cost 2 are waiting, the maximum is 2"):
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
        answers = client.together(asked)
        statuses = [a.status_code for a in answers]
        assert set(statuses) == {200, 503}
        assert statuses.count(200) >= 4
        refused = next(a for a in answers if a.status_code == 503)
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["remedy"] == "retry in a second"
        full = [("POST", "/v1/sessions/s/events", {"json": {"item": 10, "k": 1}})] * 30
        answers = client.together(full)
        kept = [a for a in answers if a.status_code == 200]
        clicks = client.get("/v1/sessions/s").json()["clicks"]
        assert len(clicks) == len(kept) < 30  # a click that was refused was not taken note of


def large_batch(sessions=12):
    return {"requests": [{"session": [10] * 500, "k": 5, "explain": True}] * sessions}


def test_a_large_batch_is_computed_on_the_thread_and_others_are_answered(knn, monkeypatch):
    app = make_app({"knn": knn})
    loaded = loaded_of(app, monkeypatch, quick=True)
    thread, answer, large = Slow(), loaded.recommender.answer, []

    def on_some_thread(requests):
        if threading.current_thread().name == "nextclick-batcher":
            large.append(len(requests))
            thread.lets.wait(30)
        return answer(requests)

    loaded.recommender.answer = on_some_thread
    with Client(app) as client:

        async def steps():
            batch = asyncio.create_task(
                client.ask("POST", "/v1/recommend/batch", json=large_batch())
            )
            while not large:
                await asyncio.sleep(0)
            small = await client.ask("POST", "/v1/recommend", json={"session": [10], "k": 5})
            health = await client.ask("GET", "/healthz")
            more = await client.ask("POST", "/v1/recommend/batch", json=large_batch(500 // 5))
            assert not batch.done()
            thread.lets.set()
            return small, health, more, await batch

        small, health, more, batch = client.run(steps())
        assert (small.status_code, health.status_code, more.status_code) == (200, 200, 503)
        assert large == [1] * 12  # slices of the cost of a batch
        alone = client.post("/v1/recommend", large_batch()["requests"][0]).json()
        assert batch.json() == {"responses": [alone] * 12}


def test_a_large_body_is_rejected_before_it_is_read(knn, monkeypatch):
    app = make_app({"knn": knn})

    async def never():
        raise AssertionError
        yield

    with Client(app) as client, app.thread_batcher.reserve(10_000):
        headers = {"Content-Length": str(1 << 17)}
        answer = client.post("/v1/recommend/batch", content=never(), headers=headers)
        assert answer.status_code == 503
        assert client.post("/v1/recommend", {"session": [10], "k": 1}).status_code == 200


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
