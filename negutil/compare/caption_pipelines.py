"""Notebook 04: captions with negation from every pipeline, and how good they are.

The training sets are built whole by ``captions.caption_sets``. Their quality is measured on a part of the images, at
several error rates of the annotators, and without the steps that are meant to ensure it. The n-gram model that judges
how natural a caption is learns from captions of other images. Published data have no known truth: what needs it is
left out there.
"""

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negutil import results, statistics
from negutil.captions import baseline_sets, caption_quality, caption_sets, negbench, negrefcocog, p1, p2, phrasing
from negutil.captions.caption_quality import NGrams
from negutil.compare import engine
from negutil.config import Profile
from negutil.data import built, coco, skipped, source
from negutil.data import negrefcocog as referring_file
from negutil.data.source import Example
from negutil.models.pictures import read_rgb
from negutil.results import Record
from negutil.statistics import Interval
from negutil.tasks import negrefcocog as referring_task

Pixels = NDArray[np.uint8]
EXPERIMENT = "04_captions"
ERRORS = (0.0, 0.05, 0.2)
"""Share of items that each operation of the annotators gets wrong."""

PICTURES = 1500
JUDGED = 500
"""Captions of each set that the n-gram model judges."""

P1, RANDOM, P2, SHAPES, NEGCAP, CCNEG = "P1", "Rand-P1", "P2", "P2, easy-VQA", "NegCap", "CC-Neg"
SETS = (P1, RANDOM, P2, SHAPES, NEGCAP, CCNEG)
MADE_TO_SIZE = (NEGCAP, CCNEG)
"""Sets without a row for what came to nothing."""

UNVERIFIED, OVERLOOKED = "P1, not verified", "P2, easy-VQA, negated questions taken at their word"
ABLATIONS = (UNVERIFIED, OVERLOOKED)
TRUE, KEPT, BITS, PLAUSIBILITY = "share true", "share kept", "bits per word", "plausibility"

PUBLISHED = {P1: 147_000, P2: 82_000}
"""Pairs that each pipeline gave the authors."""
PUBLISHED_ROWS = {"rows": 440, "not": 198, "without": 96, "no": 142}
"""Phrases of the authors' NegRefCOCOg.json in all and by cue, counted in the file (docs/protocols.md#negrefcocog)."""
REFERRING_COLUMNS = ["cue", "phrases", "share", "authors' phrases", "authors' share"]
SOURCE = "NegationCLIP Sec. 3"


@dataclass(frozen=True, slots=True)
class Findings:
    """What ``run`` leaves for the notebook.

    Attributes:
        sets: the training sets on disk: file, captions, of (captions or questions to write), share.
        items: a row per caption or question of the study: set, error, the columns of ``p1``, true (NaN where it is not
            known or nothing was written), plausibility.
        quality: the measures by set and error: set, error, metric, value, low, high, n, over.
        negations: how the captions negate, without errors: set, factor ("cue", "position"), level, share.
        referring: NegRefCOCOg by cue, ours beside the authors': cue, phrases, share, authors' phrases, authors' share.
    """

    sets: pd.DataFrame
    items: pd.DataFrame
    quality: pd.DataFrame
    negations: pd.DataFrame
    referring: pd.DataFrame


def run(settings: Profile, seed: int = 0) -> Findings:
    """Build all sets, measure them, save records and items, and return what the notebook shows.

    Raises NegutilError if published data are wanted and not there.
    """
    rates = ERRORS if source.is_drawn(source.folder(settings, "coco")) else ERRORS[:1]
    folders = {error: caption_sets.build(settings, error) for error in rates}
    items = pd.concat([study(settings, error, seed) for error in rates], ignore_index=True)
    quality, referring = _measures(items, settings, seed), referring_table(settings)
    written = items[(items["error"] == 0) & (items["dropped"] == "")]
    negations = [
        caption_quality.kinds_of_negation(written[written["set"] == name]).assign(set=name)
        for name in SETS
        if name in set(written["set"])
    ]
    counts = [
        {"file": file, "annotators' errors": error, **counted, "share": counted["captions"] / counted["of"]}
        for error, folder in folders.items()
        for file, counted in (built.manifest(folder) or {})["facts"]["rows"].items()
    ]
    sets = pd.DataFrame(counts)
    results.save(_records(quality, sets, referring), settings.name, EXPERIMENT, "quality")
    # Captions that people wrote are nobody's to publish: their numbers stay.
    texts = ["caption", "updated_caption"] if settings.photographs else []
    results.save_items(items.drop(columns=texts), settings.name, EXPERIMENT, "items")
    columns = ["set", "factor", "level", "share"]
    return Findings(sets, items, quality, pd.concat(negations, ignore_index=True)[columns], referring)


