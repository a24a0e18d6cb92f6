"""Training sets with negation of the methods to compare with, from affirmative captions and what they name.

- NegBench's captions (NegCap) and questions (NegMCQ): absent objects are proposed from the caption and verified on the
  image; sentences are NegBench's templates, worded by the language annotator. Half of the captions with negation open
  with it. Unlike the released code, which then writes the word "None" into captions, an image without a named object
  gets no question (docs/protocols.md#negbench-training).
- CC-Neg's triplets: image, true caption, false caption with negation, distractors. As in CC-Neg, an object that the
  caption names is denied, so the negated caption is false of the image and may be true of a distractor: an image of
  another item that shares objects and does not show the denied one. Written as the published
  ``ccneg_preprocessed.pt`` and ``distractor_image_mapping.pt``, which ``negutil.data.ccneg`` reads.
- NegCLIP's hard negatives: the caption with two words of one kind changed round, "a red car and a blue bus" against "a
  blue car and a red bus", and images that look alike. Written as NegCLIP's table (docs/protocols.md#negclip).
"""

import random
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import MultiLabelBinarizer

from negutil import files
from negutil.captions import negbench, p1
from negutil.captions.annotators import LanguageAnnotator, VisionAnnotator
from negutil.captions.negbench import Question
from negutil.captions.p1 import Source
from negutil.captions.statements import Statement
from negutil.errors import NegutilError

NEGATIVES = 3
"""Absent objects, and so captions, per image of NegCap."""

PROPOSALS = 5
"""Objects asked for, so that three are left when those in the image are gone."""

KINDS = ("positive", "negative", "hybrid")
MCQ_COLUMNS = ("correct_answer", *negbench.OPTIONS, "correct_answer_template", "image_path")
TRIPLETS, DISTRACTORS = "ccneg_preprocessed.pt", "distractor_image_mapping.pt"
NEAREST = 3
CHUNK = 512
"""Captions compared with all others at a time."""

WORD_ORDER_COLUMNS = ("filepath", "title", "neg_caption", "neg_image")
COLOURS = re.compile(
    r"\b(?:red|orange|yellow|green|blue|purple|pink|brown|black|white|gr[ae]y|silver|golden|beige|teal)\b",
    re.IGNORECASE,
)


