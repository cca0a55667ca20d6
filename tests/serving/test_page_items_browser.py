"""Titles, pictures, prices and links on the page, in headless Chromium."""

import http.server
import threading

import pytest

from page_in_browser import CONTRAST, FAULTS, SMALL, chromium, explained, recommended, serving
from serving_cases import neural_artifact

api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="needs Chromium on the PATH"),
]
expect = api.expect
KNN, NARM = "knn", "narm"
TITLES = {
    10: "Red shoe", 20: "Crème brûlée <b>&amp; 'more'</b>", 30: "Reddish hat",
    40: "A blue shoe whose title is so long that nobody can read it whole anywhere on the page",
}  # fmt: skip


@pytest.fixture(scope="module")
def titled(knn, tmp_path_factory):
    """The address of a server that knows the titles of four of five items."""
    folder = tmp_path_factory.mktemp("titled")
    neural_artifact("narm").save(folder / NARM)
    lines = [f"{item}\t{title}\n" for item, title in TITLES.items()]
    (folder / "items.tsv").write_text("".join(["item\ttitle\n", *lines]), encoding="utf-8")
    models = {KNN: knn, NARM: folder / NARM}
    with serving(models, "--titles", str(folder / "items.tsv")) as address:
        yield address


@pytest.fixture(scope="module")
def server(titled):
    return titled


def shown_name(item):
    """Title and id, or the id alone."""
    return " ".join(filter(None, (TITLES.get(item), str(item))))


def test_titles_are_searched_and_shown(opened, titled):
    page = opened(at=titled)
    expect(page.locator(".starts button").first).to_have_text(shown_name(10))
    search = page.get_by_role("combobox", name="Search items")
    expect(search).to_have_attribute("placeholder", "title or id")
    search.fill("BRULEE")
    option = page.locator("#found").get_by_role("option")
    expect(option).to_have_count(1)  # what was typed is no id of this catalog
    expect(option.locator(".title")).to_have_text(TITLES[20])
    search.fill("zzz")
    expect(page.locator(".search .hint")).to_have_text("No title or id contains “zzz”.")
    search.fill("red shoe")
    expect(option.locator(".title")).to_have_text(TITLES[10])
    search.press("Enter")
    told = recommended(titled, session=[10], k=5, titles=True)
    names = [shown_name(item) for item in told["items"]]
    expect(page.locator(".pick")).to_have_text(names)
    expect(page.locator(".clicks .id")).to_have_text([shown_name(10)])
    page.get_by_role("button", name="Remove click 1, Red shoe").wait_for()
    first = TITLES.get(told["items"][0], told["items"][0])
    assert f"first {first}," in page.locator("#announced").inner_text()
    page.get_by_role("button", name=f"Why {TITLES.get(told['items'][0])}?").click()
    why = explained(titled, session=[10], items=told["items"][:1])
    voters = [item for one in why["neighbors"] for item in one["items"]]
    expect(page.locator(".voters .id")).to_have_text([shown_name(item) for item in voters])


def test_titles_of_a_link_are_shown(opened, titled):
    page = opened(f"/#m={NARM}&v={KNN}&s=10,20,77,50&k=5", at=titled)
    expect(page.locator(".clicks .id")).to_have_text([shown_name(i) for i in (10, 20, 77, 50)])
    page.locator(".panel-0 .ask").first.click()
    expect(page.locator(".effects .id")).to_have_text([shown_name(i) for i in (10, 20, 50)])
    for at, name in enumerate((NARM, KNN)):
        told = recommended(titled, session=[10, 20, 77, 50], k=5, model=name)
        names = [shown_name(item) for item in told["items"]]
        expect(page.locator(f".panel-{at} .pick")).to_have_text(names)
    assert page.locator("b:text('more')").count() == 0  # a title is text
    assert page.evaluate(FAULTS) == []


def test_ids_as_text(opened, knn, tmp_path):
    lines = [f"{item},{title}\n" for item, title in TITLES.items()]
    (tmp_path / "items.csv").write_text("".join(["item,title\n", *lines]), encoding="utf-8")
    with serving({KNN: knn}, "--ids-as-text", "--items", str(tmp_path / "items.csv")) as address:
        page = opened("/#s=10,20&k=3", at=address)  # a link of a server with integers
        expect(page.locator(".clicks .id")).to_have_text([shown_name(10), shown_name(20)])
        first = recommended(address, session=[10, 20], k=3)["items"]
        assert all(isinstance(item, str) for item in first)
        expect(page.locator(".pick")).to_have_text([shown_name(int(item)) for item in first])
        page.locator(".pick").first.click()
        expect(page.locator(".clicks li")).to_have_count(3)
        search = page.get_by_role("combobox", name="Search items")
        search.fill("50")
        expect(page.locator("#found").get_by_role("option")).to_have_count(1)
        search.press("Enter")
        expect(page.locator(".clicks .id").last).to_have_text("50")
        then = recommended(address, session=["10", "20", first[0], "50"], k=3)["items"]
        expect(page.locator(".pick")).to_have_text([shown_name(int(item)) for item in then])


