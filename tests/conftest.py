"""Fixtures for all tests: private folders in place of the user's cache and the clone's results; real sample files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from filelock import FileLock

from negutil import paths


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, so that no process is left alone with one of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that all tests of a run share, in all its processes, so that the quick world is built once.

    What the user's cache has of that world, such as after a run of the notebooks, is copied and not built again. As
    anywhere else, a part that was made by other code, or with other settings, is built anew.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            if (world := paths.built("quick")).is_dir():
                shutil.copytree(world, folder / "data" / "quick", ignore=shutil.ignore_patterns(".*"))
    return folder


@pytest.fixture(autouse=True)
def private_folders(session_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes to the user's cache or to the clone's results and figures, or draws progress bars."""
    monkeypatch.setenv("NEGUTIL_CACHE", str(session_cache))
    monkeypatch.setenv("NEGUTIL_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("NEGUTIL_FIGURES", str(tmp_path / "figures"))
    monkeypatch.setenv("NEGUTIL_NO_PROGRESS", "1")
    monkeypatch.setenv("MPLBACKEND", "agg")
    for name in ("NEGUTIL_PROFILE", "NEGUTIL_DATA", "NEGUTIL_DEVICE", "NEGUTIL_DTYPE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def own_look() -> Iterator[None]:
    """What a test does to matplotlib's settings ends with it."""
    with matplotlib.rc_context():
        yield


@pytest.fixture(scope="session")
def committed_results() -> Path:
    """The committed results of the mini profile, for tests that guard their numbers."""
    return paths.ROOT / "results" / "mini"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with small real files in the published formats; tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("NEGUTIL_SHARED_DATA", paths.ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real sample files are not at {folder}: set NEGUTIL_SHARED_DATA")
    return folder


@pytest.fixture
def readable_figures() -> Iterator[None]:
    """The style of the figures before the test; after it every figure that is open can be read, and is closed."""
    import matplotlib.pyplot as plt
    import readable

    from negutil.plots import figures

    figures.style()
    yield
    readable.check_open()
    plt.close("all")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser without a window; tests that need it are skipped where playwright or Chromium is missing."""
    reason = "playwright is not installed: pip install playwright"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser is installed ({', '.join(names)}): apt install chromium")
    with playwright.sync_playwright() as session:
        opened = session.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()
