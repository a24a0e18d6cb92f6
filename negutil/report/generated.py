"""The pages of a checkout that are generated from its results: README.md, docs/index.md and docs/reproducibility.md."""

from __future__ import annotations

from negutil import paths
from negutil.errors import NegutilError
from negutil.report import index, readme, reproducibility

PAGES = {"README.md": readme, "docs/index.md": index, "docs/reproducibility.md": reproducibility}
"""Every page with its module, which has ``update`` and ``is_current``."""


def update(profile: str) -> dict[str, bool]:
    """Write every page for ``profile``; returns whether that changed it, by its name.

    Raises NegutilError in an installed wheel, and where a table is missing or damaged.
    """
    _must_be_checkout()
    return {name: page.update(profile) for name, page in PAGES.items()}


def check(profile: str) -> None:
    """Raise NegutilError that names the first page that does not agree with the tables of ``profile``."""
    _must_be_checkout()
    for name, page in PAGES.items():
        if not page.is_current(profile):
            raise NegutilError(f"{name} does not agree with the tables in results/: run `negutil readme`.")


def _must_be_checkout() -> None:
    if not paths.IS_CHECKOUT:
        raise NegutilError("An installed negutil has no README.md and no docs/: run `negutil readme` in a checkout.")