@pytest.mark.parametrize("width", [360, 390, 1280])
def test_long_titles_are_cut_and_whole_in_the_tooltip(opened, titled, width):
    page = opened(f"/#m={NARM}&v={KNN}&s=10,20,40&k=5", at=titled, width=width)
    page.get_by_label("Search items").fill("blue")
    expect(page.locator("#found").get_by_role("option")).to_have_count(1)
    expect(page.locator(".ranking")).to_have_count(1 if width < 700 else 2)
    page.get_by_role("button", name=f"Why {TITLES[40]}?").last.click()
    expect(page.locator(".effects li")).to_have_count(3)
    page.get_by_label("Search items").click()
    expect(page.locator("#found").get_by_role("option").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ranking = ".ranking" if width < 700 else ".panel-1 .ranking"
    for place in ("#found", ".clicks", ranking, ".effects"):
        long = page.locator(f"{place} .title", has_text="A blue shoe").first
        expect(long).to_have_attribute("title", TITLES[40])
        box, around = (each.bounding_box() for each in (long, page.locator(place).first))
        assert box["x"] + box["width"] <= around["x"] + around["width"], place
        assert long.evaluate(
            "e => e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight"
        ), place
        assert long.evaluate("e => getComputedStyle(e).textOverflow") == "ellipsis"
    assert page.evaluate(SMALL) == []
    assert [(text, ratio) for text, ratio in page.evaluate(CONTRAST) if ratio < 4.5] == []


PIXEL = (
    b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1 1'><rect width='1' height='1'/></svg>"
)


@pytest.fixture(scope="module")
def pictures():
    """The address of another host with pictures, and the paths that were requested."""
    paths = []

    class Pictures(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            found = self.path.endswith(".svg")
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "image/svg+xml")
            self.end_headers()
            self.wfile.write(PIXEL if found else b"")

        def log_message(self, *arguments):
            """Not logged."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{host.server_address[1]}", paths
        host.shutdown()
        thread.join()


def test_pictures_prices_and_links(opened, knn, pictures, tmp_path):
    address, paths = pictures
    (tmp_path / "items.csv").write_text(
        "item,title,image,price,url,category\n"
        f"10,Red shoe,{address}/10.svg,€19.90,https://shop.example/10,Shoes\n"
        f"20,Hat,{address}/missing.png,€5,javascript:alert(1),\n"
        "30,Scarf,,,,\n",
        encoding="utf-8",
    )
    with serving({KNN: knn}, "--items", str(tmp_path / "items.csv")) as at:
        opened.hosts.add(address.removeprefix("http://"))
        page = opened("/#s=10,20&k=5", at=at)
        row = page.locator("tr", has=page.get_by_role("button", name="Why Red shoe?"))
        expect(row.locator("img")).to_have_attribute("src", f"{address}/10.svg")
        assert row.locator("img").evaluate("one => one.decode().then(() => one.naturalWidth)") > 0
        expect(row.locator(".price")).to_have_text("€19.90")
        expect(row).to_contain_text("Shoes")
        link = row.get_by_role("link", name="Red shoe in the shop, opens a new tab")
        expect(link).to_have_attribute("href", "https://shop.example/10")
        expect(link).to_have_attribute("rel", "noopener noreferrer")
        hat = page.locator("tr", has=page.get_by_role("button", name="Why Hat?"))
        expect(hat.locator(".price")).to_have_text("€5")
        expect(hat.locator("a")).to_have_count(0)  # no address of the web
        expect(hat.locator("img")).to_have_count(0)  # it could not be loaded
        assert {"/10.svg", "/missing.png"} <= set(paths)
        blocked = page.evaluate(
            """() => new Promise((done) => {
              addEventListener("securitypolicyviolation", (event) => done(event.blockedURI));
              new Image().src = "http://127.0.0.2:9/other.svg";
            })"""
        )
        assert blocked == "http://127.0.0.2:9/other.svg"
        opened.hosts.add("127.0.0.2:9")  # the browser reports the request, but does not send it
    opened.complaints[:] = [
        line
        for line in opened.complaints
        if "404" not in line and "Content Security Policy" not in line
    ]
