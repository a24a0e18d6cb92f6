"""NegBench's questions from labels: retrieval with negation, multiple choice and binary choice.

`queries` and `questions` decide what is said of each image; `retrieval_table` and `mcq_table` word it in the columns
of the published file, in their order, ready for `write_csv`; `binary` and `four_choice` do both. Sentences
are NegBench's templates, or what an annotator (anything with `paraphrase`) makes of them. Except in the medical
questions with negation, option 0 is the right one, as published: shuffle before scoring.
"""

import itertools
import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from datasets import Dataset
from sklearn.preprocessing import MultiLabelBinarizer

from negutil import files
from negutil.captions import named_objects, statements
from negutil.captions.statements import Statement
from negutil.data import chexpert, coco, flickr8k, negbench
from negutil.errors import NegutilError

OPTIONS = tuple(f"caption_{number}" for number in range(4))
RETRIEVAL = ("positive_objects", "negative_objects", "filepath", "image_id", "captions")
"""Columns of COCO_val_retrieval.csv and of its negated versions."""
VIDEO = ("image_id", "captions", "filepath", "all_captions")
"""Columns of msr_vtt_retrieval.csv."""
VIDEO_NEGATED = (*VIDEO, "positive_concept1", "positive_concept2", "negative_concept")
"""Columns of msr_vtt_retrieval_rephrased_llama.csv."""
MCQ = ("image_path", "correct_answer", *OPTIONS, "correct_answer_template")
"""Columns of COCO_val_mcq_llama3.1_rephrased.csv and VOC2007_mcq.csv."""
VIDEO_MCQ = ("correct_answer", *OPTIONS, "correct_answer_template", "image_path")
"""Columns of msr_vtt_mcq_rephrased_llama.csv."""
BINARY = ("image_path", *OPTIONS[:2], "correct_answer")
FOUR_CHOICE = ("image_path", *OPTIONS, "correct_answer")
NEGATIVES = 3
"""Absent objects listed for each image of a retrieval file."""
PAIR = ("Lung Opacity", "Atelectasis")
"""The findings of the medical questions."""
CHOICES = ("plausible", "random")
"""How absent objects are chosen: those that often come with what is in the image, or any, the control."""


class Paraphraser(Protocol):
    """What words sentences freely: every annotator can, and so can `statements.Grammar`."""

    def paraphrase(self, captions: Sequence[str]) -> list[str]:
        """A paraphrase of every sentence, in order."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One image or clip with what is known to be in it.

    Attributes:
        file_name: path of the file as it is to be written.
        image_id: its id in the dataset.
        objects: nouns that are there.
        captions: affirmative captions, for retrieval.
        implied: further names that are true of the image though not labels of it ("person" where a woman is), and
            so are never said to be absent.
        all_captions: captions beyond those used, where the published file lists them (MSR-VTT).
    """

    file_name: str
    image_id: str
    objects: tuple[str, ...]
    captions: tuple[str, ...] = ()
    implied: tuple[str, ...] = ()
    all_captions: tuple[str, ...] = ()


def from_coco(dataset: Dataset, folder: str = "") -> list[Labelled]:
    """The images of a dataset of `negutil.data.coco` with their categories and, where loaded, captions.

    `folder` is put before every file name. A category that is also the supercategory of an object of the image is
    implied: a woman is a person. So is what the file itself calls implied. Crowd regions count as objects.
    """
    wanted = ["file_name", "image_id", "categories", "supercategories", "implied", "captions"]
    rows = dataset.select_columns([name for name in wanted if name in dataset.column_names]).to_pandas()
    names = {noun for nouns in rows["categories"] for noun in nouns}
    captions = rows["captions"] if "captions" in rows else [()] * len(rows)
    above = [{*supers, *more} for supers, more in zip(rows["supercategories"], rows["implied"], strict=True)]
    columns = (rows["file_name"], rows["image_id"], rows["categories"], above, captions)
    return [
        Labelled(
            _under(folder, file_name),
            str(image_id),
            tuple(dict.fromkeys(nouns)),
            tuple(texts),
            implied=tuple(sorted((set(supers) & names) - set(nouns))),
        )
        for file_name, image_id, nouns, supers, texts in zip(*columns, strict=True)
    ]


