"""The report in a real browser: nothing broken, nothing in the console, and nothing wider than a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from negutil import paths
from negutil.report import pages

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser is installed ({', '.join(BROWSERS)}): apt install chromium")
    with playwright.sync_playwright() as session:
        opened = session.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


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


def test_squares_lead_to_their_claims(browser: Any, page_file: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(page_file.as_uri())
    square = page.locator(".signs a").first
    target = square.get_attribute("href")
    square.click()
    assert page.url.endswith(str(target))
    top = page.locator(str(target)).bounding_box()["y"]
    assert -5 <= top < 844
    page.close()
