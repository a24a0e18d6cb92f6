"""Benchmarks derived from parts of the mini world: CC-Neg reversed, and NegRefCOCOg from RefCOCOg.

In CC-Neg every negated caption is false, so avoiding negation is enough. Reversed, the captions are CC-Neg's own; what
a negated caption denies is taken out of the image, so that it is true, and the plain one, which names what is gone,
is false. Same format, same names. See docs/protocols.md#cc-neg.
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from miniworld import build as world
from miniworld import scenes, truth
from miniworld.writers import _shared
from negutil.captions import english, negrefcocog
from negutil.captions.negrefcocog import Filters
from negutil.config import Profile
from negutil.data import ccneg
from negutil.errors import NegutilError

FILE = "ccneg_preprocessed.pt"


def build_negrefcocog(settings: Profile, split: str = "test") -> Path:
    """The folder with ``NegRefCOCOg.json``; its images are those of the part ``refcocog``, folder train2014."""
    source = world.build("refcocog", settings)

    def fill(fresh: Path) -> dict[str, Any]:
        made = negrefcocog.build(source, split, seed=settings.world.seed)
        negrefcocog.write(made, fresh)
        return {"rows": len(made.rows), "dropped": dict(made.dropped)}

    filters = asdict(Filters())
    return world.benchmark(settings, "negrefcocog", __name__, fill, ("refcocog",), split=split, filters=filters)


def build_ccneg_reversed(settings: Profile) -> Path:
    """The folder of the mini world's CC-Neg reversed, ``settings.built/ccneg-reversed``."""
    count = settings.world.ccneg.val + settings.world.ccneg.test
    fill = partial(write_ccneg_reversed, source=world.build("ccneg", settings), n_evaluation=count)
    return world.benchmark(settings, "ccneg-reversed", __name__, fill, made_of=("ccneg",))


def write_ccneg_reversed(folder: Path, source: Path, n_evaluation: int) -> dict[str, Any]:
    """Fill ``folder`` from the last ``n_evaluation`` items of the mini world's CC-Neg in ``source``; return facts.

    Left out are captions that do not name what is denied: these stay true. Raises NegutilError if none is left.
    """
    rows = ccneg.load(source / FILE, split="evaluation", n_evaluation=n_evaluation)
    known = {entry.file_name: entry.scene for entry in truth.read(source)}
    names: list[str] = []
    annotations: list[dict[str, Any]] = []
    for row in rows:
        if row["negated_object"] not in english.mentions(row["caption"]):
            continue
        name = row["file_name"]
        _shared.write_picture(folder / name, scenes.draw(scenes.without(known[name], row["negated_object"])))
        names.append(name)
        denial = {"negative-prompt": row["negated_caption"], "sop_chosen_object": row["negated_object"]}
        annotations.append({"json": {"caption": row["caption"]}, "sop_data": denial})
    if not names:
        raise NegutilError(f"{source / FILE}: no caption names what is denied; build more items of CC-Neg.")
    torch.save({"image_paths": names, "annotations": annotations}, folder / FILE)
    return {"items": len(names), "of": n_evaluation}