def from_voc(dataset: Dataset, folder: str = "") -> list[Labelled]:
    """The images of a dataset of `negutil.data.voc` with their categories, difficult ones included."""
    columns = (dataset["file_name"], dataset["image_id"], dataset["categories"])
    return [
        Labelled(_under(folder, name), number, tuple(dict.fromkeys(nouns)))
        for name, number, nouns in zip(*columns, strict=True)
    ]


def from_msrvtt(
    dataset: Dataset, objects: Sequence[Collection[str]], folder: str = "", captions: int = 1, seed: int = 0
) -> list[Labelled]:
    """The clips of a dataset of `negutil.data.msrvtt` with `captions` of their captions each, drawn at random.

    `objects` are the nouns in each clip, which MSR-VTT does not label: the paper takes them from a language model.
    """
    columns = (dataset["file_name"], dataset["video_id"], dataset["captions"], objects)
    return [
        Labelled(
            _under(folder, name),
            number,
            tuple(dict.fromkeys(nouns)),
            tuple(random.Random(f"negbench/msrvtt/{seed}/{number}").sample(list(texts), min(captions, len(texts)))),
            all_captions=tuple(texts),
        )
        for name, number, texts, nouns in zip(*columns, strict=True)
    ]


def from_flickr8k(dataset: Dataset, folder: str = "") -> list[Labelled]:
    """The photographs of a dataset of `negutil.data.flickr8k`; they have no labels, so captions say what they show.

    What they may mean (a "rider" may be a woman) is implied. See `named_objects`.
    """
    items = []
    for name, texts in zip(dataset["file_name"], dataset["captions"][:], strict=True):
        objects, implied = named_objects.find(texts)
        captions = tuple(text.replace(" .", ".").replace(" ,", ",") for text in texts)
        items.append(Labelled(_under(folder, name), Path(name).stem, objects, captions, implied))
    return items


def _under(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def cooccurrence(labels: Sequence[Collection[str]]) -> pd.DataFrame:
    """In how many images two nouns are together: nouns x nouns, sorted, with their frequency in the diagonal.

    `labels` are the nouns of each image; a noun counts once. Raises NegutilError if there are none.
    """
    coder = MultiLabelBinarizer()
    seen = coder.fit_transform([set(nouns) for nouns in labels]).astype(np.int64)
    if not seen.size:
        raise NegutilError("The labels name no object, so nothing can be absent: check the annotations.")
    names = pd.Index(coder.classes_, dtype=object)
    return pd.DataFrame(seen.T @ seen, index=names, columns=names)


def absent(
    present: Collection[str], counts: pd.DataFrame, count: int, rng: random.Random, choice: str = "plausible"
) -> list[str]:
    """`count` different nouns of `counts` that are not `present`, drawn by how often they come with what is.

    The weight of a noun is the sum over present nouns of the share of their images that it is in; nouns that never
    come along are drawn only when the others are used up. With `choice` "random" all are equally likely. Raises
    NegutilError where too few nouns are left.
    """
    there = counts.index.isin(list(present))
    free = np.flatnonzero(~there)
    if len(free) < count:
        problem = f"{count} absent objects are wanted and {len(free)} are left beside {sorted(present)}"
        raise NegutilError(f"{problem}: ask for fewer, or give more categories.")
    if choice == "random":
        return rng.sample([str(noun) for noun in counts.index[free]], count)
    table, rows = counts.to_numpy(), np.flatnonzero(there)
    weights = (table[rows] / np.maximum(table[rows, rows], 1)[:, None]).sum(axis=0)[free]
    # Sampling without replacement in one step: the shortest of exponential waiting times with these rates. A noun that
    # never comes along waits longer than any other, at random among its kind.
    waits = np.random.default_rng(rng.getrandbits(64)).exponential(size=len(free))
    waits = np.where(weights > 0, waits / np.maximum(weights, 1e-12), 1e15 * (1 + waits))
    return [str(counts.index[free[place]]) for place in np.argsort(waits)[:count]]


def _chooser(items: Sequence[Labelled], choice: str) -> Callable[[Labelled, int, random.Random], list[str]]:
    """Chooses objects that are surely not in an image, or as many as there are: by `choice` plausible ones or any.

    What a caption of the image names is not chosen: annotators overlook things that people write about.
    """
    if choice not in CHOICES:
        raise NegutilError(f"Absent objects cannot be chosen {choice!r}: say {' or '.join(CHOICES)}.")
    counts = cooccurrence([item.objects for item in items])
    named = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(counts.index, key=len, reverse=True)))})(?=e?s?\b)")

    def choose(item: Labelled, count: int, rng: random.Random) -> list[str]:
        there = {*item.objects, *item.implied, *named.findall(" ".join(item.captions).lower())}
        left = len(counts) - counts.index.isin(list(there)).sum()
        return absent(there, counts, max(1, min(count, left)), rng, choice)

    return choose


