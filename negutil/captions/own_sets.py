"""Training captions with negation made from somebody's own captions, by an annotator of their choice.

``write`` makes the files that ``caption_sets`` makes of the world's captions; that of P2 is made of questions about the
images, ``asked``. Annotators are "rules" (a list of nouns, and the image's captions for its eyes), "world" (the mini
world's, for its own images), or a TOML file with a table [language] and, if images are to be looked at, a table
[vision], each with the settings of ``annotators.build``.
"""

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset

from negutil import data, files
from negutil.captions import annotators, baseline_sets, caption_sets, named_objects, negbench, p1, p2
from negutil.captions.annotators import Annotator, LanguageAnnotator
from negutil.captions.baseline_sets import TRIPLETS
from negutil.captions.caption_sets import NEGCAP, NEGMCQ, P1, P2, RANDOM, WORD_ORDER, Annotators
from negutil.captions.p1 import Source
from negutil.captions.p2 import Asked
from negutil.captions.rule_annotator import Options, RuleAnnotator, Shown
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models.pictures import PictureFiles

RULES, WORLD = "rules", "world"
IMAGES = "images"


def sources(rows: Dataset, folder: Path) -> list[Source]:
    """Return the captions of ``rows`` (``data.image_captions``) as what pipelines take.

    The images are linked into ``folder``/images under names that differ, as files in two folders may be namesakes.
    """
    paths = PictureFiles.of(rows).paths
    numbers = {path: number for number, path in enumerate(dict.fromkeys(map(str, paths)), 1)}
    names = {path: f"{IMAGES}/{number:08d}{Path(path).suffix}" for path, number in numbers.items()}
    shutil.rmtree(folder / IMAGES, ignore_errors=True)
    (folder / IMAGES).mkdir(parents=True)
    for path, name in names.items():
        (folder / name).symlink_to(path)
    each = zip(rows["line"][:], map(str, paths), rows["caption"][:], strict=True)
    return [Source(line, numbers[path], names[path], caption, Path(path)) for line, path, caption in each]


def annotators_of(choice: str, captions: Sequence[Source], settings: Profile, seed: int = 0) -> Annotators:
    """Return who annotates ``captions``: RULES, WORLD, or what a TOML file says.

    Raises NegutilError where there is no such file, it is damaged, or its settings are wrong.
    """
    if choice == WORLD:
        return caption_sets.annotators_of(settings, seed=seed)
    tables: dict[str, Any] = {"language": {"kind": RULES}, "random_language": {"kind": RULES, "plausible": False}}
    if choice != RULES:
        tables = files.read_toml(Path(choice).expanduser())
        unknown = sorted(tables.keys() - {"language", "random_language", "vision"})
        if unknown or "language" not in tables:
            raise NegutilError(
                f"{choice} has {', '.join(unknown) or 'no table [language]'}; write the tables [language] and, if you "
                "like, [random_language] and [vision]."
            )
    language, random_language, vision = (
        _build(tables.get(name, {}), captions, seed, choice) for name in ("language", "random_language", "vision")
    )
    facts = {"seed": seed, **tables}
    # As everywhere, the rules deny nothing that our tests hold out.
    held_out = caption_sets.HELD_OUT if language.name == RULES else frozenset()
    return Annotators(language, random_language, vision, language.name != RULES, held_out, facts)


def _build(table: Any, captions: Sequence[Source], seed: int, where: str) -> Annotator:
    """One annotator; a table without a kind is one of the rules."""
    if not isinstance(table, Mapping):
        raise NegutilError(f"{where}: {table!r} is not an annotator table; write for example {{ kind = 'rules' }}.")
    options = {"kind": RULES, **table}
    if options["kind"] == WORLD:
        raise NegutilError(f"{where}: the world annotates only its own images; give --annotator {WORLD}.")
    if options.pop("kind") != RULES:
        return annotators.build(table)
    checked = files.checked(Options, {"seed": seed, **options}, f"{where}: annotator {RULES}")
    return RuleAnnotator(_shown(captions), checked)


