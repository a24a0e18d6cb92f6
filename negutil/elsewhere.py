"""Another place for a while: environment variables, and the folders that follow them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""For processes that are started: torch's features do not depend on the number of threads, numpy's products do."""


@contextlib.contextmanager
def variables(**wanted: str) -> Iterator[None]:
    """Environment variables for a while, for this process and those that it starts; what was before comes back."""
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
    """Other folders for a while: ``results`` and ``figures`` (above the profile's own), ``cache``."""
    return variables(**{f"NEGUTIL_{name.upper()}": str(path) for name, path in wanted.items()})
