"""Earlier sessions of visitors that the server stores: bounds, deletion, and served = offline."""

import asyncio

import numpy as np
import pytest
from test_request_history import artifact  # noqa: F401  # a fixture
from test_session_stores import Clock, backend, running_redis

from nextclick.serving import Recommender
from nextclick.serving.sessions.session_store import (
    Click,
    Session,
    StoreLimits,
    StoreUnavailableError,
    history_url,
    open_store,
)
from nextclick.serving.sessions.visitor_history import VisitorHistory, history_limits
from serving_cases import TOKEN, Client, make_app

DAY = 86_400.0
# user, session, item and time of each click; two sessions of u overlap
LOG = [
    ("u", "s1", 10, 1000.0), ("u", "s1", 20, 1010.0), ("v", "s2", 40, 1020.0),
    ("u", "s3", 30, 9000.0), ("u", "s3", 30, 9100.0), ("v", "s4", 50, 9200.0),
    ("u", "s5", 60, 20_000.0), ("u", "s6", 70, 20_010.0), ("u", "s5", 80, 20_020.0),
    ("u", "s6", 90, 20_030.0), (None, "s7", 100, 20_040.0), ("u", "s7", 110, 20_050.0),
    ("v", "s8", 120, 30_000.0), (7, "s9", 10, 30_001.0), ("7", "s10", 20, 30_002.0),
]  # fmt: skip


@pytest.fixture(params=["memory", "lmdb", "fakeredis"])
def where(request, tmp_path, monkeypatch):
    with backend(request.param, tmp_path, monkeypatch) as address:
        yield address


def histories():
    """The history of each click of LOG by hand: the sessions that ended before its own began."""
    begun, sessions, users = {}, {}, {}
    for user, session, item, time in LOG:
        begun.setdefault(session, time)
        sessions.setdefault(session, []).append((item, time))
        users[session] = user if user is not None else users.get(session)
        earlier = [
            ([item for item, _ in clicks], [time for _, time in clicks])
            for other, clicks in sessions.items()
            if str(users[other]) == str(users[session]) and clicks[-1][1] < begun[session]
        ]
        known = [] if users[session] is None else sorted(earlier, key=lambda one: one[1][-1])
        yield session, item, time, user, sessions[session], known


def test_served_equals_offline_with_each_backend(artifact, where, tmp_path):  # noqa: F811
    artifact.save(tmp_path / "model")
    offline = Recommender(artifact)
    used = 0
    with Client(make_app({"m": tmp_path / "model"}, state=where)) as client:
        for session, item, time, user, clicks, history in histories():
            body = {"item": item, "time": time, "user": user, "k": 10}
            answer = client.post(f"/v1/sessions/{session}/events", body).json()
            (expected,) = offline.recommend(
                [[one for one, _ in clicks]], 10, times=[[at for _, at in clicks]],
                history=[history],
            )  # fmt: skip
            assert not answer["degraded"]
            assert answer["recommendation"]["items"] == expected.items
            np.testing.assert_allclose(
                answer["recommendation"]["scores"], expected.scores, atol=1e-5
            )
            used += len(history)
    assert used == 19


def test_a_request_without_history_reads_the_stored_one(artifact, where, tmp_path):  # noqa: F811
    artifact.save(tmp_path / "model")
    history = [([10, 20], [1000.0, 1010.0]), ([30, 30], [9000.0, 9100.0])]
    body = {"session": [50, 60], "times": [10_000, 10_030], "k": 10}
    (expected,) = Recommender(artifact).recommend(
        [[50, 60]], 10, times=[[10_000, 10_030]], history=[history]
    )
    (anonymous,) = Recommender(artifact).recommend([[50, 60]], 10, times=[[10_000, 10_030]])
    with Client(make_app({"m": tmp_path / "model"}, state=where)) as client:
        for user, session, item, time in LOG:
            client.post(
                f"/v1/sessions/{session}/events",
                {"item": item, "time": time, "user": user, "k": 0},
            )
        named = client.post("/v1/recommend", body | {"user": "u"}).json()
        batch = client.post(
            "/v1/recommend/batch", {"requests": [body, body | {"user": "u"}]}
        ).json()["responses"]
        unknown_start = {"session": [50, 60], "user": "u", "k": 10}
        without = client.post("/v1/recommend", unknown_start).json()
    for answer, scores in [(named, expected), (batch[1], expected), (batch[0], anonymous)]:
        np.testing.assert_allclose(answer["scores"], scores.scores, atol=1e-5)
    assert without["note"] == "user was not used: no earlier session of the user is known"