def _shown(captions: Sequence[Source]) -> dict[str, Shown]:
    """What the captions of each image say, by the last two parts of its path, as ``RuleAnnotator`` looks it up.

    Namesakes share what is said of either: less is then taken for absent, and nothing wrongly.
    """
    said: dict[str, list[str]] = {}
    for each in captions:
        said.setdefault("/".join(each.picture.parts[-2:]), []).append(each.caption)
    found = {}
    for name, texts in said.items():
        there, perhaps = named_objects.find(texts)
        found[name] = Shown(there, frozenset((*there, *perhaps)))
    if not any(each.there for each in found.values()):
        raise NegutilError(
            f"No caption names a thing of {named_objects.FILE}, which is all that the rules know; choose another "
            "annotator (--annotator FILE.toml), or add your things there."
        )
    return found


def asked(rows: Dataset, captions: Sequence[Source], who: Annotators, folder: Path, seed: int) -> list[Asked]:
    """Questions (``image_captions.load_questions``) with answers, and a caption of the image each, drawn at random.

    The caption names the thing that is asked about, where one does. Without answers in ``rows`` the vision annotator
    gives them; they are kept in a journal in ``folder``. Raises NegutilError for an image without a caption, and where
    the rules would have to answer.
    """
    of_image: dict[str, list[Source]] = {}
    for each in captions:
        of_image.setdefault(str(each.picture), []).append(each)
    paths, questions, lines = [str(path) for path in PictureFiles.of(rows).paths], rows["question"][:], rows["line"][:]
    found = []
    for path, name, question, line in zip(paths, rows["file_name"][:], questions, lines, strict=True):
        if path not in of_image:
            where = f"{data.report(rows).source}: line {line}"
            raise NegutilError(f"{where}: the image {name} has no caption; add one, or remove that line.")
        about = p2.read(question).about
        pool = [one for one in of_image[path] if about and about in one.caption] or of_image[path]
        chosen = random.Random(f"p2/caption/{seed}/{line}").choice(pool)
        found.append(Asked(replace(chosen, caption_id=caption_sets.QUESTION_IDS + line), question))
    answers = rows["answer"][:] if "answer" in rows.column_names else _answered(found, who, folder)
    is_no = [annotators.yes_no(answer) is False for answer in answers]
    return [replace(one, answer="no" if no else "") for one, no in zip(found, is_no, strict=True)]


def _answered(questions: Sequence[Asked], who: Annotators, folder: Path) -> list[str]:
    """The vision annotator's reply to each question."""
    if who.vision.name == RULES:
        raise NegutilError(
            "The questions have no answers, which the rules cannot give; add a column 'answer', or name a model in the "
            "table [vision] of --annotator FILE.toml."
        )

    def work(batch: Sequence[tuple[Path, str]]) -> list[str]:
        return who.vision.answer([picture for picture, _ in batch], [question for _, question in batch])

    pairs = [(one.source.picture, one.question) for one in questions]
    return _kept(work, pairs, folder / "answers.jsonl", who)


def _kept(work: Callable[[Any], Sequence[Any]], items: Sequence[Any], journal: Path, who: Annotators) -> list[Any]:
    """What ``work`` makes of each item, kept in a ``journal`` from which an interrupted call resumes."""

    def outcomes(batch: Sequence[Any]) -> list[p1.Outcome]:
        return [{"reply": reply} for reply in work(batch)]

    # Numbered by the item, not by its place, so that equal items get one reply.
    numbers = [int(files.text_sha256(repr(item))[:15], 16) for item in items]
    facts = {"language": who.language.name, "vision": who.vision.name, **who.facts}
    made = p1.outcomes(dict(zip(numbers, items, strict=True)), outcomes, journal, facts)
    return [made[number]["reply"] for number in numbers]


