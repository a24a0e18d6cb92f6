"""The pages of a checkout that are generated from its results: README.md, docs/index.md and docs/reproducibility.md."""

from __future__ import annotations

from negutil import files, paths
from negutil.errors import NegutilError
from negutil.report import index, readme, reproducibility

PAGES = {
    "README.md": readme.current,
    "docs/index.md": index.page,
    "docs/reproducibility.md": reproducibility.current,
}
"""Every page with the function that returns its text for a profile."""


def update(profile: str) -> dict[str, bool]:
    """Write every page for ``profile``; returns whether that changed it, by its name.

    Raises NegutilError in an installed wheel, and where a table is missing or damaged.
    """
    stale = _stale(profile)
    for name, text in stale.items():
        files.write_text(paths.ROOT / name, text)
    return {name: name in stale for name in PAGES}


def check(profile: str) -> None:
    """Raise NegutilError that names the first page that does not agree with the tables of ``profile``."""
    for name in _stale(profile):
        raise NegutilError(f"{name} does not agree with the tables in results/: run `negutil readme`.")


def _stale(profile: str) -> dict[str, str]:
    """The text of each page that does not say what the tables say."""
    if not paths.IS_CHECKOUT:
        raise NegutilError("An installed negutil has no README.md and no docs/: run `negutil readme` in a checkout.")
    current = {name: text_of(profile) for name, text_of in PAGES.items()}
    return {name: text for name, text in current.items() if text != (paths.ROOT / name).read_text(encoding="utf-8")}
