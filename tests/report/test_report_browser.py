"""The report in a real browser: nothing broken, nothing in the console, and nothing wider than a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from negutil import paths
from negutil.report import pages


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the committed results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEGUTIL_RESULTS", str(paths.ROOT / "results"))
        text = pages.render(pages.HTML, pages.contents("mini"))
    path = tmp_path_factory.mktemp("report") / pages.HTML
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["desktop", "phone"])
def test_it_is_whole_at_every_width(browser: Any, page_file: Path, tmp_path: Path, width: int, height: int) -> None:
    page, said = browser.new_page(viewport={"width": width, "height": height}), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda problem: said.append(str(problem)))
    page.on("requestfailed", lambda request: said.append(request.url))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    assert not said
    assert {address.partition(":")[0] for address in asked} <= {"file", "data"}
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (
        page.evaluate("document.documentElement.scrollHeight") < 40_000
    )  # on a phone it was twice that when every claim was open
    page.evaluate("window.scrollTo(0, 9000)")
    contents = page.locator("nav").bounding_box()
    assert 0 <= contents["y"] < 5 and contents["height"] < height
    page.get_by_role("button", name="Open all figures").click()
    assert page.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 0
    figures = page.evaluate(
        "[...document.querySelectorAll('svg.forest')].map(one => one.getBoundingClientRect().width)"
    )
    assert len(figures) >= 60 and min(figures) > 200 and max(figures) <= width
    picture = tmp_path / "page.png"
    page.screenshot(path=str(picture))
    assert picture.stat().st_size > 10_000
    page.close()


def test_it_prints(browser: Any, page_file: Path, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(page_file.as_uri())
    data = page.pdf(format="A4", print_background=True)
    assert data.startswith(b"%PDF") and len(data) > 50_000
    page.close()


def shown(page: Any) -> dict[str, list[str]]:
    """The ids of the claims of papers, and of our findings, that the filter leaves."""
    return {
        kind: page.evaluate(f"[...document.querySelectorAll('[data-in]{ours}:not([hidden])')].map(one => one.id)")
        for kind, ours in (("papers", ":not([data-ours])"), ("ours", "[data-ours]"))
    }


def test_claims_are_filtered_by_paper_world_and_verdict(browser: Any, page_file: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(page_file.as_uri())
    every = shown(page)
    assert len(every["papers"]) > 90 and len(every["ours"]) > 40
    page.select_option("select[name=paper]", "CLIPGlasses")
    page.select_option("select[name=verdict]", "no")
    found = shown(page)
    assert 0 < len(found["papers"]) < 22 and not found["ours"]
    text = page.locator("output").inner_text()
    assert f"{len(found['papers'])} of {len(every['papers'])}" in text and f"0 of {len(every['ours'])}" in text
    assert page.locator(f"[id='{found['papers'][0]}']").is_visible()
    assert not page.locator("#chapter-03").is_visible()
    page.select_option("select[name=world]", "nowhere")
    assert not shown(page)["papers"]
    page.select_option("select[name=verdict]", "never")
    assert page.locator(f"[id='{shown(page)['papers'][0]}']").is_visible()  # it was in a part that is closed at first
    page.close()


def test_a_number_leads_to_its_claims_and_a_link_to_one_that_is_hidden(browser: Any, page_file: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(page_file.as_uri())
    for count in page.locator("a.count").all():
        count.click()
        found = shown(page)
        assert sorted(map(len, found.values())) == [0, int(count.inner_text())]
    page.evaluate("location.hash = '#negbench-40-points'")
    page.wait_for_function("!document.getElementById('negbench-40-points').closest('[hidden]')")
    top = page.locator("#negbench-40-points").bounding_box()["y"]
    assert -5 <= top < 844
    page.close()


def test_without_javascript_every_claim_can_be_read(browser: Any, page_file: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(page_file.as_uri())
    assert not page.locator("form.filter").is_visible()
    assert page.locator(".links a").first.is_visible()
    box = page.locator("details.evidence").first
    assert not box.locator("svg").is_visible()
    box.locator("summary").click()
    assert box.locator("svg").is_visible()
    page.close()