def negcap_labels(
    sources: Sequence[Source],
    language: LanguageAnnotator,
    vision: VisionAnnotator | None,
    *,
    held_out: Collection[str] = frozenset(),
    kept_in: Path | None = None,
    facts: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """What captions and questions are made of: a row per source with the objects that it names (``present``) and up to
    NEGATIVES that are not in the image (``absent``), lists both, beside ``p1.SOURCE``. Arguments as in ``p1.make``.
    """

    def work(batch: Sequence[Source]) -> list[p1.Outcome]:
        choices = p1.choose(batch, language, vision, proposals=PROPOSALS, wanted=NEGATIVES, held_out=held_out)
        pairs = zip(language.extract([source.caption for source in batch]), choices, strict=True)
        return [{"present": list(dict.fromkeys(nouns)), "absent": list(choice.absent)} for nouns, choice in pairs]

    head = {"pipeline": "negcap", "language": language.name, "held_out": sorted(held_out), **(facts or {})}
    made = p1.outcomes({source.caption_id: source for source in sources}, work, kept_in, head)
    return p1.frame(sources, made, (*p1.SOURCE, "present", "absent"))


def negcap(labels: pd.DataFrame, language: LanguageAnnotator, seed: int = 0) -> pd.DataFrame:
    """A caption with negation for every absent object of ``negcap_labels``, with the columns of ``p1``.

    Every second one, from a random start in each image, opens with the negation.
    """
    sources: list[Any] = list(labels.itertuples())
    rows = [
        {
            "caption_id": row.caption_id * 10 + number,
            **{name: getattr(row, name) for name in ("image_id", "file_name", "caption")},
            "absent": noun,
            "negation_first": (number + random.Random(f"negcap/{seed}/{row.caption_id}").randrange(2)) % 2 == 0,
        }
        for row in sources
        for number, noun in enumerate(row.absent)
    ]
    statements = [Statement((), (row["absent"],), row["caption"], row["negation_first"]) for row in rows]
    updated = negbench.worded(statements, language)
    return pd.DataFrame(rows).assign(updated_caption=updated, kind="object", about="", dropped="")


def negmcq(
    labels: pd.DataFrame, language: LanguageAnnotator, *, held_out: Collection[str] = frozenset(), seed: int = 0
) -> pd.DataFrame:
    """One question with four options, in random order, for every image with a named and an absent object.

    No option denies a ``held_out`` noun.

    Columns: MCQ_COLUMNS. With A, B there and N not: right is "A and B" (positive; "A" where only A is named), "no N"
    (negative) or "A but not N" (hybrid), each for a third of the images; wrong are "N but not A", "N", "no A".
    """
    rows: list[Any] = list(labels.itertuples())
    questions = []
    for row in rows:
        rng = random.Random(f"negmcq/{seed}/{row.caption_id}")
        allowed = [noun for noun in row.present if not p1.is_held_out(noun, held_out)]
        if not row.absent or not allowed:
            continue
        first = rng.choice(allowed)
        others = rng.sample([noun for noun in row.present if noun != first], min(1, len(row.present) - 1))
        absent, kind = rng.choice(row.absent), rng.choice(KINDS)
        options, order = negbench.options(kind, first, others, absent), rng.sample(range(4), 4)
        questions.append(Question(row.file_name, [options[place] for place in order], order.index(0), kind))
    return negbench.table(questions, MCQ_COLUMNS, language)


def ccneg_triplets(
    sources: Sequence[Source], language: LanguageAnnotator, *, held_out: Collection[str] = frozenset(), seed: int = 0
) -> pd.DataFrame:
    """One row for every source that names an object that may be denied.

    Columns: caption_id, image_id, file_name, caption, negated_caption, negated_object, present (all that the caption
    names). The rest of what the caption names is said to be there, and nothing else.
    """
    named = language.extract([source.caption for source in sources])
    rows, statements = [], []
    for source, nouns in zip(sources, named, strict=True):
        allowed = [noun for noun in dict.fromkeys(nouns) if not p1.is_held_out(noun, held_out)]
        if allowed:
            denied = random.Random(f"ccneg/{seed}/{source.caption_id}").choice(allowed)
            rest = tuple(noun for noun in dict.fromkeys(nouns) if noun != denied)
            rows.append((source.caption_id, source.image_id, source.file_name, source.caption, denied, tuple(nouns)))
            statements.append(Statement(rest, (denied,)))
    columns = [*p1.SOURCE, "negated_object", "present"]
    return pd.DataFrame(rows, columns=columns).assign(negated_caption=negbench.worded(statements, language))


def nearest(
    named: Sequence[Collection[str]], pictures: Sequence[int], denied: Sequence[str] | None = None, count: int = NEAREST
) -> dict[int, list[int]]:
    """For every caption the ``count`` captions of other ``pictures`` that name the most of the same objects.

    Closeness is the cosine of what two captions name; between equals the earlier one comes first. With ``denied``,
    captions that name the denied object come last. Every machine finds the same ones: a caption's neighbours are ranked
    by the square of that cosine, less a factor of their own, which is a quotient of whole numbers and so has no noise.
    Raises NegutilError where there are captions, but not of that many other images.
    """
    if 0 < (images := len(set(pictures))) <= count:
        raise NegutilError(
            f"Captions of more than {count} images are needed that name a thing to deny, or two words to swap, and "
            f"{images} have one; give more captions, or another annotator (--annotator)."
        )
    coder = MultiLabelBinarizer(sparse_output=False)
    binary = coder.fit_transform(named).astype(np.float32)
    sizes = np.maximum(binary.sum(axis=1, dtype=np.float64), 1)
    column = {noun: number for number, noun in enumerate(coder.classes_)}
    numbers = np.asarray(pictures)
    neighbours: dict[int, list[int]] = {}
    for start in range(0, len(binary), CHUNK):
        rows = slice(start, start + CHUNK)
        alike = (binary[rows] @ binary.T).astype(np.float64) ** 2 / sizes
        if denied is not None:
            alike -= (1 + sizes.max()) * binary[:, [column[noun] for noun in denied[rows]]].T
        alike[numbers[rows, None] == numbers] = -np.inf
        least = -np.partition(-alike, count - 1, axis=1)[:, count - 1]
        for number, (row, limit) in enumerate(zip(alike, least, strict=True), start):
            close = np.flatnonzero(row >= limit)
            neighbours[number] = close[np.argsort(-row[close], kind="stable")][:count].tolist()
    return neighbours


def write_negcap(made: pd.DataFrame, path: Path) -> None:
    """Write NegBench's table of NegCap."""
    negbench.write_csv(path, made[["file_name", "updated_caption"]].set_axis(["filepath", "caption"], axis=1))


def write_triplets(made: pd.DataFrame, folder: Path) -> None:
    """Write both files of CC-Neg into ``folder``; distractors are rows of the same file."""
    rows = zip(made["caption"], made["negated_caption"], made["negated_object"], strict=True)
    annotations = [
        {"json": {"caption": caption}, "sop_data": {"negative-prompt": negated, "sop_chosen_object": noun}}
        for caption, negated, noun in rows
    ]
    torch.save({"image_paths": made["file_name"].tolist(), "annotations": annotations}, folder / TRIPLETS)
    named, pictures, denied = (made[name].tolist() for name in ("present", "image_id", "negated_object"))
    torch.save(nearest(named, pictures, denied), folder / DISTRACTORS)


def swap(caption: str, nouns: Sequence[str], rng: random.Random) -> str | None:
    """The caption with two different colours or two of its ``nouns`` changed round.

    None if there are no two, or where the result says the same: "a cat and a dog", "a dog and a cat".
    """
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, nouns))})\b", re.IGNORECASE) if nouns else None
    pools = []
    for kind in (COLOURS, pattern):
        different: dict[str, re.Match[str]] = {}
        for match in kind.finditer(caption) if kind else ():
            different.setdefault(match[0].lower(), match)
        if len(different) > 1:
            pools.append(list(different.values()))
    if not pools:
        return None
    first, second = sorted(rng.sample(rng.choice(pools), 2), key=lambda match: match.start())
    before, between, after = caption[: first.start()], caption[first.end() : second.start()], caption[second.end() :]
    swapped = f"{before}{second[0]}{between}{first[0]}{after}"
    # "a" and "an" as the words behind them want it.
    vowel = re.compile(r"\b([Aa])n?(?= ([a-zA-Z]))")
    swapped = vowel.sub(lambda at: at[1] + ("n" if at[2].lower() in "aeiou" else ""), swapped)
    return swapped if _parts(swapped) != _parts(caption) else None


