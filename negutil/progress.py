"""Whether progress bars are to be seen: one rule for everything that takes long."""

from __future__ import annotations

import os


def hidden() -> bool:
    """Whether the environment variable NEGUTIL_NO_PROGRESS is 1, as in notebooks, whose outputs are kept."""
    return os.environ.get("NEGUTIL_NO_PROGRESS") == "1"