class _Keeping:
    """The language annotator of ``who``; what it finds in captions and how it words sentences is kept in ``folder``."""

    def __init__(self, who: Annotators, folder: Path) -> None:
        self.name = who.language.name
        self.propose, self.negate = who.language.propose, who.language.negate
        self._who, self._folder = who, folder

    def extract(self, captions: Sequence[str]) -> list[list[str]]:
        """The objects that each caption names."""
        return _kept(self._who.language.extract, captions, self._folder / "extract.jsonl", self._who)

    def paraphrase(self, captions: Sequence[str]) -> list[str]:
        """Each caption in other words."""
        return _kept(self._who.language.paraphrase, captions, self._folder / "paraphrase.jsonl", self._who)


def write(
    names: Sequence[str],
    captions: Sequence[Source],
    who: Annotators,
    folder: Path,
    seed: int,
    *,
    questions: Sequence[Asked] = (),
) -> list[Path]:
    """Write those of ``caption_sets.FILES`` that are named into ``folder``; returns their paths.

    NEGMCQ goes with NEGCAP, P2 needs ``questions``, and TRIPLETS brings DISTRACTORS. What an annotator answered is kept
    in journals in ``folder``, so an interrupted call resumes. Raises NegutilError where none of the captions gets a
    negation, where nobody proposes for Rand-P1, and as the annotator does.
    """
    if RANDOM in names and "random_language" not in who.facts:
        raise NegutilError("The annotators have no [random_language], which proposes any object; add that table.")
    kept: dict[str, Any] = {"held_out": who.held_out, "facts": who.facts}
    for name, language in ((P1, who.language), (RANDOM, who.random_language)):
        if name in names:
            journal = folder / f"{Path(name).stem}.jsonl"
            p1.write(p1.make(captions, language, who.vision, kept_in=journal, **kept), folder / name)
    if P2 in names:
        rules = p2.Rules(who.held_out, who.reword, seed=seed)
        journal = folder / f"{Path(P2).stem}.jsonl"
        p1.write(p2.make(questions, who.language, rules, kept_in=journal, facts=who.facts), folder / P2)
    _write_baselines(names, captions, who, folder, seed)
    return [folder / name for name in names]


def _write_baselines(
    names: Sequence[str], captions: Sequence[Source], who: Annotators, folder: Path, seed: int
) -> None:
    """Write NegBench's files, CC-Neg's triplets and NegCLIP's table, those that are named."""
    language: LanguageAnnotator = _Keeping(who, folder)
    held_out = who.held_out
    if NEGCAP in names:
        journal = folder / f"{Path(NEGCAP).stem}.jsonl"
        kept: dict[str, Any] = {"held_out": held_out, "kept_in": journal, "facts": who.facts}
        labels = baseline_sets.negcap_labels(captions, who.language, who.vision, **kept)
        made = baseline_sets.negcap(_some(labels, "absent", folder / NEGCAP), language, seed)
        baseline_sets.write_negcap(made, folder / NEGCAP)
        if NEGMCQ in names:
            labels = _some(labels, "present", folder / NEGMCQ)
            questions = baseline_sets.negmcq(labels, language, held_out=held_out, seed=seed)
            negbench.write_csv(folder / NEGMCQ, questions)
    if TRIPLETS in names:
        triplets = baseline_sets.ccneg_triplets(captions, language, held_out=held_out, seed=seed)
        baseline_sets.write_triplets(_not_empty(triplets, "names a thing that can be denied"), folder)
    if WORD_ORDER in names:
        swapped = _not_empty(baseline_sets.word_order(captions, language, seed), "has two words to swap")
        baseline_sets.write_word_order(swapped, folder / WORD_ORDER)


def _some(labels: pd.DataFrame, column: str, file: Path) -> pd.DataFrame:
    """The ``labels``; raises NegutilError where every list in the column is empty."""
    if not labels[column].map(len).any():
        problem = f"no {column} object was found for any of {len(labels)} captions"
        raise NegutilError(f"{file}: {problem}: check the annotators, or choose others with --annotator.")
    return labels


def _not_empty(made: pd.DataFrame, what: str) -> pd.DataFrame:
    """The rows that were ``made``; raises NegutilError where there are none."""
    if made.empty:
        raise NegutilError(f"No caption {what}; give more captions, or another annotator (--annotator).")
    return made
