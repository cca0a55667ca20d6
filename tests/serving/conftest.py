import urllib.parse

import pytest

from nextclick import train
from small_shop import make_store


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("shop") / "store")


@pytest.fixture(scope="session")
def knn(store, tmp_path_factory):
    """The folder of a session-knn artifact."""
    folder = tmp_path_factory.mktemp("knn") / "knn"
    train(store, "session-knn", folder)
    return folder


@pytest.fixture
def opened(browser, server):
    """Opens pages of a server; none may complain or ask another host than those in `hosts`."""
    contexts, complaints, hosts, named = [], [], set(), set()
    expect = pytest.importorskip("playwright.sync_api", reason="needs playwright").expect
    expect.set_options(timeout=60_000)  # a busy machine is no error

    def opens(path="/", width=1280, height=800, at=server, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: hosts.add(urllib.parse.urlsplit(request.url).netloc))
        named.add(urllib.parse.urlsplit(at).netloc)
        page.goto(at + path)
        if "/docs" not in path:
            expect(page.locator("#model")).to_be_visible()
        return page

    opens.complaints, opens.hosts = complaints, named
    yield opens
    for context in contexts:
        context.close()
    assert complaints == []
    assert hosts <= named
