"""The training sets with negation, made from COCO, VQA and easy-VQA as they lie on disk.

``build`` writes them to ``settings.built/captions``; with an error rate of the annotators, P1 and P2 to
``captions-<percent>``. ``sources`` and ``annotators_of`` are their inputs. Nothing that is held out
(``english.HELD_OUT_NOUNS``, ``HELD_OUT_COLOURS``, held-out forms) is ever negated in them.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from negutil import code, files, paths
from negutil.captions import annotators, baseline_sets, negbench, p1, p2, photographs
from negutil.captions.annotators import LanguageAnnotator, VisionAnnotator
from negutil.captions.english import HELD_OUT_COLOURS, HELD_OUT_NOUNS, NOUNS
from negutil.captions.p1 import Source
from negutil.captions.p2 import Asked
from negutil.config import FULL_CAPTIONS, Profile
from negutil.data import built, coco, source, vqa
from negutil.errors import NegutilError

FOLDER = "captions"
SETTINGS = paths.CONFIGS / "annotators.toml"
HELD_OUT = HELD_OUT_NOUNS | HELD_OUT_COLOURS
P1, RANDOM, P2, SHAPES = "p1.json", "rand_p1.json", "p2.json", "p2_shapes.json"
NEGCAP, NEGMCQ, WORD_ORDER = "negcap.csv", "negmcq.csv", "word_order.tsv"
FILES = (P1, RANDOM, P2, SHAPES, NEGCAP, NEGMCQ, WORD_ORDER, baseline_sets.TRIPLETS, baseline_sets.DISTRACTORS)
NOISY = (P1, P2)
QUESTION_IDS = 10**12
"""Added to question ids, so that captions of P1 and P2 have different ids in one file."""


@dataclass(frozen=True, slots=True)
class Annotators:
    """Who annotates; ``random_language`` proposes objects at random (Rand-P1).

    ``reword``: whether the language annotator can word any denial (``p2.Rules``); ``held_out``: what must not be
    negated (in the mini world HELD_OUT, else nothing); ``facts``: their settings, for the journals.
    """

    language: LanguageAnnotator
    random_language: LanguageAnnotator
    vision: VisionAnnotator
    reword: bool
    held_out: frozenset[str]
    facts: Mapping[str, Any]


def sources(settings: Profile, captions: int = 1, pictures: int = 0, seed: int = 0) -> list[Source]:
    """``captions`` captions, drawn at random, of each training image of COCO or of the first ``pictures``.

    ``pictures`` 0 means all.
    """
    folder = source.folder(settings, "coco")
    chosen = []
    for image_id, name, texts, numbers in _captions(folder)[: pictures or None]:
        rows = random.Random(f"captions/{seed}/{image_id}").sample(range(len(texts)), min(captions, len(texts)))
        picture = folder / "train2014" / name
        chosen += [Source(numbers[row], image_id, f"train2014/{name}", texts[row], picture) for row in sorted(rows)]
    return chosen


@lru_cache(maxsize=1)
def _captions(folder: Path) -> list[tuple[int, str, list[str], list[int]]]:
    """Image id, file name, captions and their ids of every training image of COCO."""
    rows = coco.load(folder / "annotations" / "captions_train2014.json")
    return list(zip(*(rows[:][name] for name in ("image_id", "file_name", "captions", "caption_ids")), strict=True))


def asked(settings: Profile, pictures: int = 0, seed: int = 0) -> list[Asked]:
    """The yes/no questions of VQA's training part, each with one caption of its image, drawn at random.

    The caption names the thing that is asked about, where one does. None if VQA asks nothing about the profile's
    images.
    """
    if not source.has(settings, "vqa"):
        return []
    captions: dict[int, list[Source]] = {}
    for one in sources(settings, captions=100, pictures=pictures):
        captions.setdefault(one.image_id, []).append(one)
    rows = _questions(source.folder(settings, "vqa"))
    questions = []
    for row in rows[(rows["answer_type"] == "yes/no") & rows["image_id"].isin(captions)].itertuples():
        about = p2.read(row.question).about
        pool = [one for one in captions[row.image_id] if about and about in one.caption] or captions[row.image_id]
        chosen = random.Random(f"p2/caption/{seed}/{row.question_id}").choice(pool)
        numbered = replace(chosen, caption_id=QUESTION_IDS + row.question_id)
        questions.append(Asked(numbered, row.question, row.answer))
    return questions


def _questions(folder: Path) -> Any:
    """The questions of VQA's training part, or of easy-VQA's, as a data frame."""
    questions = folder / "v2_OpenEnded_mscoco_train2014_questions.json"
    return vqa.load(questions, folder / "v2_mscoco_train2014_annotations.json").to_pandas()


def shapes(settings: Profile) -> Path:
    """The folder of easy-VQA, which is a package: built here in every profile."""
    folder: Path = source.world().build("shapes", settings)
    return folder


def asked_of_shapes(settings: Profile, pictures: int = 0, seed: int = 0) -> list[Asked]:
    """The yes/no questions of easy-VQA's training part, of its first ``pictures`` (0: of all).

    Their captions follow from the answers to its other questions.
    """
    folder, world = shapes(settings), source.world()
    rows, facts = _questions(folder), world.shapes_by_id()
    studied = rows["image_id"].isin(rows["image_id"].unique()[: pictures or None])
    questions = []
    for row in rows[(rows["answer_type"] == "yes/no") & studied].itertuples():
        caption = world.describe_shape(facts[row.image_id], random.Random(f"p2/shapes/{seed}/{row.question_id}"))
        picture, number = f"train2014/{row.file_name}", 2 * QUESTION_IDS + row.question_id
        about = Source(number, row.image_id, picture, caption, folder / picture)
        questions.append(Asked(about, row.question, row.answer))
    return questions


def annotators_of(settings: Profile, error: float = 0.0, seed: int = 0) -> Annotators:
    """The annotators that ``configs/annotators.toml`` names for a profile.

    ``error`` is the rate at which each operation of the mini world's annotator is wrong. Raises NegutilError if the
    file has no table for the profile, and for an error rate of annotators of another kind.
    """
    table = _annotator_settings(settings.name)
    kind = table["language"].get("kind")
    if kind != "world":
        if error:
            raise NegutilError("Only the mini world's annotators have an error rate: take error 0 for others.")
        if kind == "rules":  # they know the captions of the profile's photographs
            one, other, eyes = (
                photographs.annotator({"seed": seed, **_without_kind(table[name])}, settings)
                for name in ("language", "random_language", "vision")
            )
            return Annotators(one, other, eyes, False, HELD_OUT, table)
        language, random_language, vision = (
            annotators.build(table[name]) for name in ("language", "random_language", "vision")
        )
        return Annotators(language, random_language, vision, True, frozenset(), table)
    things = source.world().things(source.folder(settings, "coco"))
    rates = dict.fromkeys(("extract", "propose", "negate", "paraphrase", "shows", "answer"), error)
    shared = {"seed": seed, "errors": rates, "held_out_share": 0.0, "nouns": [n for n in NOUNS if n not in HELD_OUT]}
    language, random_language = (
        annotators.build({**shared, **table[name]}, things) for name in ("language", "random_language")
    )
    facts = {"error": error, "seed": seed, **table}
    return Annotators(language, random_language, language, False, HELD_OUT, facts)


def _without_kind(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "kind"}


def _annotator_settings(profile: str) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = files.read_toml(SETTINGS).get(profile, {})
    missing = {"language", "random_language", "vision"} - set(table)
    if missing:
        raise NegutilError(f"{SETTINGS}: [{profile}] has no {', '.join(sorted(missing))}: add it.")
    return table


def build(settings: Profile, error: float = 0.0) -> Path:
    """The folder with FILES, written first where it is missing or was made otherwise.

    With an ``error`` rate, or another share of full captions than usual, it has P1 and P2 alone: controls need no more.

    An interrupted build resumes where it stopped: what the annotators replied is kept in the cache until it is whole.
    """
    folder = settings.built / (f"{FOLDER}-{round(100 * error)}" if error else FOLDER)
    journals = paths.cache() / "journals" / settings.built.name / folder.name
    whole = not error and settings.world.full_captions == FULL_CAPTIONS
    parts = {name: source.folder(settings, name) for name in ("coco", "vqa") if source.has(settings, name)}
    if whole:
        parts["shapes"] = shapes(settings)
    wanted = {
        "part": folder.name,
        "seed": settings.world.seed,
        "error": error,
        "code": code.fingerprint(__name__, *source.ANNOTATING),
        # Digests of a part's bytes and of the world's code, or the path of the user's own data.
        "made_of": {
            name: f"{facts['sha256']} by {facts['code']}" if (facts := built.manifest(part)) else str(part)
            for name, part in parts.items()
        },
        "annotators": _annotator_settings(settings.name),
    }

    def fill(fresh: Path) -> dict[str, Any]:
        who = annotators_of(settings, error, settings.world.seed)
        made = frames(settings, who, (*NOISY, RANDOM, SHAPES) if whole else NOISY, journals=journals)
        for name, frame in made.items():
            p1.write(frame, fresh / name)
        rows = {name: {"captions": int((each["dropped"] == "").sum()), "of": len(each)} for name, each in made.items()}
        return {"rows": rows | _write_baselines(fresh, settings, who, journals) if whole else rows}

    if built.keep(folder, wanted, fill, "caption sets") == "built":
        for journal in journals.glob("*.jsonl"):
            journal.unlink()
    return folder


def frames(
    settings: Profile,
    who: Annotators,
    names: Sequence[str] = (*NOISY, RANDOM, SHAPES),
    *,
    captions: int = 2,
    pictures: int = 0,
    journals: Path | None = None,
) -> dict[str, pd.DataFrame]:
    """The sets of P1, P2, Rand-P1 and P2 from the questions of easy-VQA, by file name, with the columns of ``p1``.

    P1 gets ``captions`` captions of each of the first ``pictures`` images (0: of all). Without questions about the
    images there is no P2.
    """
    seed = settings.world.seed
    chosen = sources(settings, captions, pictures, seed)
    made = {}
    for name in (name for name in names if name != P2 or source.has(settings, "vqa")):
        kept_in = _journal(journals, name)
        if name in (P1, RANDOM):
            language = who.language if name == P1 else who.random_language
            made[name] = p1.make(chosen, language, who.vision, held_out=who.held_out, kept_in=kept_in, facts=who.facts)
        else:
            rules = p2.Rules(who.held_out if name == P2 else frozenset(), who.reword, seed=seed)
            questions = asked(settings, pictures, seed) if name == P2 else asked_of_shapes(settings, pictures, seed)
            made[name] = p2.make(questions, who.language, rules, kept_in=kept_in, facts=who.facts)
    return made


def _journal(journals: Path | None, name: str) -> Path | None:
    return journals / f"{Path(name).stem}.jsonl" if journals else None


def negcap_labels(settings: Profile, who: Annotators, pictures: int = 0, journals: Path | None = None) -> pd.DataFrame:
    """What NegCap and NegMCQ are made of: one caption of each image (``baseline_sets.negcap_labels``)."""
    captions, kept_in = sources(settings, 1, pictures, settings.world.seed), _journal(journals, NEGCAP)
    kept: dict[str, Any] = {"held_out": who.held_out, "kept_in": kept_in, "facts": who.facts}
    return baseline_sets.negcap_labels(captions, who.language, who.vision, **kept)


def _write_baselines(fresh: Path, settings: Profile, who: Annotators, journals: Path) -> dict[str, dict[str, int]]:
    """NegCap, NegMCQ, CC-Neg triplets and word-order negatives; returns their numbers of rows."""
    seed, held_out = settings.world.seed, who.held_out
    labels = negcap_labels(settings, who, journals=journals)
    written = baseline_sets.negcap(labels, who.language, seed)
    baseline_sets.write_negcap(written, fresh / NEGCAP)
    questions = baseline_sets.negmcq(labels, who.language, held_out=held_out, seed=seed)
    negbench.write_csv(fresh / NEGMCQ, questions)
    captions = sources(settings, 1, 0, seed)
    triplets = baseline_sets.ccneg_triplets(captions, who.language, held_out=held_out, seed=seed)
    baseline_sets.write_triplets(triplets, fresh)
    swapped = baseline_sets.word_order(captions, who.language, seed)
    baseline_sets.write_word_order(swapped, fresh / WORD_ORDER)
    sets = {NEGCAP: written, NEGMCQ: questions, baseline_sets.TRIPLETS: triplets, WORD_ORDER: swapped}
    return {name: {"captions": len(rows), "of": len(captions)} for name, rows in sets.items()}
