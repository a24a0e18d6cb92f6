"""The published numbers that stand beside those of notebook 07: NegationCLIP's Table 4, Stable Diffusion 1.4 and SDXL.

Ours are of a small pipeline in a drawn world with a judge of its own.
"""

from __future__ import annotations

from functools import cache

from negutil import files, paths

FILE = "negationclip_table4.csv"
METHODS = {"": "CLIP", "CoN-CLIP": "con-clip", "NegationCLIP": "negationclip"}
Number = tuple[float, str]


@cache
def rows() -> tuple[tuple[str, str, str, float], ...]:
    """(pipeline, method, "Neg Score" or "TIFA", value as a fraction) of every printed number."""
    found = []
    for row in files.read_csv(paths.CONFIGS / "published" / FILE).to_dict("records"):
        pipeline, _, swapped = str(row["row"]).partition(" w/ ")
        method = METHODS[swapped.removesuffix(" text encoder")]
        found.append((pipeline, method, str(row["column"]), float(row["value"])))
    return tuple(found)


@cache
def published(pipeline: str = "SD-1.4") -> dict[tuple[str, str], Number]:
    """(measure, method): (value as a fraction, where it is printed), for one pipeline."""
    return {
        (measure, method): (value, f"NegationCLIP, Table 4: {name}")
        for name, method, measure, value in rows()
        if name == pipeline
    }