def worded(meanings: Sequence[Statement], annotator: Paraphraser | None) -> list[str]:
    """The template of every statement, or what the annotator makes of it."""
    sentences = [statements.template(statement) for statement in meanings]
    if annotator is None:
        return sentences
    paraphrases = annotator.paraphrase(sentences)
    if len(paraphrases) != len(sentences):
        count = f"{len(paraphrases)} paraphrases of {len(sentences)} sentences"
        raise NegutilError(f"The annotator gave {count}: ask it again.")
    return paraphrases


@dataclass(frozen=True, slots=True)
class Queries:
    """The queries about one image: its absent objects, and for each caption what the negated query is to say."""

    item: Labelled
    absent: Sequence[str]
    negated: Sequence[Statement]


def queries(
    items: Sequence[Labelled], *, captions: int = 5, absent: str = "plausible", medium: str = "image", seed: int = 0
) -> list[Queries]:
    """Every image with its first `captions` captions, each to be extended with one absent object.

    Half of the negations, at random, are to come before the caption. Images without a caption are left out.
    See docs/protocols.md#retrieval.
    """
    choose = _chooser(items, absent)
    made = []
    for item in (item for item in items if item.captions):
        rng = random.Random(f"negbench/retrieval/{seed}/{item.image_id}")
        nouns = choose(item, 1 if medium == "video" else NEGATIVES, rng)
        texts = item.captions[:captions]
        negated = [Statement((), (rng.choice(nouns),), text, rng.random() < 0.5, medium) for text in texts]
        made.append(Queries(item, nouns, negated))
    return made


def retrieval_table(
    made: Sequence[Queries], medium: str = "image", annotator: Paraphraser | None = None, *, negated: bool = True
) -> pd.DataFrame:
    """The captions with negation, or as they are, one row per image; lists are Python literals, as published.

    Columns: RETRIEVAL; for `medium` "video" VIDEO_NEGATED, or VIDEO.
    """
    meanings = [statement for row in made for statement in row.negated]
    sentences = iter(worded(meanings, annotator) if negated else [statement.caption for statement in meanings])
    rows = []
    for row in made:
        item, captions = row.item, [next(sentences) for _ in row.negated]
        first, second = (*item.objects, "", "")[:2]
        rows.append(
            {
                **{"filepath": item.file_name, "image_id": item.image_id, "captions": str(captions)},
                **{"positive_objects": str(list(item.objects)), "negative_objects": str(list(row.absent))},
                **{"positive_concept1": first, "positive_concept2": second, "negative_concept": row.absent[0]},
                "all_captions": str(list(item.all_captions)),
            }
        )
    columns = RETRIEVAL if medium != "video" else VIDEO_NEGATED if negated else VIDEO
    return pd.DataFrame(rows, columns=list(columns))


@dataclass(frozen=True, slots=True)
class Question:
    """An image, the statements to choose from, the index of the right one, and the type of the question."""

    path: str
    options: Sequence[Statement]
    correct: int = 0
    template: str = ""


def table(rows: Sequence[Question], columns: Sequence[str], annotator: Paraphraser | None = None) -> pd.DataFrame:
    """Questions as a table with `columns`, worded by template or by the annotator; raises NegutilError for none."""
    if not rows:
        raise NegutilError("The labels allow no question: give images whose objects or findings are known.")
    sentences = worded([option for question in rows for option in question.options], annotator)
    width = len(rows[0].options)
    made = pd.DataFrame({name: sentences[number::width] for number, name in enumerate(OPTIONS[:width])})
    made["image_path"] = [question.path for question in rows]
    made["correct_answer"] = [question.correct for question in rows]
    made["correct_answer_template"] = [question.template for question in rows]
    return made[list(columns)]


