"""NegRefCOCOg from the mini world's RefCOCOg."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from miniworld import build as world
from negutil.captions import negrefcocog
from negutil.captions.negrefcocog import Filters
from negutil.config import Profile

FOLDER, PART = "negrefcocog", "refcocog"


def build(settings: Profile, split: str = "test", filters: Filters | None = None) -> Path:
    """The folder with ``NegRefCOCOg.json``; its pictures are those of the part ``refcocog``, folder train2014."""
    limits, source = filters or Filters(), world.build(PART, settings)

    def fill(fresh: Path) -> dict[str, Any]:
        made = negrefcocog.build(source, split, filters=limits, seed=settings.world.seed)
        negrefcocog.write(made, fresh)
        return {"rows": len(made.rows), "dropped": dict(made.dropped)}

    return world.benchmark(settings, FOLDER, __name__, fill, (PART,), split=split, filters=asdict(limits))
