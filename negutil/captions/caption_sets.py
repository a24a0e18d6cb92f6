"""The training sets with negation, made from COCO, VQA and easy-VQA as they lie on disk.

``build`` writes them to ``settings.built/captions``; with an error rate of the annotators, P1 and P2 to
``captions-<percent>``. ``sources`` and ``annotators_of`` are what the sets are made of. Nothing that is held out
(``english.HELD_OUT_NOUNS``, ``HELD_OUT_COLOURS``, held-out forms) is ever negated in them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from negutil import code, files, paths
from negutil.captions import (
    annotator_kinds,
    ccneg_triplets,
    negbench,
    negcap,
    p1,
    p2,
    word_order,
)
from negutil.captions.annotators import LanguageAnnotator, VisionAnnotator
from negutil.captions.english import HELD_OUT_COLOURS, HELD_OUT_NOUNS, NOUNS
from negutil.captions.p1 import Source
from negutil.captions.p2 import Asked
from negutil.config import Profile
from negutil.data import built, coco, source, vqa
from negutil.errors import NegutilError

FOLDER = "captions"
SETTINGS = paths.CONFIGS / "annotators.toml"
HELD_OUT = HELD_OUT_NOUNS | HELD_OUT_COLOURS
P1, RANDOM, P2, SHAPES = "p1.json", "rand_p1.json", "p2.json", "p2_shapes.json"
NEGCAP, NEGMCQ, WORD_ORDER = "negcap.csv", "negmcq.csv", "word_order.tsv"
FILES = (P1, RANDOM, P2, SHAPES, NEGCAP, NEGMCQ, WORD_ORDER, ccneg_triplets.FILE, ccneg_triplets.DISTRACTORS)
NOISY = (P1, P2)
QUESTION_IDS = 10**12
"""Added to question ids, so that captions of P1 and P2 have different ids in one file."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is made: captions of each picture for P1, pictures (0: all), and annotators' error rate (0 to 1)."""

    captions: int = 2
    pictures: int = 0
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class Annotators:
    """Who annotates.

    Attributes:
        language, vision: the annotators.
        random_language: the language annotator that proposes objects at random (Rand-P1).
        reword: whether the language annotator can word any denial (``p2.Rules``).
        held_out: what must not be negated: in the mini world HELD_OUT, else nothing.
        facts: their settings, for the journals.
    """

    language: LanguageAnnotator
    random_language: LanguageAnnotator
    vision: VisionAnnotator
    reword: bool
    held_out: frozenset[str]
    facts: Mapping[str, Any]


# --------------------------------------------------------------------------------------------------------------------
# What the sets are made of


def sources(settings: Profile, captions: int = 1, pictures: int = 0, seed: int = 0) -> list[Source]:
    """``captions`` captions, drawn at random, of each training picture of COCO or of the first ``pictures``.

    ``pictures`` 0 stands for all.
    """
    folder = source.folder(settings, "coco")
    found = []
    for image_id, name, said, numbers in _captions(folder)[: pictures or None]:
        chosen = random.Random(f"captions/{seed}/{image_id}").sample(range(len(said)), min(captions, len(said)))
        picture = folder / "train2014" / name
        found += [Source(numbers[at], image_id, f"train2014/{name}", said[at], picture) for at in sorted(chosen)]
    return found


@lru_cache(maxsize=1)
def _captions(folder: Path) -> list[tuple[int, str, list[str], list[int]]]:
    """Image id, file name, captions and their ids of every training picture of COCO."""
    rows = coco.load(folder / "annotations" / "captions_train2014.json")
    return list(zip(*(rows[:][name] for name in ("image_id", "file_name", "captions", "caption_ids")), strict=True))


def asked(settings: Profile, pictures: int = 0, seed: int = 0) -> list[Asked]:
    """The yes/no questions of VQA's training part, each with one caption of its picture, drawn at random.

    The caption names the thing that is asked about, where one does.
    """
    folder = source.folder(settings, "vqa")
    questions, answers = (folder / name for name in _vqa_files("train2014"))
    rows = vqa.load(questions, answers).to_pandas()
    captions: dict[int, list[Source]] = {}
    for one in sources(settings, captions=100, pictures=pictures):
        captions.setdefault(one.image_id, []).append(one)
    rows = rows[(rows["answer_type"] == "yes/no") & rows["image_id"].isin(captions)]
    columns = (rows["question_id"], rows["image_id"], rows["question"], rows["answer"])
    found = []
    for number, image_id, question, answer in zip(*(column.tolist() for column in columns), strict=True):
        about = p2.read(question).about
        pool = [one for one in captions[image_id] if about and about in one.caption] or captions[image_id]
        chosen = random.Random(f"p2/caption/{seed}/{number}").choice(pool)
        found.append(Asked(replace(chosen, caption_id=QUESTION_IDS + number), question, answer))
    return found