def study(settings: Profile, error: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Every set at one error rate of the annotators, and the ABLATIONS where there are none; see ``Findings.items``."""
    who = caption_sets.annotators_of(settings, error, seed)
    pictures, world_seed = _pictures(settings), settings.world.seed
    sets = caption_sets.frames(settings, who, captions=1, pictures=pictures)
    labels = caption_sets.negcap_labels(settings, who, pictures)
    captions = caption_sets.sources(settings, 1, pictures, world_seed)
    ccneg = baseline_sets.ccneg_triplets(captions, who.language, held_out=who.held_out, seed=world_seed)
    ccneg = ccneg.rename(columns={"negated_caption": "updated_caption", "negated_object": "absent"})
    files = {P1: caption_sets.P1, RANDOM: caption_sets.RANDOM, P2: caption_sets.P2, SHAPES: caption_sets.SHAPES}
    made = {
        **{name: sets[file] for name, file in files.items() if file in sets},
        NEGCAP: baseline_sets.negcap(labels, who.language, world_seed),
        CCNEG: ccneg.assign(kind="object", about="", dropped=""),  # these are false on purpose
    }
    if not error:  # P1 without a look at the image, and P2 that overlooks the "not" of a question
        questions = caption_sets.asked_of_shapes(settings, pictures, world_seed)
        made[UNVERIFIED] = p1.make(captions, who.language, None, held_out=who.held_out)
        made[OVERLOOKED] = p2.make(questions, who.language, p2.Rules(naive=True, seed=world_seed))
    frames = [frame.assign(set=name, error=error) for name, frame in made.items()]
    items = pd.concat(frames, ignore_index=True)[["set", "error", *p1.COLUMNS]]
    items["true"], items["plausibility"] = np.nan, np.nan
    written, of_shapes = items["dropped"] == "", items["set"].isin((SHAPES, OVERLOOKED))
    shown: list[tuple[Any, Mapping[int, Any]]] = [(of_shapes & written, source.world().shapes_by_id())]
    if source.is_drawn(source.folder(settings, "coco")):
        shown.append((~of_shapes & written, _scenes(source.folder(settings, "coco"))))
    if nouns := _nouns(settings):
        rows = items["kind"].isin(("object", "presence")) & written & ~of_shapes & (items["set"] != CCNEG)
        there = [nouns[image_id] for image_id in items.loc[rows, "image_id"]]
        counts = negbench.cooccurrence(list(nouns.values()))
        ranks = caption_quality.plausibility(items.loc[rows, "absent"].tolist(), there, counts)
        items.loc[rows, "plausibility"] = ranks
    for rows, by_id in shown:
        items.loc[rows, "true"] = source.world().are_true(items[rows], by_id).astype(float)
    return items


def _pictures(settings: Profile) -> int:
    """How many images are studied: half of those for training at most, the others being for the n-gram model."""
    return min(PICTURES, len(caption_sets.sources(settings)) // 2)


@lru_cache(maxsize=1)
def _scenes(folder: Path) -> dict[int, Any]:
    known = source.world().truth(folder)
    return {one.image_id: one.scene for one in known if one.split == "train"}


def _nouns(settings: Profile) -> Mapping[int, Collection[str]]:
    """What every training image shows: in drawings all there is, in photographs what captions name; else unknown."""
    folder = source.folder(settings, "coco")
    if source.is_drawn(folder):
        return {image_id: source.world().sayable(scene.nouns) for image_id, scene in _scenes(folder).items()}
    if not settings.photographs:
        return {}
    files_of = (folder / "annotations" / f"{kind}_train2014.json" for kind in ("captions", "instances"))
    return {int(one.image_id): (*one.objects, *one.implied) for one in negbench.from_coco(coco.load(*files_of))}


def _measures(items: pd.DataFrame, settings: Profile, seed: int) -> pd.DataFrame:
    """How many captions come about, how many are true, how plausible the absent objects are, and how natural the texts.

    The first three are resampled by image. Bits per word are those of the captions, and of the texts that they are
    compared with; how diverse captions are has no interval.
    """
    bootstrap, rows = dataclasses.asdict(settings.bootstrap), []

    def add(name: str, error: float, metric: str, number: Interval) -> None:
        rows.append({"set": name, "error": error, "metric": metric, **dataclasses.asdict(number)})

    for name, error in items[["set", "error"]].drop_duplicates().itertuples(index=False):
        part = items[(items["set"] == name) & (items["error"] == error)]
        known, ranked = part[part["true"].notna()], part[part["plausibility"].notna()]
        if name not in MADE_TO_SIZE:
            add(name, error, KEPT, statistics.bootstrap_share(part["dropped"] == "", part["image_id"], **bootstrap))
        if len(known):
            add(name, error, TRUE, statistics.bootstrap_share(known["true"] == 1, known["image_id"], **bootstrap))
        if len(ranked):
            mean = statistics.bootstrap_mean(ranked["plausibility"], ranked["image_id"], **bootstrap)
            add(name, error, PLAUSIBILITY, mean)
    studied = {source.image_id for source in caption_sets.sources(settings, 1, _pictures(settings))}
    model = NGrams(source.caption for source in caption_sets.sources(settings, 2) if source.image_id not in studied)
    written = items[(items["error"] == 0) & (items["dropped"] == "")]
    for name in (name for name in (P1, RANDOM, P2, NEGCAP) if name in set(written["set"])):
        part = written[(written["set"] == name) & written["kind"].isin(("object", "presence"))]
        part = part.sample(min(JUDGED, len(part)), random_state=seed)
        texts = {"": part["updated_caption"].tolist(), **caption_quality.references(part, seed)}
        for label, captions in texts.items():
            bits = statistics.bootstrap_mean(model.bits(captions), part["image_id"], **bootstrap)
            add(name, 0.0, f"{BITS}, {label}" if label else BITS, bits)
    for name in (name for name in SETS if name in set(written["set"])):
        part = written[written["set"] == name]
        for metric, value in caption_quality.diversity(part).items():
            add(name, 0.0, metric, Interval(value, np.nan, np.nan, len(part), ""))
    return pd.DataFrame(rows)


def referring_table(settings: Profile) -> pd.DataFrame:
    """Our NegRefCOCOg by cue beside the authors': cue, phrases, share, authors' phrases, authors' share.

    Empty where it is missing (``negutil.data.skipped``).
    """
    table = skipped.attempt(settings, "NegRefCOCOg", partial(_referring_table, settings), "negrefcocog")
    return pd.DataFrame(columns=REFERRING_COLUMNS) if table is None else table


def _referring_table(settings: Profile) -> pd.DataFrame:
    rows = referring_file.load(source.folder(settings, "negrefcocog") / negrefcocog.FILE)
    known = (*referring_task.CUES, referring_task.OTHER)
    counts = Counter(
        cue if (cue := phrasing.of(text).cue) in known else referring_task.OTHER for text in rows["phrase"]
    )
    named = sum(PUBLISHED_ROWS[cue] for cue in referring_task.CUES)
    theirs = {**PUBLISHED_ROWS, referring_task.OTHER: PUBLISHED_ROWS["rows"] - named}
    table = pd.DataFrame({"cue": known, "phrases": [counts[cue] for cue in known]})
    table["share"] = table["phrases"] / len(rows)
    table["authors' phrases"] = [theirs[cue] for cue in known]
    table["authors' share"] = table["authors' phrases"] / PUBLISHED_ROWS["rows"]
    return table


def _records(quality: pd.DataFrame, sets: pd.DataFrame, referring: pd.DataFrame) -> list[Record]:
    found = engine.records(quality.assign(task=quality["set"], model=quality["error"].map(annotator_name)), EXPERIMENT)
    published = {caption_sets.P1: PUBLISHED[P1], caption_sets.P2: PUBLISHED[P2]}
    for row in sets.to_dict("records"):
        paper, model = published.get(row["file"]), annotator_name(row["annotators' errors"])
        printed: dict[str, Any] = {"paper_value": paper, "paper_source": SOURCE if paper else ""}
        found.append(Record(EXPERIMENT, row["file"], model, "captions", row["captions"], row["of"], **printed))
    if referring.empty:
        return found
    total = int(referring["phrases"].sum())
    counted = {"all": (total, PUBLISHED_ROWS["rows"])}
    columns = (referring[name].tolist() for name in ("cue", "phrases", "authors' phrases"))
    counted |= {cue: (ours, theirs) for cue, ours, theirs in zip(*columns, strict=True)}
    for cue, (ours, theirs) in counted.items():
        printed = {"paper_value": theirs, "paper_source": "NegRefCOCOg.json, counted"}
        found.append(Record(EXPERIMENT, "NegRefCOCOg", "", f"phrases, {cue}", ours, total, **printed))
    return found


def annotator_name(error: float) -> str:
    """The values of the column "model": who wrote the captions."""
    return f"annotators with {100 * error:.0f} % errors"


# --------------------------------------------------------------------------------------------------------------------
# For the notebook: images with good and bad captions, P1 step by step, rows of NegRefCOCOg


@dataclass(frozen=True, slots=True)
class Referred:
    """One row of NegRefCOCOg: its image, both boxes (x, y, width, height), which is meant, and the phrases.

    ``affirmed`` and ``bare`` are the controls of ``captions.negrefcocog``.
    """

    picture: Pixels
    boxes: list[list[float]]
    correct: int
    phrase: str
    affirmed: str
    bare: str


def sample(settings: Profile, items: pd.DataFrame, count: int = 6, seed: int = 0) -> list[Example]:
    """``count`` captions of ``items`` (rows of ``Findings.items``) under their images."""
    rows = items[items["dropped"] == ""]
    rows = rows.sample(min(count, len(rows)), random_state=seed)
    chosen = zip(rows["set"], rows["file_name"], rows["updated_caption"], strict=True)
    return [Example(_picture(settings, name, file), text) for name, file, text in chosen]


def one_picture(settings: Profile, items: pd.DataFrame, count: int = 6, seed: int = 0) -> list[Example]:
    """Captions of P1, Rand-P1 and P2 of the same images, image by image, without errors; ``count`` in all."""
    names = tuple(name for name in (P1, RANDOM, P2) if name in set(items["set"]))
    rows = items[(items["error"] == 0) & items["set"].isin(names) & (items["dropped"] == "")]
    rows = rows.drop_duplicates(["set", "image_id"])
    shared = rows.groupby("image_id")["set"].nunique()
    pictures = shared[shared == len(names)].sample(count // len(names), random_state=seed).index
    chosen = rows.set_index(["image_id", "set"]).loc[[(image_id, name) for image_id in pictures for name in names]]
    return [
        Example(_picture(settings, name, file), f"{name}: {text}")
        for (_, name), file, text in zip(chosen.index, chosen["file_name"], chosen["updated_caption"], strict=True)
    ]


def mistakes(settings: Profile, items: pd.DataFrame, count: int = 6, seed: int = 0) -> list[Example]:
    """``count`` false captions under their images, where annotators make the most errors; none without any."""
    rows = items[(items["error"] == items["error"].max()) & (items["true"] == 0)]
    rows = rows[rows["set"].isin((P1, P2, NEGCAP))]
    return sample(settings, rows, count, seed)


def dropped(items: pd.DataFrame) -> pd.DataFrame:
    """Why captions and questions came to nothing: set, errors, reason, how many."""
    rows = items[items["dropped"] != ""]
    counted = rows.groupby(["set", "error", "dropped"], sort=False).size().rename("items").reset_index()
    return counted.rename(columns={"error": "annotators' errors", "dropped": "why there is no caption"})


def step_by_step(settings: Profile, count: int = 5, seed: int = 0) -> pd.DataFrame:
    """P1 step by step: caption, object proposed, whether the image shows it, updated caption.

    The first one shown is a proposal that the image refutes, where there is one among the first thousand captions.
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
    """``count`` rows of NegRefCOCOg with their images and controls, drawn at random; none where it is missing."""
    return skipped.attempt(settings, "NegRefCOCOg", partial(_referred, settings, count, seed), "negrefcocog") or []


def _referred(settings: Profile, count: int, seed: int) -> list[Referred]:
    pictures = source.folder(settings, "refcocog") / "train2014"
    rows = referring_file.load(source.folder(settings, "negrefcocog") / negrefcocog.FILE, pictures)
    chosen = np.random.default_rng(seed).permutation(len(rows))[:count].tolist()
    found = []
    for row in rows.select(chosen):
        texts = (row["phrase"], negrefcocog.affirmed(row["phrase"]), negrefcocog.bare(row["phrase"]))
        found.append(Referred(np.asarray(row["image"].convert("RGB")), row["boxes"], row["correct"], *texts))
    return found


def swaps(settings: Profile, count: int = 4) -> pd.DataFrame:
    """NegCLIP's negatives: caption, the same words in another order."""
    who = caption_sets.annotators_of(settings, 0.0, settings.world.seed)
    made = baseline_sets.word_order(caption_sets.sources(settings, 1, 20 * count, settings.world.seed), who.language)
    return made[["caption", "negative"]].head(count).reset_index(drop=True)


def _picture(settings: Profile, name: str, file: str) -> Pixels:
    of_shapes = name in (SHAPES, OVERLOOKED)
    folder = caption_sets.shapes(settings) if of_shapes else source.folder(settings, "coco")
    return np.asarray(read_rgb(folder / file))


def compared(referring: Sequence[Referred]) -> pd.DataFrame:
    """Phrases beside their controls: phrase, negation deleted, clause deleted."""
    rows = [(one.phrase, one.affirmed, one.bare) for one in referring]
    return pd.DataFrame(rows, columns=["phrase", "negation deleted", "clause deleted"])
