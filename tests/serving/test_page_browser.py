"""The page in headless Chromium, before a server in a process of its own."""

import re

import pytest

from nextclick import train
from page_in_browser import CONTRAST, FAULTS, SMALL, chromium, recommended, serving
from serving_cases import neural_artifact

api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="needs Chromium on the PATH"),
]
expect = api.expect
KNN, NARM, TIMED = "knn", "narm", "timed"


@pytest.fixture(scope="module")
def server(knn, store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    neural_artifact("narm").save(folder / NARM)
    timed = {
        "variant": "time_cat",
        "gap": "elapsed",
        "item_width": 6,
        "epochs": 1,
        "batch_size": 8,
        "metric": "recall@5",
    }
    train(store, "asars", folder / TIMED, config=timed)
    with serving({KNN: knn, NARM: folder / NARM, TIMED: folder / TIMED}) as address:
        yield address


def session(page):
    return page.locator(".clicks .id").all_inner_texts()


def check_answer(page, told, at=0):
    """Hold a model's table against an answer of the API."""
    rows = page.locator(f".panel-{at} tbody tr")
    expect(rows.locator(".pick")).to_have_text([str(item) for item in told["items"]])
    shown = rows.locator(".score > :last-child").all_inner_texts()
    for text, score in zip(shown, told["scores"], strict=True):
        if score is None:
            assert text == "popular"
            continue
        decimals = len(text.partition(".")[2])
        assert float(text.replace("−", "-")) == pytest.approx(score, abs=0.51 * 10**-decimals)
    tracks = "cells => cells.map(cell => getComputedStyle(cell).gridTemplateColumns)"
    assert len(set(rows.locator("div.score").evaluate_all(tracks))) == 1  # or bars do not compare


def marks(page, at, column):
    """Earlier or other ranks, as the table shows them."""
    return page.locator(f".panel-{at} tbody .mark:nth-child({column})").all_inner_texts()


def expected_marks(items, others, missing):
    """What `marks` should be, out of two lists of items."""
    found = []
    for rank, item in enumerate(items, 1):
        other = others.index(item) + 1 if item in others else None
        sign = "" if other == rank else "▲ " if other and rank < other else "▼ "
        found.append(missing if other is None else f"{sign}{other}")
    return found


def test_search_by_keyboard(opened, server):
    page = opened()
    expect(page.locator(".beginning .large")).to_have_text("Search for an item to start a session.")
    search = page.get_by_role("combobox", name="Search items")
    for _ in range(20):  # from the head of the page, by Tab alone
        page.keyboard.press("Tab")
        if search.evaluate("element => element === document.activeElement"):
            break
    assert search.get_attribute("aria-expanded") == "false"
    page.keyboard.press("ArrowDown")
    options = page.locator("#found").get_by_role("option")
    expect(options).to_have_count(5)
    assert search.get_attribute("aria-expanded") == "true"
    page.keyboard.type("0")
    expect(options).to_have_count(6)  # the five that hold it, and the text itself
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(options.last).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(options).to_have_count(0)
    page.keyboard.press("Escape")
    expect(search).to_have_value("")
    page.keyboard.type("2")
    expect(options.first.locator(".id")).to_have_text("20")
    active = search.get_attribute("aria-activedescendant")
    assert page.locator(f"#{active}").inner_text().startswith("20")
    page.keyboard.press("Enter")
    check_answer(page, recommended(server, session=[20], k=5))
    assert session(page) == ["20"]
    expect(search).to_be_focused()
    expect(search).to_have_value("")
    assert page.locator("#announced").inner_text().startswith("knn: ")


def test_a_click_changes_the_list(opened, server):
    page = opened()
    page.locator(".starts button").first.click()
    first = recommended(server, session=[10], k=5)
    check_answer(page, first)
    page.locator(".pick", has_text="20").click()
    second = recommended(server, session=[10, 20], k=5)
    assert second["items"] != first["items"]
    check_answer(page, second)
    assert session(page) == ["10", "20"]
    assert marks(page, 0, 4) == expected_marks(second["items"], first["items"], "new")
    assert page.locator(".panel-0 th .dot").count() == len({10, 20} & set(second["items"]))
    expect(page.locator(".latency")).to_contain_text(
        re.compile(r"Response time [\d.]+\sms, [\d.]+\sms")
    )
    assert f"first {second['items'][0]}," in page.locator("#announced").inner_text()


def test_two_models_side_by_side(opened, server):
    page = opened("/#s=10,20&k=5")
    page.locator("#beside").select_option(NARM)
    told = [recommended(server, session=[10, 20], k=5, model=name) for name in (KNN, NARM)]
    for at, one in enumerate(told):
        check_answer(page, one, at)
    for at, one in enumerate(told):
        assert marks(page, at, 4) == expected_marks(one["items"], told[1 - at]["items"], "–")
    left, right = (page.locator(f".panel-{at}").bounding_box() for at in (0, 1))
    assert (left["y"], left["width"]) == pytest.approx((right["y"], right["width"]))
    assert left["x"] + left["width"] < right["x"]
    page.locator("#model").select_option(TIMED)
    check_answer(page, recommended(server, session=[10, 20], k=5, model=TIMED))
    page.locator("#beside").select_option("")
    expect(page.locator(".panel")).to_have_count(1)


def test_undo_take_out_and_clear(opened, server):
    page = opened()
    undo, clear = page.locator("#undo"), page.locator("#clear")
    expect(undo).to_be_disabled()
    page.locator(".starts button").first.click()
    page.locator(".pick", has_text="20").click()
    page.locator(".pick", has_text="30").click()
    check_answer(page, recommended(server, session=[10, 20, 30], k=5))
    page.get_by_role("button", name="Remove click 2, 20").click()
    check_answer(page, recommended(server, session=[10, 30], k=5))
    undo.click()
    check_answer(page, recommended(server, session=[10, 20, 30], k=5))
    undo.click()
    check_answer(page, recommended(server, session=[10, 20], k=5))
    clear.click()
    expect(page.locator(".beginning")).to_be_visible()
    expect(clear).to_be_disabled()
    undo.click()
    check_answer(page, recommended(server, session=[10, 20], k=5))


def test_filters(opened, server):
    page = opened("/#s=10,20&k=5")
    page.locator(".rules summary").click()
    page.get_by_label("Exclude clicked items").check()
    told = recommended(server, session=[10, 20], k=5, exclude_seen=True)
    assert not {10, 20} & set(told["items"])
    check_answer(page, told)
    page.get_by_label("Number of items").fill("2")
    page.keyboard.press("Enter")
    check_answer(page, recommended(server, session=[10, 20], k=2, exclude_seen=True))
    page.get_by_label("Exclude clicked items").uncheck()
    page.get_by_label("Number of items").fill("5")
    page.get_by_label("Never these items").fill("30, 40")
    page.keyboard.press("Enter")
    told = recommended(server, session=[10, 20], k=5, block=[30, 40])
    assert not {30, 40} & set(told["items"])
    check_answer(page, told)
    page.get_by_label("Never these items").fill("")
    page.get_by_label("Only these items").fill("50,10")
    page.keyboard.press("Enter")
    told = recommended(server, session=[10, 20], k=5, allow=[50, 10])
    assert set(told["items"]) == {10, 50}
    check_answer(page, told)
    expect(page.locator(".rules summary")).to_have_text("Filters: only these items")
    again = opened(f"/{page.evaluate('location.hash')}")
    check_answer(again, told)
    page.get_by_label("Only these items").fill("")
    page.get_by_label("Diversity").fill("0.5")
    page.keyboard.press("Enter")
    told = recommended(server, session=[10, 20], k=5, diversity=0.5)
    check_answer(page, told)
    expect(page.locator(".rules summary")).to_have_text("Filters: diversity")
    check_answer(opened(f"/{page.evaluate('location.hash')}"), told)
    page.get_by_label("Diversity").fill("1.5")
    page.keyboard.press("Enter")
    expect(page.locator(".problem")).to_contain_text("diversity")
    opened.complaints.clear()  # Chromium reports the status 422


def test_an_answer_does_not_erase_what_is_being_typed(opened, server):
    page = opened("/#s=10&k=5")
    page.locator(".rules summary").click()
    check_answer(page, recommended(server, session=[10], k=5))
    page.get_by_label("Never these items").press_sequentially("30,")
    page.locator(".pick").first.evaluate("one => one.click()")  # without leaving the input
    expect(page.locator(".clicks li")).to_have_count(2)
    expect(page.get_by_label("Never these items")).to_have_value("30,")


def test_an_error_is_shown_as_the_server_told_it(opened, server):
    page = opened("/#s=10,20&k=5")
    for k in (100, 5000):
        page.get_by_label("Number of items").fill(str(k))
        page.keyboard.press("Enter")
        told = recommended(server, session=[10, 20], k=k)
        expect(page.get_by_role("alert").locator("dd")).to_have_text(
            [told["field"], told["problem"], told["remedy"]]
        )
        assert told["title"] in page.get_by_role("alert").inner_text()
    assert page.evaluate(FAULTS) == []
    page.get_by_label("Number of items").fill("3")
    page.keyboard.press("Enter")
    check_answer(page, recommended(server, session=[10, 20], k=3))
    expect(page.get_by_role("alert")).to_have_count(0)
    assert all("status of 422" in line for line in opened.complaints), opened.complaints
    opened.complaints.clear()


def test_a_server_that_is_gone_and_back(opened, server):
    page = opened("/#s=10&k=5")
    check_answer(page, recommended(server, session=[10], k=5))
    page.route("**/v1/recommend", lambda route: route.abort())
    page.locator(".pick").first.click()
    expect(page.get_by_role("alert")).to_contain_text("the server cannot be reached")
    page.unroute("**/v1/recommend")
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    opened.complaints.clear()


def test_times(opened, server):
    page = opened("/#s=10,20,30&k=5")
    expect(page.get_by_label("Use click times")).to_have_count(0)  # knn reads none
    page.locator("#model").select_option(TIMED)
    page.get_by_label("Use click times").check()
    page.get_by_label("seconds before click 2").fill("40")
    page.get_by_label("seconds before click 3").fill("2.5")
    page.get_by_label("seconds from the last click to the prediction").fill("900")
    page.keyboard.press("Enter")
    body = {"model": TIMED, "session": [10, 20, 30], "k": 5}
    told = recommended(server, times=[0, 40, 42.5], now=942.5, **body)
    assert told["scores"] != recommended(server, **body)["scores"]
    check_answer(page, told)
    again = opened(f"/{page.evaluate('location.hash')}")
    check_answer(again, told)


def test_a_link_shows_the_same(opened, server):
    page = opened(f"/#m={KNN}&v={NARM}&k=4&seen=1&s=10,20")
    page.locator(".panel-1 .pick").first.click()
    clicked = recommended(
        server, session=[10, 20], k=4, model=NARM, exclude_seen=True
    )["items"][0]  # fmt: skip
    expect(page.locator(".clicks li")).to_have_count(3)
    again = opened(f"/{page.evaluate('location.hash')}")
    for at, name in enumerate((KNN, NARM)):
        asked = {"session": [10, 20, clicked], "k": 4, "model": name, "exclude_seen": True}
        for one in (page, again):
            check_answer(one, recommended(server, **asked), at)
    again.evaluate("location.hash = 's=40'")
    check_answer(again, recommended(server, session=[40], k=5))


def test_an_id_that_no_model_knows(opened, server):
    page = opened("/#s=10&k=5")
    page.get_by_label("Search items").fill("77")
    option = page.locator("#found").get_by_role("option", name="77")
    expect(option).to_contain_text("not in the catalog")
    option.click()
    check_answer(page, recommended(server, session=[10, 77], k=5))
    expect(page.locator(".clicks li").last).to_contain_text("unknown to the model")


def test_ids_keep_their_digits_and_kind(opened):
    page = opened()
    told = page.evaluate(
        """async () => {
          const { readJSON, writeJSON } = await import("/page/json.js");
          const { toHash, fromHash } = await import("/page/link.js");
          const text = '{"a":[9223372036854775807,-9007199254740993,12,"12","9223372036854775807",'
            + '"\\\\"1234567890123456789,",0.12345678901234568,1.5e-7,"a&b,c=é"]}';
          const state = { models: ["a b", null], k: "3", clicks: [], user: "" };
          state.clicks = readJSON(text).a.map((id) => ({ id, gap: 0 }));
          const clicks = fromHash(toHash(state)).clicks;
          return [text, writeJSON(readJSON(text)), writeJSON({ a: clicks.map((one) => one.id) })];
        }"""
    )
    assert told[1] == told[0]
    whole = re.sub(r"0\.12345678901234568,1\.5e-7", '"0.12345678901234568","1.5e-7"', told[0])
    assert told[2] == whole  # an id is no fraction


@pytest.mark.parametrize(
    "path", ["/", f"/#m={NARM}&v={KNN}&s=10,20,30,77&k=5", f"/#m={TIMED}&s=10,20&t=0,5&now=3&k=4"]
)
def test_a_phone(opened, path):
    page = opened(path, width=360, height=740, has_touch=True, is_mobile=True)
    expect(page.locator(".beginning, .ranking").last).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate(SMALL) == []
    assert page.evaluate(FAULTS) == []
    page.get_by_label("Search items").tap()
    expect(page.locator("#found").get_by_role("option").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path", ["/", f"/#m={NARM}&v={KNN}&s=10,20,30,77&k=5", "/#s=10&k=100"], ids=["0", "2", "error"]
)
def test_text_is_told_from_its_ground(opened, scheme, path):
    page = opened(path, color_scheme=scheme)
    expect(page.locator(".beginning, .ranking, .problem").last).to_be_visible()
    page.get_by_label("Search items").press("ArrowDown")
    expect(page.locator("#found").get_by_role("option").first).to_be_visible()
    found = page.evaluate(CONTRAST)
    assert len(found) > 15
    assert [(text, ratio) for text, ratio in found if ratio < 4.5] == []
    assert page.evaluate(FAULTS) == []
    opened.complaints[:] = [line for line in opened.complaints if "status of 422" not in line]


def test_light_and_dark(opened):
    page = opened(color_scheme="light")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_label("Dark").check()
    dark = page.evaluate(ground)
    assert light != dark
    page.reload()  # it is remembered
    expect(page.get_by_label("Dark")).to_be_checked()
    assert page.evaluate(ground) == dark
    page.get_by_label("System").check()
    assert page.evaluate(ground) == light
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) == dark
    page.get_by_label("Light").check()
    assert page.evaluate(ground) == light


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_rows_move_unless_motion_is_unwanted(opened, server, motion):
    page = opened("/#s=10&k=5", reduced_motion=motion)
    check_answer(page, recommended(server, session=[10], k=5))
    page.evaluate(
        """() => {
          window.moved = 0;
          const animate = Element.prototype.animate;
          Element.prototype.animate = function (...given) {
            window.moved += 1;
            return animate.apply(this, given);
          };
        }"""
    )
    page.locator(".pick", has_text="20").click()
    check_answer(page, recommended(server, session=[10, 20], k=5))
    assert (page.evaluate("window.moved") > 0) == (motion == "no-preference")