def test_a_later_session_changes_no_earlier_answer(artifact, where, tmp_path):  # noqa: F811
    artifact.save(tmp_path / "model")
    body = {"session": [50], "times": [9_150], "user": "u", "k": 10}
    with Client(make_app({"m": tmp_path / "model"}, state=where)) as client:
        answers = []
        for user, session, item, time in LOG:
            client.post(
                f"/v1/sessions/{session}/events",
                {"item": item, "time": time, "user": user, "k": 0},
            )
            if time >= 9100:  # s3 has ended
                answers.append(client.post("/v1/recommend", body).json()["scores"])
    assert len(answers) == 11
    assert all(scores == answers[0] for scores in answers)


def click(item, time, user="u"):
    return Click(item, time, user)


def visits(where, limits, clock, steps):
    """Run steps with a history and its store."""

    async def run():
        store = open_store(history_url(where), limits, clock)
        try:
            await steps(VisitorHistory(store, clock))
        finally:
            await store.close()

    asyncio.run(run())


def test_bounds(where):
    limits = history_limits(StoreLimits(seconds=60, clicks=200, sessions=1000), DAY)
    assert (limits.seconds, limits.clicks) == (DAY, 50)

    async def steps(history):
        for n in range(15):
            clicks = [click(n, 100.0 * n)]
            past = await history.record(f"s{n}", Session(clicks))
            assert [one.items for one in past] == [[k] for k in range(max(n - 10, 0), n)]
        assert await history.store.get("clicks:s3") is None  # outdated
        assert await history.store.get("clicks:s4") is not None
        long = []
        for n in range(60):
            long.append(click(n, 2000.0 + n))
            past = await history.record("long", Session(long))
            assert [one.items for one in past] == [[k] for k in range(5, 15)]
        (*_, last) = await history.before("u", 9000.0)
        assert (last.items, last.end) == (list(range(10, 60)), 2059.0)

    visits(where, limits, lambda: 0.0, steps)


def test_a_session_id_that_is_used_again(where):
    """A client may keep its id: a session that expired is an earlier one."""

    async def steps(history):
        await history.record("s", Session([click(1, 10.0)]))
        await history.record("s", Session([click(1, 10.0), click(2, 20.0)]))
        past = await history.record("s", Session([click(3, 5000.0)]))
        assert past == [([1, 2], [10.0, 20.0])]
        again = await history.record("s", Session([click(3, 5000.0), click(4, 5010.0)]))
        assert again == past

    visits(where, history_limits(StoreLimits(), DAY), lambda: 0.0, steps)


def test_clicks_as_another_user_are_not_read(where):
    async def steps(history):
        await history.record("s", Session([click(1, 10.0, "a")]))
        clicks = [click(1, 10.0, "a"), click(2, 20.0, "b")]
        await history.record("s", Session(clicks))  # added whole: the visitor was named late
        assert [one.items for one in await history.before("a", 99.0)] == [[1]]
        assert [one.items for one in await history.before("b", 99.0)] == [[1, 2]]

    visits(where, history_limits(StoreLimits(), DAY), lambda: 0.0, steps)


@pytest.mark.parametrize("kind", ["memory", "lmdb"])
def test_an_earlier_session_is_forgotten_after_its_time(kind, tmp_path):
    clock = Clock()
    where = "memory" if kind == "memory" else f"lmdb:{tmp_path}"

    async def steps(history):
        await history.record("old", Session([click(1, 10.0)]))
        clock.now += 40
        await history.record("new", Session([click(2, 20.0)]))
        assert len(await history.before("u", 99.0)) == 2
        clock.now += 30
        assert await history.before("u", 99.0) == [([2], [20.0])]
        assert await history.store.sweep() >= 1

    visits(where, history_limits(StoreLimits(), 60.0), clock, steps)


def send(client, session, item, time, user="u", **more):
    path, body = f"/v1/sessions/{session}/events", {"item": item, "time": time, "user": user}
    return client.post(path, body | {"k": 0}, **more).json()


