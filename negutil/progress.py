"""Whether progress bars are to be seen: one rule for everything that takes long."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def hidden() -> bool:
    """Whether NEGUTIL_NO_PROGRESS is 1, as in notebooks, whose outputs are kept, or this is a block of ``quiet``."""
    return _quiet.get() or os.environ.get("NEGUTIL_NO_PROGRESS") == "1"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Show no bars in this block, for what takes no time."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)
