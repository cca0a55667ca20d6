"""Why an item is recommended, versions, and drawn sessions on the page, in headless Chromium."""

import re

import pytest

from nextclick import train
from nextclick.artifact import Registry
from page_in_browser import FAULTS, SMALL, chromium, explained, recommended, serving
from serving_cases import TOKEN, neural_artifact

api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="needs Chromium on the PATH"),
]
expect = api.expect
KNN, NARM, POP = "knn", "narm", "pop"


@pytest.fixture(scope="module")
def server(knn, store, tmp_path_factory):
    """A registry with two versions of session-knn, NARM, and the most popular items."""
    folder = tmp_path_factory.mktemp("versions")
    registry = Registry.create(folder / "registry")
    registry.publish(knn)
    metrics = {"metric": "recall@5", "refreshed": 0.25}
    registry.publish(knn, metrics=metrics)
    neural_artifact("narm").save(folder / NARM)
    train(store, "pop", folder / POP)
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    models = {KNN: folder / "registry", NARM: folder / NARM, POP: folder / POP}
    with serving(models, "--token-file", str(folder / "token")) as address:
        yield address


def ask_why(page, item, at=0):
    """Open the explanation of an item."""
    page.locator(f".panel-{at}").get_by_role("button", name=f"Why {item}?").click()
    expect(page.locator(".why .summary")).to_be_visible()


def rank_text(now, without):
    """What the page says about the rank of an item without a click."""
    if without is None:
        return "not recommended" if now is not None else "not recommended either way"
    if without == now:
        return f"stays at {without}"
    return f"{'rises' if now is None or without < now else 'falls'} to {without}"


@pytest.mark.parametrize("model", [KNN, NARM, POP])
def test_the_explanation_is_that_of_the_server(opened, server, model):
    page = opened(f"/#m={model}&s=10,20,30&k=5")
    for item in recommended(server, session=[10, 20, 30], k=2, model=model)["items"]:
        ask_why(page, item)
        told = explained(server, session=[10, 20, 30], items=[item], model=model)
        shown = page.locator(".effects li")
        expect(shown.locator(".id")).to_have_text(["10", "20", "30"])
        now = told["now"]["ranks"][0]
        texts = [rank_text(now, one["ranks"][0]) for one in told["without"]]
        assert [
            text.partition(" · ")[0] for text in shown.locator(".figure").all_inner_texts()
        ] == texts
        voters = page.locator(".voters li")
        expect(voters).to_have_count(len(told["neighbors"]))
        for voter, expected in zip(voters.all(), told["neighbors"], strict=True):
            assert voter.locator(".id").all_inner_texts() == [str(i) for i in expected["items"]]
            marked = {int(text) for text in voter.locator("mark").all_inner_texts()}
            assert marked == {10, 20, 30} & set(expected["items"])
            assert voter.locator("strong").all_inner_texts() == [str(item)]
            noun = "session" if expected["count"] == 1 else "sessions"
            expect(voter).to_contain_text(f"{expected['count']} {noun}, vote")
        expect(page.locator(".weights")).to_have_count(1 if told["attention"] else 0)
        expect(page.locator(".terms")).to_have_count(1 if told["parts"] else 0)
        assert page.evaluate(FAULTS) == []
    expect(page.locator(".why")).to_have_count(1)  # one at a time


def test_the_summary_names_the_click_that_matters(opened, server):
    page = opened("/#s=10,20&k=5")
    told = explained(server, session=[10, 20], items=[30])
    lost = [told["now"]["above_mean"][0] - one["above_mean"][0] for one in told["without"]]
    assert lost[1] > lost[0]
    ask_why(page, 30)
    expect(page.locator(".why .summary")).to_contain_text("The click that matters most is “20”")
    assert "The click that matters most is “20”" in page.locator("#announced").inner_text()
    button = page.get_by_role("button", name="Why 30?")
    expect(button).to_have_attribute("aria-expanded", "true")
    button.click()
    expect(page.locator(".why")).to_have_count(0)
    ask_why(page, 30)
    page.locator(".pick", has_text="40").click()  # the explanation belongs to the old session
    expect(page.locator(".clicks li")).to_have_count(3)
    expect(page.locator(".why")).to_have_count(0)


def test_an_item_from_popularity(opened, server):
    page = opened("/#s=50&k=5")
    told = recommended(server, session=[50], k=5)
    assert told["scores"][-1] is None
    ask_why(page, told["items"][-1])
    expect(page.locator(".why .summary")).to_contain_text("added because it is popular")


def test_an_explanation_that_is_refused(opened, server):
    session = ",".join(["10", "20"] * 110)
    page = opened(f"/#s={session}&k=2")
    page.locator(".ask").first.click()
    expect(page.locator(".why .problem")).to_contain_text("session is too long to be explained")
    assert all("status of 422" in line for line in opened.complaints), opened.complaints
    opened.complaints.clear()


