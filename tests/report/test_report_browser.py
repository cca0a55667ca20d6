"""The report in headless Chromium: wide and narrow, light and dark."""

import pytest

from nextclick.report.report_data import FailedRun, ReportOptions, build_comparison
from nextclick.report.report_files import write_report
from page_in_browser import CONTRAST, FAULTS, chromium
from report_cases import HOSTILE, ranks, run

api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytest.importorskip("matplotlib")
pytestmark = [
    pytest.mark.figures,
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="needs Chromium on the PATH"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    runs = [
        *(run(folder, "narm", ranks(0.7, seed), seed=seed) for seed in range(2)),
        run(folder, "a-name-that-is-rather-long@variant=local", ranks(0.6, 7)),
        run(folder, HOSTILE, ranks(0.8, 8), leaky=HOSTILE),
        run(folder, "pop", ranks(0.1, 9), model="pop", config={}),
    ]
    options = ReportOptions(
        "shop", "recall@2", None, (FailedRun("lgsr", 0, "why " * 60),), ("tasrec",)
    )
    write_report(folder, build_comparison(runs, options))
    return folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_can_be_read(browser, report, width, scheme):
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=True
    )
    errors, requests = [], []
    page = context.new_page()
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    # tables scroll in their boxes, so the page does not
    assert page.evaluate("document.documentElement.scrollWidth") == width
    contrasts = page.evaluate(CONTRAST)
    assert len(contrasts) > 200
    assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == []
    assert page.evaluate(FAULTS) == []
    fills = page.evaluate(
        "[...new Set([...document.querySelectorAll('svg text')]"
        ".map((text) => getComputedStyle(text).fill))]"
    )
    ink = page.evaluate("getComputedStyle(document.body).color")
    soft = page.evaluate("getComputedStyle(document.querySelector('.about')).color")
    assert set(fills) <= {ink, soft}
    sizes = page.evaluate(
        "[...document.querySelectorAll('svg')].map((svg) =>"
        " svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)"
    )
    assert min(sizes) > 1  # letters of 8 and 9 points stay as large
    assert (errors, requests) == ([], [report.as_uri()])
    context.close()