def test_focus_is_seen_and_no_key_is_a_trap(opened):
    page = opened(f"/#m={NARM}&v={KNN}&s=10,20&k=3")
    expect(page.locator(".ranking")).to_have_count(2)
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        told = page.evaluate(
            """() => {
              const at = document.activeElement;
              if (at === document.body) return null;
              const shown = at.name === "theme" ? at.nextElementSibling : at;
              const { outlineStyle, outlineWidth } = getComputedStyle(shown);
              return [at.id || at.textContent || at.name, outlineStyle, parseFloat(outlineWidth)];
            }"""
        )
        if told is None:
            break
        seen.append(told)
    else:
        pytest.fail("Tab never leaves the page")
    assert all(style == "solid" and width >= 2 for _, style, width in seen), seen
    names = [name for name, _, _ in seen]
    for name in ("API", "theme", "model", "beside", "k", "Filters", "search", "undo", "clear"):
        assert name in names
    # and Copy link, Draw a session, × of two clicks, three items of each model with Why?
    assert len(names) == 11 + 2 + 2 * 3 * 2


def test_the_link_to_the_api(opened):
    page = opened()
    page.get_by_role("link", name="API").click()
    expect(page.locator("h1")).to_have_text("nextclick")
    assert page.url.endswith("/docs")