def questions(
    items: Sequence[Labelled], *, per_picture: int = 1, absent: str = "plausible", medium: str = "image", seed: int = 0
) -> list[Question]:
    """Questions with four options: 0 right, 1 wrong hybrid, 2 wrong affirmation, 3 wrong negation.

    With A and B there and N not, right is "A and B" (positive), "no N" (negative) or "A but not N" (hybrid); wrong are
    "N but not A", "N" and "no A". Each type is about a third of the questions where the labels allow it: a positive
    question needs two objects. Images without an object are left out.
    """
    choose, taken = _chooser(items, absent), Counter(dict.fromkeys(negbench.TEMPLATES, 0))
    made = []
    for item in (item for item in items if item.objects):
        rng = random.Random(f"negbench/mcq/{seed}/{item.image_id}")
        nouns = choose(item, per_picture, rng)
        # The rarest types so far that the image allows, different ones as long as there are.
        allowed = [kind for kind in negbench.TEMPLATES if kind != "positive" or len(item.objects) > 1]
        chosen: list[str] = []
        for _ in nouns:
            chosen.append(min(allowed, key=lambda kind: (chosen.count(kind), taken[kind], rng.random())))
            taken[chosen[-1]] += 1
        for noun, kind in zip(nouns, chosen, strict=True):
            first, *others = rng.sample(item.objects, min(2, len(item.objects)))
            made.append(Question(item.file_name, options(kind, first, others, noun, medium), 0, kind))
    return made


def mcq_table(rows: Sequence[Question], medium: str = "image", annotator: Paraphraser | None = None) -> pd.DataFrame:
    """`questions` as a table. Columns: MCQ; for `medium` "video" VIDEO_MCQ."""
    return table(rows, VIDEO_MCQ if medium == "video" else MCQ, annotator)


def options(kind: str, first: str, others: Sequence[str], noun: str, medium: str = "image") -> list[Statement]:
    """The four statements of a question, the right one first; ``noun`` is absent, the others are there."""
    right = {
        "positive": Statement((first, *others), medium=medium),
        "negative": Statement((), (noun,), medium=medium),
        "hybrid": Statement((first,), (noun,), medium=medium),
    }[kind]
    wrong = [((noun,), (first,)), ((noun,), ()), ((), (first,))]
    return [right, *(Statement(present, missing, medium=medium) for present, missing in wrong)]


def _known(dataset: Dataset, folder: str, pair: tuple[str, str]) -> pd.DataFrame:
    """Labels by path, one column per finding that is present somewhere ("No Finding" is none).

    Raises NegutilError if a finding of `pair` never is.
    """
    labels = dataset.select_columns(list(chexpert.FINDINGS[1:])).to_pandas()
    labels.index = pd.Index([_under(folder, name) for name in dataset["file_name"]])
    labels = labels.loc[:, (labels == chexpert.PRESENT).any()]
    if never := [name for name in pair if name not in labels]:
        present = ", ".join(labels) or "nothing"
        raise NegutilError(f"No radiograph is known to have {never[0]}: ask about two of what there is ({present}).")
    return labels


def _one_of(labels: pd.DataFrame, pair: tuple[str, str]) -> dict[str, tuple[str, str]]:
    """Path: (finding that is there, finding that is not), of the radiographs known to have exactly one of `pair`."""
    orders = {(chexpert.PRESENT, chexpert.ABSENT): pair, (chexpert.ABSENT, chexpert.PRESENT): pair[::-1]}
    states = labels[list(pair)].itertuples(name=None)
    return {str(path): orders[state] for path, *both in states if (state := tuple(both)) in orders}


def binary(
    dataset: Dataset, *, negated: bool, pair: tuple[str, str] = PAIR, folder: str = "", seed: int = 0
) -> pd.DataFrame:
    """Two options about radiographs with exactly one finding of `pair`; option 0 is right (docs/protocols.md#medical).

    Affirmation: "shows A" against "shows B". Negation, over the same images: one finding, at random, is shown or not
    shown. The paper states neither the wording nor which finding is asked about; these are ours. Columns: BINARY.
    `dataset` is one of `negutil.data.chexpert`; uncertain and unmentioned findings are never asked about.
    """
    rows = []
    for path, (there, away) in _one_of(_known(dataset, folder, pair), pair).items():
        options = [_shows(there), _shows(away)]
        if negated:
            about = random.Random(f"negbench/binary/{seed}/{path}").choice(pair)
            options = [_shows(about), _lacks(about)] if about == there else [_lacks(about), _shows(about)]
        rows.append(Question(path, options))
    return table(rows, BINARY)


