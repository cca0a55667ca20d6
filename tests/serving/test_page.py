import hashlib
import re

import pytest

from nextclick.serving.web_page import page_routes
from serving_cases import Client, make_app

SCRIPTS = ("api", "app", "controls", "differences", "docs", "html", "ids", "items", "json", "link",
           "panel", "problem", "ranking", "rules", "search", "session", "state", "theme",
           "versions", "why")  # fmt: skip


@pytest.fixture(scope="module")
def client(knn):
    with Client(make_app({"knn": knn})) as found:
        yield found


def test_the_page_and_what_it_loads(client):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    loaded = re.findall(r'(?:src|href)="(page/[^"]+)"', page.text)
    assert set(loaded) == {"page/icon.svg", "page/style.css", "page/theme.js", "page/app.js"}
    assert client.get("/favicon.ico").content == client.get("/page/icon.svg").content
    kinds = {"svg": "image/svg+xml", "css": "text/css", "js": "text/javascript"}
    for path in loaded:
        told = client.get(f"/{path}")
        assert told.status_code == 200
        assert told.headers["content-type"].startswith(kinds[path.rpartition(".")[2]])


def test_modules_import_what_there_is_and_nothing_else(client):
    for name in SCRIPTS:
        text = client.get(f"/page/{name}.js").text
        for path in re.findall(r'^(?:import|export) .* from "([^"]+)";', text, re.MULTILINE):
            assert path.startswith("./"), f"{name} imports {path}"
            assert client.get(f"/page/{path[2:]}").status_code == 200, f"{name} imports {path}"


def test_nothing_stands_inline(client):
    page = client.get("/").text
    assert "<style" not in page
    assert not re.search(r"\s(?:style|on\w+)=", page)
    assert all(" src=" in tag for tag in re.findall(r"<script[^>]*>", page))
    policy = dict(
        rule.split(" ", 1)
        for rule in client.get("/").headers["content-security-policy"].split("; ")
    )
    for kind in ("script-src", "style-src", "connect-src"):
        assert policy[kind] == "'self'"


def test_a_browser_that_has_a_file_is_told_so(client):
    first = client.get("/page/app.js")
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get("/page/app.js", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = client.get("/page/app.js", headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)


@pytest.mark.parametrize(
    "path", ["nothing.js", "../page.py", "%2e%2e/page.py", "vendor", "", "/etc/passwd"]
)
def test_what_is_no_file_of_the_page(client, path):
    told = client.get(f"/page/{path}")
    assert told.status_code == 404
    assert told.json()["problem"] == "the route does not exist"


def test_only_reading(client):
    told = client.post("/", json={})
    assert told.status_code == 405
    assert set(told.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_files_of_others_are_those_that_the_notice_names(client):
    notice = client.get("/page/vendor/NOTICE")
    assert notice.headers["content-type"].startswith("text/plain")
    told = re.findall(r"(?m)^(\S+\.mjs) .*, (\S+\.LICENSE)$\s+sha256 (\w+)", notice.text)
    assert [name for name, _, _ in told] == ["preact.mjs", "htm.mjs"]
    for name, license_file, digest in told:
        assert hashlib.sha256(client.get(f"/page/vendor/{name}").content).hexdigest() == digest
        assert client.get(f"/page/vendor/{license_file}").status_code == 200


def test_an_answer_tells_its_time(client):
    told = client.post("/v1/recommend", json={"session": [10], "k": 3}).headers["server-timing"]
    assert re.fullmatch(r"app;dur=\d+\.\d\d", told)


def test_routes():
    assert [route.path for route in page_routes()] == ["/", "/favicon.ico", "/page/{name:path}"]
