"""CC-Neg with the truth turned round: what a negated caption denies is taken out of the picture.

In CC-Neg every negated caption is false, so avoiding negation is enough. Here the captions are CC-Neg's own; of the new
pictures the negated caption is true, and the plain one, which names what is gone, is false. Same format, same names.

See docs/protocols.md#cc-neg.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from miniworld import build as world
from miniworld import scenes, truth
from miniworld.writers import _shared
from negutil.captions import english
from negutil.config import Profile
from negutil.data import ccneg
from negutil.errors import NegutilError

FOLDER, FILE = "ccneg-reversed", "ccneg_preprocessed.pt"


def build(settings: Profile) -> Path:
    """The folder of the mini world's CC-Neg turned round, ``settings.built/ccneg-reversed``."""
    count = settings.world.ccneg.val + settings.world.ccneg.test
    fill = partial(write, source=world.build("ccneg", settings), n_evaluation=count)
    return world.benchmark(settings, FOLDER, __name__, fill, made_of=("ccneg",))


def write(folder: Path, source: Path, n_evaluation: int) -> dict[str, Any]:
    """Fill ``folder`` from the last ``n_evaluation`` items of the mini world's CC-Neg in ``source``; return facts.

    Left out are captions that do not name what is denied: these stay true. Raises NegutilError where none is left.
    """
    rows = ccneg.load(source / FILE, split="evaluation", n_evaluation=n_evaluation)
    known = {entry.file_name: entry.scene for entry in truth.read(source)}
    names: list[str] = []
    annotations: list[dict[str, Any]] = []
    for row in rows:
        if row["negated_object"] not in english.mentions(row["caption"]):
            continue
        path = folder / row["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        _shared.write_picture(path, scenes.draw(scenes.without(known[row["file_name"]], row["negated_object"])))
        names.append(row["file_name"])
        denial = {"negative-prompt": row["negated_caption"], "sop_chosen_object": row["negated_object"]}
        annotations.append({"json": {"caption": row["caption"]}, "sop_data": denial})
    if not names:
        raise NegutilError(f"{source / FILE}: no caption names what is denied; build more items of CC-Neg.")
    torch.save({"image_paths": names, "annotations": annotations}, folder / FILE)
    return {"items": len(names), "of": n_evaluation}