def four_choice(
    dataset: Dataset, *, negated: bool, pair: tuple[str, str] = PAIR, folder: str = "", seed: int = 0
) -> pd.DataFrame:
    """Four options about radiographs (docs/protocols.md#medical). Columns: FOUR_CHOICE; arguments as in `binary`.

    Affirmation, over images with exactly one finding of `pair`: the one that is there against three that are not;
    option 0 is right. Negation: "A and B", "A but not B", "B but not A", "neither A nor B", with equally many images
    for each as the right one, so that no option is a good guess. The paper does not state the options; these are ours.
    """
    labels = _known(dataset, folder, pair)
    if negated:
        known = (chexpert.PRESENT, chexpert.ABSENT)
        groups: dict[Any, list[str]] = {(one, two): [] for one in known for two in known}
        for path, *state in labels[list(pair)].itertuples(name=None):
            groups.get(tuple(state), []).append(str(path))
        rng, count = random.Random(f"negbench/four-states/{seed}"), min(map(len, groups.values()))
        right = {path: n for n, group in enumerate(groups.values()) for path in rng.sample(group, count)}
        options = pair_options(*pair, medium="radiograph")
        return table([Question(p, options, right[p]) for p in labels.index if p in right], FOUR_CHOICE)
    absent = (labels == chexpert.ABSENT).drop(columns=list(pair)).astype(bool)
    names = [str(name) for name in absent.columns]
    missing = {path: list(itertools.compress(names, row)) for path, *row in absent.itertuples(name=None)}
    rows = []
    for path, (there, other) in _one_of(labels, pair).items():
        if len(missing[path]) > 1:
            two = random.Random(f"negbench/four-choice/{seed}/{path}").sample(missing[path], 2)
            rows.append(Question(path, [_shows(finding) for finding in (there, other, *two)]))
    return table(rows, FOUR_CHOICE)


def pair_options(first: str, second: str, medium: str = "image") -> list[Statement]:
    """The options of HardNeg-Syn: 0 both, 1 first not second, 2 second not first, 3 neither.
    See docs/protocols.md#hardneg.
    """
    parts = [((first, second), ()), ((first,), (second,)), ((second,), (first,)), ((), (first, second))]
    return [Statement(present, absent, medium=medium) for present, absent in parts]


def _shows(finding: str) -> Statement:
    return Statement((finding,), medium="radiograph")


def _lacks(finding: str) -> Statement:
    return Statement((), (finding,), medium="radiograph")


def write_csv(path: Path, content: pd.DataFrame) -> None:
    """Write a table of this module as a CSV file, whole or not at all."""
    files.write_text(path, content.to_csv(index=False, lineterminator="\n"))


def write(
    instances: Path | str,
    captions: Path | str | None,
    output: Path | str,
    *,
    seed: int = 0,
    absent: str = "plausible",
    per_picture: int = 1,
    captions_per_picture: int = 5,
    folder: str = "",
    annotator: Paraphraser | None = None,
) -> list[Path]:
    """NegBench's files from COCO-style annotations, real ones too: what `negutil negbench build` does.

    Writes mcq_template.csv and, with a captions file, retrieval.csv (plain) and retrieval_negated_template.csv to
    `output`; with an annotator also mcq_paraphrased.csv and retrieval_negated_paraphrased.csv. Returns the paths. Where
    `instances` is the folder of Flickr8k, its test part is taken, with its captions. Raises NegutilError for damaged
    annotations, and those without an object.
    """
    of_flickr8k = Path(instances).is_dir()
    if of_flickr8k:
        items = from_flickr8k(flickr8k.load(instances, "test", pictures=False), folder)
    else:
        items = from_coco(coco.load(captions, instances), folder)
    wordings = {"template": None} | ({"paraphrased": annotator} if annotator else {})
    chosen = questions(items, per_picture=per_picture, absent=absent, seed=seed)
    made = {f"mcq_{name}": mcq_table(chosen, annotator=writer) for name, writer in wordings.items()}
    if of_flickr8k or captions is not None:
        rows = queries(items, captions=captions_per_picture, absent=absent, seed=seed)
        made["retrieval"] = retrieval_table(rows, negated=False)
        made |= {f"retrieval_negated_{name}": retrieval_table(rows, annotator=each) for name, each in wordings.items()}
    paths = [Path(output) / f"{name}.csv" for name in made]
    for path, content in zip(paths, made.values(), strict=True):
        write_csv(path, content)
    return paths