def _vqa_files(subtype: str) -> tuple[str, str]:
    return f"v2_OpenEnded_mscoco_{subtype}_questions.json", f"v2_mscoco_{subtype}_annotations.json"


def shapes(settings: Profile) -> Path:
    """The folder of easy-VQA, which is a package: built here in every profile."""
    folder: Path = source.world().build("shapes", settings)
    return folder


def asked_of_shapes(settings: Profile, pictures: int = 0, seed: int = 0) -> list[Asked]:
    """The yes/no questions of easy-VQA's training part, of its first ``pictures`` (0: of all).

    Their captions follow from the answers to its other questions.
    """
    folder = shapes(settings)
    questions, answers = (folder / name for name in _vqa_files("train2014"))
    rows = vqa.load(questions, answers).to_pandas()
    rows = rows[
        (rows["answer_type"] == "yes/no") & rows["image_id"].isin(rows["image_id"].unique()[: pictures or None])
    ]
    world = source.world()
    facts = world.shapes_by_id()
    columns = (rows["question_id"], rows["image_id"], rows["file_name"], rows["question"], rows["answer"])
    found = []
    for number, image_id, name, question, answer in zip(*(column.tolist() for column in columns), strict=True):
        caption = world.describe_shape(facts[image_id], random.Random(f"p2/shapes/{seed}/{number}"))
        picture = folder / "train2014" / name
        about = Source(2 * QUESTION_IDS + number, image_id, f"train2014/{name}", caption, picture)
        found.append(Asked(about, question, answer))
    return found


def annotators_of(settings: Profile, error: float = 0.0, seed: int = 0) -> Annotators:
    """The annotators that ``configs/annotators.toml`` names for a profile.

    ``error`` is the rate at which each operation of the mini world's annotator is wrong. Raises NegutilError where the
    file has no table for the profile, and for an error rate of annotators of another kind.
    """
    table = _annotator_settings(settings.name)
    if table["language"].get("kind") != "world":
        if error:
            raise NegutilError("Only the mini world's annotators have an error rate: take error 0 for others.")
        language, random_language, vision = (
            annotator_kinds.build(table[name]) for name in ("language", "random_language", "vision")
        )
        return Annotators(language, random_language, vision, True, frozenset(), table)
    things = source.world().things(source.folder(settings, "coco"))
    rates = dict.fromkeys(("extract", "propose", "negate", "paraphrase", "shows", "answer"), error)
    shared = {"seed": seed, "errors": rates, "held_out_share": 0.0, "nouns": [n for n in NOUNS if n not in HELD_OUT]}
    language, random_language = (
        annotator_kinds.build({**shared, **table[name]}, things) for name in ("language", "random_language")
    )
    facts = {"error": error, "seed": seed, **table}
    return Annotators(language, random_language, language, False, HELD_OUT, facts)


def _annotator_settings(profile: str) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = files.read_toml(SETTINGS).get(profile, {})
    missing = {"language", "random_language", "vision"} - set(table)
    if missing:
        raise NegutilError(f"{SETTINGS}: [{profile}] has no {', '.join(sorted(missing))}: add it.")
    return table


# --------------------------------------------------------------------------------------------------------------------
# Building


def build(settings: Profile, error: float = 0.0, sizes: Sizes | None = None) -> Path:
    """The folder with FILES (with an ``error`` rate: NOISY), written first where it is missing or was made otherwise.

    An interrupted build resumes where it stopped: what the annotators said is kept in the cache until it is whole.
    """
    sizes = replace(sizes or Sizes(), error=error)
    folder = settings.built / (f"{FOLDER}-{round(100 * error)}" if error else FOLDER)
    journals = paths.cache() / "journals" / settings.name / folder.name
    parts = {name: source.folder(settings, name) for name in ("coco", "vqa")}
    if not error:
        parts["shapes"] = shapes(settings)
    wanted = {
        "part": folder.name,
        "seed": settings.world.seed,
        "sizes": asdict(sizes),
        "code": code.fingerprint(__name__, *source.ANNOTATING),
        # Digests of a part's bytes and of the world's code, or the path of the user's own data.
        "made_of": {
            name: f"{found['sha256']} by {found['code']}" if (found := built.manifest(part)) else str(part)
            for name, part in parts.items()
        },
        "annotators": _annotator_settings(settings.name),
    }

    def fill(fresh: Path) -> dict[str, Any]:
        who = annotators_of(settings, error, settings.world.seed)
        made = noisy_sets(settings, who, sizes, journals)
        if not error:
            made |= other_sets(settings, who, sizes, journals)
        for name, frame in made.items():
            p1.write(frame, fresh / name)
        rows = {name: {"captions": int((each["dropped"] == "").sum()), "of": len(each)} for name, each in made.items()}
        if not error:
            rows |= _write_others(fresh, settings, who, sizes, journals)
        return {"rows": rows}

    if built.keep(folder, wanted, fill, "caption sets") == "built":
        for journal in journals.glob("*.jsonl"):
            journal.unlink()
    return folder