def test_deletion(artifact, where, tmp_path):  # noqa: F811
    artifact.save(tmp_path / "model")
    user = "a/b ü"
    path = "/v1/visitors/a%2Fb%20%C3%BC"
    with Client(make_app({"m": tmp_path / "model"}, state=where)) as client:
        for n, session in enumerate(["s1", "s2", "s3"]):
            send(client, session, 10 * n + 10, 100.0 * n, user)
        found = client.get(path).json()
        assert found == {
            "user": user,
            "sessions": [
                {"session": [10 * n + 10], "time": 100.0 * n, "times": [100.0 * n]}
                for n in range(3)
            ],
        }
        assert client.delete("/v1/sessions/s2").status_code == 204
        assert [one["session"] for one in client.get(path).json()["sessions"]] == [[10], [30]]
        # a session whose live clicks have expired is deleted by its id, too
        client.run(client.app.store.delete("s1"))
        assert client.delete("/v1/sessions/s1").status_code == 204
        assert client.delete("/v1/sessions/s1").status_code == 404
        assert client.delete(path).status_code == 204
        assert client.get("/v1/sessions/s3").status_code == 404  # the live one as well
        assert client.delete(path).status_code == 404
        missing = client.get(path)
        assert missing.status_code == 404
        assert "no session of this visitor is stored" in missing.json()["detail"]
        long = client.get("/v1/visitors/" + "x" * 257)
        assert (long.status_code, long.json()["field"]) == (422, "user")
        assert "user must have 1 to 256 characters, got 257" in long.json()["detail"]


def test_several_workers_share_the_histories(artifact, tmp_path, monkeypatch):  # noqa: F811
    artifact.save(tmp_path / "model")
    body = {"session": [50], "times": [5000], "user": "u", "k": 10}
    models = {"m": tmp_path / "model"}
    with (
        running_redis("fakeredis", monkeypatch) as redis,
        Client(make_app(models, state=redis.url)) as first,
        Client(make_app(models, state=redis.url)) as second,
    ):
        send(first, "s1", 10, 100.0)
        send(second, "s2", 20, 200.0)
        assert len(second.get("/v1/visitors/u").json()["sessions"]) == 2
        answers = [one.post("/v1/recommend", body).json()["scores"] for one in (first, second)]
        assert answers[0] == answers[1]
        assert second.delete("/v1/visitors/u").status_code == 204
        assert first.get("/v1/visitors/u").status_code == 404


def test_only_with_the_token(artifact, tmp_path):  # noqa: F811
    artifact.save(tmp_path / "model")
    sent = {"headers": {"Authorization": f"Bearer {TOKEN}"}}
    body = {"session": [50], "times": [5000], "user": "u", "k": 10}
    with Client(make_app({"m": tmp_path / "model"}, token=TOKEN)) as client:
        send(client, "s1", 10, 100.0, **sent)
        assert client.get("/v1/visitors/u").status_code == 401
        assert client.delete("/v1/visitors/u").status_code == 401
        with_token = client.post("/v1/recommend", body, **sent).json()["scores"]
        without = client.post("/v1/recommend", body).json()["scores"]
        anonymous = client.post("/v1/recommend", body | {"user": None}).json()["scores"]
    assert without == anonymous != with_token


def test_nothing_is_stored_without_need(knn, artifact, tmp_path):  # noqa: F811
    artifact.save(tmp_path / "model")
    for models, settings in [
        ({"knn": knn}, {}),
        ({"m": tmp_path / "model"}, {"history_seconds": 0}),
    ]:
        with Client(make_app(models, **settings)) as client:
            send(client, "s1", 10, 100.0)
            assert client.get("/v1/visitors/u").status_code == 404
            assert client.delete("/v1/visitors/u").status_code == 404
            if client.app.visitors is not None:
                assert len(client.app.visitors.store) == 0


def test_a_failing_store_degrades_the_answer(artifact, tmp_path, caplog):  # noqa: F811
    artifact.save(tmp_path / "model")
    body = {"session": [50], "times": [5000], "user": "secret-user", "k": 10}
    with Client(make_app({"m": tmp_path / "model"})) as client:
        plain = client.post("/v1/recommend", body | {"user": None}).json()
        send(client, "s1", 10, 100.0, "secret-user")

        async def fail(*arguments):
            raise StoreUnavailableError("memory: full")

        for method in ("append", "get", "get_many", "delete", "check_write"):
            setattr(client.app.visitors.store, method, fail)
        event = send(client, "s2", 20, 200.0, "secret-user")
        assert event == {"clicks": 1, "degraded": True, "recommendation": None}
        answer = client.post("/v1/recommend", body).json()
        assert answer["degraded"]
        assert answer["scores"] == plain["scores"]
        assert client.get("/readyz").json()["status"] == "degraded"
        for request in (client.get, client.delete):
            assert request("/v1/visitors/secret-user").status_code == 503
        assert client.delete("/v1/sessions/s1").status_code == 503
    assert "memory: full" in caplog.text
    assert "secret-user" not in caplog.text
