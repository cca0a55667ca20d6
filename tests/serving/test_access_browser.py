"""Pages of other origins in headless Chromium: what they can make a local server do."""

import http.server
import json
import re
import threading
import urllib.parse

import httpx
import pytest

from page_in_browser import FLAGS, chromium, serving

api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="needs Chromium on the PATH"),
]
REBOUND = "evil.test"  # a name that the browser resolves to this machine
EVENTS = "/v1/sessions/{}/events"
# what a page may send to any server without asking it first
SEND = """
(url) => fetch(url, { method: "POST", mode: "no-cors", body: JSON.stringify({ item: 10, k: 1 }) })
  .then((answer) => answer.type, (error) => error.message)
"""
FORM = """
(url) => {
  const form = document.createElement("form");
  Object.assign(form, { method: "POST", action: url, enctype: "text/plain" });
  const field = document.createElement("input");
  Object.assign(field, { name: '{"item": 10, "k": 1, "user": "', value: '"}' });
  form.append(field);
  document.body.append(form);
  form.submit();
}
"""


@pytest.fixture(scope="module")
def server(knn):
    with serving({"knn": knn}) as address:
        yield address


@pytest.fixture(scope="module")
def foreign():
    """The address of a page of another origin: another port of this machine."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>foreign</title>")

        def log_message(self, *arguments):
            """Not logged."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as pages:
        thread = threading.Thread(target=pages.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{pages.server_address[1]}"
        pages.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def rebinding():
    """A browser in which a foreign name has the address of this machine."""
    with api.sync_playwright() as playwright:
        flags = [*FLAGS, f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"]
        found = playwright.chromium.launch(executable_path=chromium(), args=flags)
        yield found
        found.close()


@pytest.fixture
def page(rebinding):
    context = rebinding.new_context()
    yield context.new_page()
    context.close()


def stored(server, session):
    """Number of stored clicks of a session."""
    answer = httpx.get(f"{server}/v1/sessions/{session}", timeout=60)
    return 0 if answer.status_code == 404 else len(answer.json()["clicks"])


def click(server, session):
    httpx.post(server + EVENTS.format(session), json={"item": 10, "k": 1}, timeout=60)


def refused(server):
    """Number of requests with status 403."""
    found = re.search(r'status="403"} ([0-9.]+)', httpx.get(f"{server}/metrics", timeout=60).text)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_page_of_another_port_writes_nothing(page, server, foreign, name):
    url = server.replace("127.0.0.1", name) + EVENTS.format("victim")
    before = refused(server)
    page.goto(foreign)
    assert page.evaluate(SEND, url) == "Failed to fetch"  # the page may not see the response
    assert refused(server) == before + 1
    with page.expect_navigation() as navigation:
        page.evaluate(FORM, url)
    assert navigation.value.status == 403
    assert refused(server) == before + 2
    assert stored(server, "victim") == 0


def test_a_page_of_another_port_deletes_nothing(page, server, foreign):
    click(server, "kept")
    page.goto(foreign)
    url = f"{server}/v1/sessions/kept"
    sent = page.evaluate(
        "(url) => fetch(url, { method: 'DELETE' }).then(() => 'sent', () => 'refused')", url
    )
    assert sent == "refused"  # the browser asks the server first
    assert stored(server, "kept") == 1


def test_a_name_that_is_rebound_to_this_machine_reads_and_writes_nothing(page, server):
    click(server, "kept")
    origin = f"http://{REBOUND}:{urllib.parse.urlsplit(server).port}"
    answer = page.goto(f"{origin}/")  # same origin for the browser: it lets the page read
    assert answer.status == 421
    for path, method in (
        ("/v1/sessions/kept", "GET"),
        ("/v1/sessions/kept", "DELETE"),
        (EVENTS.format("kept"), "POST"),
    ):
        status, text = page.evaluate(
            """async ([path, method]) => {
              const body = method === "POST" ? JSON.stringify({ item: 10, k: 1 }) : undefined;
              const answer = await fetch(path, { method, body });
              return [answer.status, await answer.text()];
            }""",
            [path, method],
        )
        assert status == 421
        assert "10" not in json.loads(text)["detail"]
    assert stored(server, "kept") >= 1


def test_the_page_of_the_server_writes(page, server):
    page.goto(server)
    answer = page.evaluate(
        """(path) => fetch(path, { method: "POST", body: JSON.stringify({ item: 10, k: 1 }) })
          .then((answer) => answer.status)""",
        EVENTS.format("own"),
    )
    assert answer == 200
    assert stored(server, "own") == 1