def noisy_sets(
    settings: Profile, who: Annotators, sizes: Sizes, journals: Path | None = None
) -> dict[str, pd.DataFrame]:
    """P1 and P2 by file name, with the columns of ``p1``."""
    seed = settings.world.seed
    captions = sources(settings, sizes.captions, sizes.pictures, seed)
    questions = asked(settings, sizes.pictures, seed)
    rules = p2.Rules(who.held_out, who.reword, seed=seed)
    return {P1: _p1(captions, who, journals, P1), P2: _p2(questions, who, rules, journals, P2)}


def other_sets(
    settings: Profile, who: Annotators, sizes: Sizes, journals: Path | None = None
) -> dict[str, pd.DataFrame]:
    """Rand-P1, and P2 from the questions of easy-VQA, by file name, with the columns of ``p1``."""
    seed = settings.world.seed
    captions = sources(settings, sizes.captions, sizes.pictures, seed)
    rules = p2.Rules(reword=who.reword, seed=seed)
    at_random = replace(who, language=who.random_language)
    return {
        RANDOM: _p1(captions, at_random, journals, RANDOM),
        SHAPES: _p2(asked_of_shapes(settings, sizes.pictures, seed), who, rules, journals, SHAPES),
    }


def _p1(captions: list[Source], who: Annotators, journals: Path | None, name: str) -> pd.DataFrame:
    kept_in = _journal(journals, name)
    return p1.make(captions, who.language, who.vision, held_out=who.held_out, kept_in=kept_in, facts=who.facts)


def _p2(questions: list[Asked], who: Annotators, rules: p2.Rules, journals: Path | None, name: str) -> pd.DataFrame:
    return p2.make(questions, who.language, rules, kept_in=_journal(journals, name), facts=who.facts)


def _journal(journals: Path | None, name: str) -> Path | None:
    return journals / f"{Path(name).stem}.jsonl" if journals else None


def found_for_negcap(settings: Profile, who: Annotators, sizes: Sizes, journals: Path | None = None) -> pd.DataFrame:
    """What NegCap and NegMCQ are made of: one caption of each picture (``negcap.read``)."""
    captions = sources(settings, 1, sizes.pictures, settings.world.seed)
    kept_in = _journal(journals, NEGCAP)
    return negcap.read(captions, who.language, who.vision, held_out=who.held_out, kept_in=kept_in, facts=who.facts)


def _write_others(
    fresh: Path, settings: Profile, who: Annotators, sizes: Sizes, journals: Path
) -> dict[str, dict[str, int]]:
    """NegCap, NegMCQ, CC-Neg triplets and word-order negatives; returns their numbers of rows."""
    seed = settings.world.seed
    found = found_for_negcap(settings, who, sizes, journals)
    said = negcap.captions(found, who.language, seed)
    negbench.write_csv(fresh / NEGCAP, negcap.caption_table(said))
    questions = negcap.questions(found, who.language, held_out=who.held_out, seed=seed)
    negbench.write_csv(fresh / NEGMCQ, questions)
    captions = sources(settings, 1, sizes.pictures, seed)
    triplets = ccneg_triplets.make(captions, who.language, held_out=who.held_out, seed=seed)
    ccneg_triplets.write(triplets, fresh)
    swapped = word_order.make(captions, who.language, seed)
    word_order.write(swapped, fresh / WORD_ORDER)
    sets = {NEGCAP: said, NEGMCQ: questions, ccneg_triplets.FILE: triplets, WORD_ORDER: swapped}
    return {name: {"captions": len(rows), "of": len(captions)} for name, rows in sets.items()}
