"""What notebook 04 shows of its captions: pictures with good and bad ones, P1 step by step, crops of NegRefCOCOg."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negutil.captions import caption_sets, negrefcocog, word_order
from negutil.compare import caption_pipelines
from negutil.config import Profile
from negutil.data import negrefcocog as referring_file
from negutil.data import source
from negutil.data.source import Example
from negutil.models.pictures import read_rgb

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Referred:
    """One row of NegRefCOCOg: its picture, both boxes (x, y, width, height), which is meant, and the phrases.

    ``affirmed`` and ``bare`` are the controls of ``captions.negrefcocog``.
    """

    picture: Pixels
    boxes: list[list[float]]
    correct: int
    phrase: str
    affirmed: str
    bare: str


def captions(settings: Profile, items: pd.DataFrame, count: int = 6, seed: int = 0) -> list[Example]:
    """``count`` captions of ``items`` (rows of ``caption_pipelines.Findings.items``) under their pictures."""
    rows = items[items["dropped"] == ""]
    rows = rows.sample(min(count, len(rows)), random_state=seed)
    chosen = zip(rows["set"], rows["file_name"], rows["updated_caption"], strict=True)
    return [Example(_picture(_folder(settings, name) / file), text) for name, file, text in chosen]


def one_picture(settings: Profile, items: pd.DataFrame, count: int = 6, seed: int = 0) -> list[Example]:
    """Captions of P1, Rand-P1 and P2 of the same pictures, picture by picture, without errors; ``count`` in all."""
    names = (caption_pipelines.P1, caption_pipelines.RANDOM, caption_pipelines.P2)
    rows = items[(items["error"] == 0) & items["set"].isin(names) & (items["dropped"] == "")]
    rows = rows.drop_duplicates(["set", "image_id"])
    shared = rows.groupby("image_id")["set"].nunique()
    pictures = shared[shared == len(names)].sample(count // len(names), random_state=seed).index
    chosen = rows[rows["image_id"].isin(pictures)].set_index(["image_id", "set"])
    found = []
    for image_id in pictures:
        for name in names:
            row = chosen.loc[(image_id, name)]
            text = f"{name}: {row['updated_caption']}"
            found.append(Example(_picture(_folder(settings, name) / str(row["file_name"])), text))
    return found


def mistakes(settings: Profile, items: pd.DataFrame, count: int = 6, seed: int = 0) -> list[Example]:
    """``count`` false captions under their pictures, where annotators make the most errors; none without any."""
    rows = items[(items["error"] == items["error"].max()) & (items["true"] == 0)]
    rows = rows[rows["set"].isin((caption_pipelines.P1, caption_pipelines.P2, caption_pipelines.NEGCAP))]
    return captions(settings, rows, count, seed)


def dropped(items: pd.DataFrame) -> pd.DataFrame:
    """Why captions and questions came to nothing: set, errors, reason, how many."""
    rows = items[items["dropped"] != ""]
    counted = rows.groupby(["set", "error", "dropped"], sort=False).size().rename("items").reset_index()
    return counted.rename(columns={"error": "annotators' errors", "dropped": "why there is no caption"})


def step_by_step(settings: Profile, count: int = 5, seed: int = 0) -> pd.DataFrame:
    """P1 step by step: caption, object proposed, whether the picture shows it, updated caption.

    The first one shown is a proposal that the picture refutes, where there is one among the first thousand captions.
    """
    who = caption_sets.annotators_of(settings, 0.0, settings.world.seed)
    sources = caption_sets.sources(settings, 1, 1000, settings.world.seed)
    proposed = [nouns[0] if nouns else "" for nouns in who.language.propose([one.caption for one in sources], 1)]
    answers = who.vision.shows([one.picture for one in sources], proposed)
    order = np.random.default_rng(seed).permutation(len(sources))
    refuted = [at for at in order if answers[at]][:1]
    chosen = [*refuted, *(at for at in order if not answers[at])][:count]
    texts = who.language.negate([sources[at].caption for at in chosen], [proposed[at] for at in chosen])
    return pd.DataFrame(
        {
            "caption": [sources[at].caption for at in chosen],
            "proposed": [proposed[at] for at in chosen],
            "in the picture?": ["yes: dropped" if answers[at] else "no" for at in chosen],
            "updated caption": ["" if answers[at] else text for at, text in zip(chosen, texts, strict=True)],
        }
    )


def referred(settings: Profile, count: int = 4, seed: int = 0) -> list[Referred]:
    """``count`` rows of NegRefCOCOg with their pictures and controls, drawn at random."""
    pictures = source.folder(settings, "refcocog") / "train2014"
    rows = referring_file.load(source.folder(settings, "negrefcocog") / negrefcocog.FILE, pictures)
    chosen = np.random.default_rng(seed).permutation(len(rows))[:count].tolist()
    found = []
    for row in rows.select(chosen):
        phrase = row["phrase"]
        pixels = np.asarray(row["image"].convert("RGB"))
        words = (phrase, negrefcocog.affirmed(phrase), negrefcocog.bare(phrase))
        found.append(Referred(pixels, row["boxes"], row["correct"], *words))
    return found


def swaps(settings: Profile, count: int = 4) -> pd.DataFrame:
    """NegCLIP's negatives: caption, the same words in another order."""
    who = caption_sets.annotators_of(settings, 0.0, settings.world.seed)
    made = word_order.make(caption_sets.sources(settings, 1, 20 * count, settings.world.seed), who.language)
    return made[["caption", "negative"]].head(count).reset_index(drop=True)


def _folder(settings: Profile, name: str) -> Path:
    of_shapes = name in (caption_pipelines.SHAPES, caption_pipelines.OVERLOOKED)
    return caption_sets.shapes(settings) if of_shapes else source.folder(settings, "coco")


def _picture(path: Path) -> Pixels:
    return np.asarray(read_rgb(path))


def compared(referring: Sequence[Referred]) -> pd.DataFrame:
    """Phrases beside their controls: phrase, negation deleted, clause deleted."""
    rows = [(one.phrase, one.affirmed, one.bare) for one in referring]
    return pd.DataFrame(rows, columns=["phrase", "negation deleted", "clause deleted"])
