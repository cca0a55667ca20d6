"""Which hosts, origins and tokens the server accepts."""

import asyncio

import pytest

from nextclick.errors import ConfigError, RequestError
from nextclick.serving.access import AccessRules, is_loopback
from nextclick.serving.middleware import RateLimiter
from nextclick.serving.request_cost import request_cost
from nextclick.serving.settings import Settings
from serving_cases import TOKEN, Client, make_app

CLICK = {"item": 10, "k": 1}
EVENTS = "/v1/sessions/a/events"


def check(headers, method="GET", path="/v1/models", **settings):
    rules = AccessRules(Settings(models={}, **settings))
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    rules.check({"type": "http", "method": method, "path": path, "headers": pairs})


def refused(status, headers, **more):
    with pytest.raises(RequestError) as found:
        check(headers, **more)
    assert found.value.status == status
    return str(found.value)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:80"])
def test_a_local_server_responds_to_local_names(host):
    check([("host", host)])
    check([("host", "10.1.2.3:8000")])  # no page can resolve an address to another one


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "localhost:99:1", ""])
def test_a_local_server_responds_to_no_other_name(host):
    assert refused(421 if "evil" in host else 400, [("host", host)])


def test_one_host_header_is_needed():
    for headers in ([], [("host", "localhost")] * 2):
        words = refused(400, headers)
        assert words.startswith("the request must have one valid Host header, got")


def test_hosts_can_be_named():
    names = {"allowed_hosts": ("shop.example", "*.shop.example"), "host": "0.0.0.0"}
    check([("host", "shop.example:443")], **names)
    check([("host", "a.b.shop.example")], **names)
    for other in ("localhost", "evilshop.example", "shop.example.evil"):
        assert refused(421, [("host", other)], **names)
    check([("host", "10.1.2.3:8000")], path="/readyz", **names)  # a probe
    check([("host", "anything")], host="0.0.0.0")


HOST = ("host", "localhost:8000")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("origin", "http://localhost:8000")],
        [("origin", "https://localhost:8000")],  # a proxy with TLS
        [("sec-fetch-site", "same-origin")],
        [("sec-fetch-site", "none")],
        [("origin", "https://shop.example"), ("sec-fetch-site", "cross-site")],
    ],
)
def test_who_may_write(headers):
    check([HOST, *headers], method="POST", cors_origins=("https://shop.example",))


@pytest.mark.parametrize(
    "headers",
    [
        [("origin", "http://localhost:9000")],
        [("origin", "null")],
        [("origin", "http://localhost:8000"), ("origin", "http://evil.example")],
        [("origin", "https://evil.example")],
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],  # another port of this machine
    ],
)
def test_other_origins_may_not_write(headers):
    for method in ("POST", "DELETE"):
        words = refused(403, [HOST, *headers], method=method)
        assert words.startswith("a web page of another origin may not send this request; start")
    check([HOST, *headers])  # reading is left to CORS
    check([HOST, *headers], method="POST", cors_origins=("*",))


def test_a_page_of_another_origin_creates_no_session(knn):
    with Client(make_app({"knn": knn})) as client:
        foreign = {"Origin": "http://localhost:9999"}
        answer = client.post(EVENTS, CLICK, headers=foreign)
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
        assert client.get("/v1/sessions/a").status_code == 404
        rebound = client.get("/v1/sessions/a", headers={"Host": "evil.example"})
        assert rebound.status_code == 421
        assert client.post(EVENTS, CLICK, headers={"Origin": "http://localhost"}).is_success


def test_the_scheme_of_the_token_has_no_case(knn):
    with Client(make_app({"knn": knn}, token=TOKEN)) as client:
        for scheme in ("Bearer", "bearer", "BEARER "):
            headers = {"Authorization": f"{scheme} {TOKEN}"}
            assert client.post(EVENTS, CLICK, headers=headers).is_success
        for wrong in (f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer"):
            assert client.post(EVENTS, CLICK, headers={"Authorization": wrong}).status_code == 401


def test_other_machines_need_a_token():
    words = r"--host 0\.0\.0\.0 lets other machines reach the server, which has no token; give"
    with pytest.raises(ConfigError, match=words):
        Settings(host="0.0.0.0").checked()
    Settings(host="0.0.0.0", token=TOKEN).checked()
    Settings(host="0.0.0.0", insecure=True).checked()
    Settings(host="::1").checked()
    assert [is_loopback(host) for host in ("localhost", "127.9.9.9", "::1", "::", "", "shop")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


def test_costs_count_against_the_rate():
    now = 0.0
    limiter = RateLimiter(rate=10, burst=20, clock=lambda: now)
    assert limiter.acquire("a", 15) == 0.0
    assert limiter.acquire("a", 10) == 0.5  # 5 of 10 tokens are missing
    assert limiter.acquire("b", 100) == 0.0  # a full bucket, and a debt of 80
    assert limiter.acquire("b", 1) == pytest.approx(8.1)
    now = 8.1
    assert limiter.acquire("b", 1) == 0.0


def test_exactly_the_burst_and_then_the_rate_is_admitted():
    now = 0.0
    limiter = RateLimiter(rate=4, burst=3, clock=lambda: now)
    assert [limiter.acquire("a") for _ in range(5)] == [0.0, 0.0, 0.0, 0.25, 0.25]
    assert limiter.acquire("b") == 0.0  # another address has its own bucket
    now = 0.125  # half a token
    assert limiter.acquire("a") == 0.125
    now = 0.25
    assert [limiter.acquire("a") for _ in range(2)] == [0.0, 0.25]
    now = 0.75  # two tokens
    assert [limiter.acquire("a") for _ in range(3)] == [0.0, 0.0, 0.25]
    now = 1000.0  # no more than the burst, however long the pause
    assert [limiter.acquire("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.25]


def test_a_constant_load_above_the_rate_is_admitted_at_the_rate():
    now = 0.0
    limiter = RateLimiter(rate=4, burst=3, clock=lambda: now)
    admitted = 0
    for step in range(16 * 10):  # 16 requests a second for ten seconds
        now = step / 16
        admitted += limiter.acquire("a") == 0.0
    assert admitted == 3 + 39  # the burst, and 4 a second until 9.9375 s


def test_a_batch_counts_as_what_it_costs(knn):
    large = [{"session": [10] * 300, "k": 5, "explain": True}] * 4
    assert sum(request_cost(300, 5, explain=True) for _ in large) == 48
    with Client(make_app({"knn": knn}, rate=1e-6, burst=50)) as client:
        assert client.post("/v1/recommend/batch", {"requests": large}).status_code == 200
        answers = [client.post("/v1/recommend", {"session": [10], "k": 1}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert client.get("/healthz").status_code == 200


def test_a_request_whose_client_has_left_costs_nothing(knn):
    app = make_app({"knn": knn}, rate=1e-6, burst=1)
    sent = []

    async def request(connected):
        async def receive():
            raise AssertionError

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http", "method": "GET", "path": "/v1/models", "query_string": b"",
            "headers": [(b"host", b"localhost")], "nextclick.connected": lambda: connected,
        }  # fmt: skip
        await app.asgi(scope, receive, send)

    asyncio.run(request(connected=False))
    assert sent == []
    asyncio.run(request(connected=True))  # its token was not taken
    assert sent[0]["status"] == 200