def test_accuracy_and_age(opened):
    page = opened("/#s=10&k=2")
    about = page.locator(".panel-0 .about dd")
    expect(about.first).to_have_text(
        "25.0 % of the next clicks are among the first 5 items, measured on new sessions before it "
        "was published"
    )
    expect(about.nth(1)).to_have_text(re.compile(r"clicks until 1\d July 2017, published \d+ \w+ "))
    page.locator("#model").select_option(NARM)
    expect(about.first).to_have_text("unknown: the model states none")
    expect(about.nth(1)).to_have_text("last training click unknown")


def test_a_version_is_activated_and_rolled_back(opened):
    page = opened("/#s=10&k=2")
    version = page.locator(".about dd").nth(2)
    expect(version).to_have_text(re.compile("^v2 of session-knn"))
    page.locator(".versions summary").click()
    back = page.get_by_role("button", name="Roll back to v1")
    expect(back).to_be_disabled()
    page.get_by_label("Token").fill("not the token at all")
    back.click()
    expect(page.get_by_role("alert")).to_contain_text("this route needs the token of the server")
    page.get_by_label("Token").fill(TOKEN)
    back.click()
    expect(page.get_by_role("status").last).to_have_text("v1 is active for all visitors.")
    expect(version).to_have_text(re.compile("^v1 of session-knn"))
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator(".about dd").first).to_have_text("unknown: the model states none")
    page.locator(".versions select").select_option("v2")
    page.get_by_role("button", name="Activate", exact=True).click()
    expect(version).to_have_text(re.compile("^v2 of session-knn"))
    assert page.evaluate("Object.keys(localStorage).concat(Object.keys(sessionStorage))") == []
    assert all("status of 401" in line for line in opened.complaints), opened.complaints
    opened.complaints.clear()


@pytest.mark.parametrize(
    ("model", "source"),
    [(KNN, "The items of a session of the training log"), (POP, "Popular items, drawn at random")],
)
def test_a_drawn_session_says_where_it_comes_from(opened, model, source):
    page = opened(f"/#m={model}")
    page.get_by_role("button", name="Draw a session at random").click()
    expect(page.locator("#source")).to_contain_text(source)
    assert page.locator(".clicks li").count() >= 2
    page.locator(".pick").first.click()
    expect(page.locator("#source")).to_have_count(0)


def test_two_models_share_one_list_on_a_phone(opened, server):
    page = opened(f"/#m={KNN}&v={NARM}&s=10,20&k=5", width=390, height=844, has_touch=True)
    told = [recommended(server, session=[10, 20], k=5, model=m)["items"] for m in (KNN, NARM)]
    union = told[0] + [item for item in told[1] if item not in told[0]]
    rows = page.locator(".ranking tbody tr")
    expect(rows.locator(".pick")).to_have_text([str(item) for item in union])
    expect(page.locator(".ranking")).to_have_count(1)
    for row, item in zip(rows.all(), union, strict=True):
        first, second = (items.index(item) + 1 if item in items else None for items in told)
        step = ""
        if first and second and first != second:
            word, sign = ("higher", "▲") if second < first else ("lower", "▼")
            step = f"{sign}{word} by {abs(first - second)}"
        shown = [" ".join(cell.text_content().split()) for cell in row.locator(".mark").all()]
        assert [shown[0], shown[1].replace(" ", "")] == [
            str(first or "–"), f"{second or '–'}{step}".replace(" ", ""),
        ]  # fmt: skip
    assert page.evaluate(SMALL) == []
    assert page.evaluate(FAULTS) == []
    page.get_by_role("button", name=f"Why {told[1][0]}?").tap()
    expect(page.locator(".why .summary")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.set_viewport_size({"width": 1000, "height": 800})
    expect(page.locator(".ranking")).to_have_count(2)


def test_bars_and_marks_are_seen_with_forced_colors(opened):
    page = opened("/#s=10,20&k=5", forced_colors="active")
    ask_why(page, 30)
    ground = "one => getComputedStyle(one).backgroundColor"
    paper = page.locator("body").evaluate("() => { const one = document.createElement('i'); "
        "one.style.setProperty('forced-color-adjust', 'none'); one.style.background = 'Canvas'; "
        "document.body.append(one); return getComputedStyle(one).backgroundColor; }")  # fmt: skip
    for place in (".ranking .bar", ".effects .bar:not(.against)", ".voters .bar", ".voters mark"):
        assert page.locator(place).first.evaluate(ground) not in (paper, "rgba(0, 0, 0, 0)"), place


@pytest.mark.parametrize("width", [360, 390, 1280])
def test_an_explanation_does_not_change_the_columns(opened, server, width):
    page = opened(f"/#m={KNN}&s=10,20&k=5", width=width)
    names = page.locator(".ranking tbody th .name")
    before = names.last.bounding_box()["width"]
    ask_why(page, recommended(server, session=[10, 20], k=1, model=KNN)["items"][0])
    assert names.last.bounding_box()["width"] == before