def _parts(caption: str) -> list[str]:
    """What a caption lists, in alphabetical order, without its opening words; places count as parts of their own."""
    plain = re.sub(r"^.*?\b(?=an? |two |three |four )", "", caption.lower(), count=1)
    return sorted(re.split(r", | and | (?=(?:in|on|at) )", plain))


def word_order(sources: Sequence[Source], language: LanguageAnnotator, seed: int = 0) -> pd.DataFrame:
    """One row for every source that has two words to change round.

    Columns: caption_id, image_id, file_name, caption, negative, present (the nouns named), and alike: three rows of
    this frame whose captions name the most of the same objects.
    """
    named = language.extract([source.caption for source in sources])
    rows = []
    for source, nouns in zip(sources, named, strict=True):
        negative = swap(source.caption, nouns, random.Random(f"word order/{seed}/{source.caption_id}"))
        if negative is not None:
            known = [getattr(source, name) for name in p1.SOURCE]
            rows.append((*known, negative, tuple(dict.fromkeys(nouns))))
    made = pd.DataFrame(rows, columns=[*p1.SOURCE, "negative", "present"])
    return made.assign(alike=pd.Series(nearest(made["present"].tolist(), made["image_id"].tolist())))


def write_word_order(made: pd.DataFrame, path: Path) -> Path:
    """Write NegCLIP's table, separated by tabs; lists are Python literals, ``neg_image`` are rows of the table."""
    lists = {"neg_caption": [[text] for text in made["negative"]], "neg_image": made["alike"].tolist()}
    table = pd.DataFrame({"filepath": made["file_name"], "title": made["caption"], **lists})
    files.write_text(path, table[list(WORD_ORDER_COLUMNS)].to_csv(sep="\t", index=False, lineterminator="\n"))
    return path
