"""Three tasks on the page by keyboard alone, in headless Chromium."""

import pytest

from page_in_browser import chromium, recommended, serving
from serving_cases import neural_artifact

api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="needs Chromium on the PATH"),
]
expect = api.expect


@pytest.fixture(scope="module")
def server(knn, tmp_path_factory):
    narm = tmp_path_factory.mktemp("models") / "narm"
    neural_artifact("narm").save(narm)
    with serving({"knn": knn, "narm": narm}) as address:
        yield address


def tab_to(page, target):
    """Press Tab until an element has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"Tab does not reach {target}")


def test_build_a_session_see_why_and_compare_two_models(opened, server):
    page = opened()
    search = page.get_by_role("combobox", name="Search items")

    # build a session
    tab_to(page, search)
    page.keyboard.type("10")
    expect(page.locator("#found").get_by_role("option").first).to_contain_text("10")
    page.keyboard.press("Enter")
    expect(page.locator(".clicks li")).to_have_count(1)
    second = recommended(server, session=[10], k=5)["items"][0]
    tab_to(page, page.locator(".pick").first)
    page.keyboard.press("Enter")
    expect(page.locator(".clicks .id")).to_have_text(["10", str(second)])

    # see why
    expect(page.locator(".mark", has_text="new")).to_have_count(0)
    told = recommended(server, session=[10, second], k=5)["items"]
    expect(page.locator(".pick")).to_have_text([str(item) for item in told])
    button = page.get_by_role("button", name=f"Why {told[1]}?")
    page.locator("body").evaluate("() => document.activeElement.blur()")
    tab_to(page, button)
    page.keyboard.press("Space")
    expect(page.locator(".why .summary")).to_be_visible()
    expect(button).to_be_focused()
    expect(button).to_have_attribute("aria-expanded", "true")
    assert "rank" in page.locator("#announced").inner_text()
    tab_to(page, page.locator(".why summary").first)
    page.keyboard.press("Enter")
    expect(page.locator(".why details").first).to_have_attribute("open", "")

    # compare two models
    page.locator("body").evaluate("() => document.activeElement.blur()")
    tab_to(page, page.get_by_label("Compare with"))
    page.keyboard.type("narm")
    page.keyboard.press("Enter")
    expect(page.locator(".panel")).to_have_count(2)
    other = recommended(server, session=[10, second], k=5, model="narm")["items"]
    expect(page.locator(".panel-1 .pick")).to_have_text([str(item) for item in other])
