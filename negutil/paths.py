"""Every folder that the project reads or writes, of a checkout and of an installed wheel.

In a checkout all of them are resolved from this file. An installed wheel reads what pyproject.toml puts into the
package, and writes below the working directory.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parent
_SHIPPED = PACKAGE / "resources"
IS_CHECKOUT = not _SHIPPED.is_dir()
ROOT = PACKAGE.parent if IS_CHECKOUT else Path.cwd()
"""The checkout, or the working directory of an installed wheel: where results/, figures/ and weights/ are."""

RESOURCES = ROOT if IS_CHECKOUT else _SHIPPED
"""Where configs/, notebooks/ and results/published/ come from; nothing is written there by an installed wheel."""

# Read once: a run has one folder of settings. NEGUTIL_CONFIGS is for a copy of configs/ with changes of one's own.
CONFIGS = Path(os.environ.get("NEGUTIL_CONFIGS") or RESOURCES / "configs").expanduser().resolve()
NOTEBOOKS = RESOURCES / "notebooks"
WEIGHTS = PACKAGE / "models" / "weights"
NEW_WEIGHTS = WEIGHTS if IS_CHECKOUT else ROOT / "weights"
"""Where pretraining puts its weights by default."""


def results(profile: str) -> Path:
    """Folder of the tidy tables of ``profile``; NEGUTIL_RESULTS overrides its parent."""
    return Path(os.environ.get("NEGUTIL_RESULTS", ROOT / "results")).expanduser().resolve() / profile


def figures(profile: str) -> Path:
    """Folder of the figures of ``profile``; NEGUTIL_FIGURES overrides its parent."""
    return Path(os.environ.get("NEGUTIL_FIGURES", ROOT / "figures")).expanduser().resolve() / profile


def cache() -> Path:
    """The user's cache folder (XDG), outside the clone; NEGUTIL_CACHE overrides it."""
    chosen = os.environ.get("NEGUTIL_CACHE") or platformdirs.user_cache_dir("negutil", appauthor=False)
    return Path(chosen).expanduser().resolve()


def made_weights() -> Path:
    """Folder of the weights that are trained on this machine and do not ship: always in the cache."""
    return cache() / "weights"


def built(profile: str, seed: int = 0, variant: str = "") -> Path:
    """Folder of the datasets that negutil builds for ``profile``, from a world of ``seed``: always in the cache.

    ``variant`` names a world that differs in something else.
    """
    return cache() / "data" / "-".join([profile, *([f"seed-{seed}"] if seed else []), *([variant] if variant else [])])


def published() -> Path:
    """Folder of the published datasets, NEGUTIL_DATA if set: only ``negutil data get`` writes there."""
    chosen = os.environ.get("NEGUTIL_DATA")
    return Path(chosen).expanduser().resolve() if chosen else cache() / "published"


# --------------------------------------------------------------------------------------------------------------------
# Another place for a while


ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""For child processes: torch's features do not depend on the number of threads, numpy's products do."""


@contextlib.contextmanager
def variables(**wanted: str) -> Iterator[None]:
    """Set environment variables in this block, for this process and its children, and restore them afterwards."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def folders(**wanted: Path) -> contextlib.AbstractContextManager[None]:
    """Use other folders in this block: ``results`` and ``figures`` (above the profile's own), ``cache``."""
    return variables(**{f"NEGUTIL_{name.upper()}": str(path) for name, path in wanted.items()})
