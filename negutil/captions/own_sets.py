"""Training captions with negation made from somebody's own captions, by an annotator of their choice.

``write`` makes the files that ``caption_sets`` makes of the world's captions: those of P1, of Rand-P1, of NegCap and of
NegMCQ. Annotators are "rules" (a list of nouns, and the image's captions for its eyes), "world" (the mini world's, for
its own images), or a TOML file with a table [language] and, if images are to be looked at, a table [vision], each with
the settings of ``annotators.build``.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset

from negutil import files
from negutil.captions import annotators, baseline_sets, caption_sets, named_objects, negbench, p1
from negutil.captions.annotators import Annotator
from negutil.captions.caption_sets import NEGCAP, NEGMCQ, P1, RANDOM, Annotators
from negutil.captions.p1 import Source
from negutil.captions.rule_annotator import Options, RuleAnnotator, Shown
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models.pictures import PictureFiles

RULES, WORLD = "rules", "world"
FILES = (P1, RANDOM, NEGCAP, NEGMCQ)
"""What can be made of captions alone."""

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
    return Annotators(language, random_language, vision, language.name != RULES, frozenset(), facts)


def _build(table: Any, captions: Sequence[Source], seed: int, where: str) -> Annotator:
    """One annotator; a table without a kind is one of the rules."""
    if not isinstance(table, Mapping):
        raise NegutilError(f"{where}: {table!r} is no table of an annotator; write such as {{ kind = 'rules' }}.")
    options = {"kind": RULES, **table}
    if options["kind"] == WORLD:
        raise NegutilError(f"{where}: the world annotates its own images alone; give --annotator {WORLD}.")
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


def write(names: Sequence[str], captions: Sequence[Source], who: Annotators, folder: Path, seed: int) -> list[Path]:
    """Write those of FILES that are named into ``folder`` (NEGMCQ only with NEGCAP); returns their paths.

    What an annotator answered is kept in journals in ``folder``, so an interrupted call resumes. Raises NegutilError
    where none of the captions gets a negation, where nobody proposes for Rand-P1, and as the annotator does.
    """
    if RANDOM in names and "random_language" not in who.facts:
        raise NegutilError("The annotators have no [random_language], which proposes any object; add that table.")
    kept: dict[str, Any] = {"held_out": who.held_out, "facts": who.facts}
    for name, language in ((P1, who.language), (RANDOM, who.random_language)):
        if name in names:
            journal = folder / f"{Path(name).stem}.jsonl"
            p1.write(p1.make(captions, language, who.vision, kept_in=journal, **kept), folder / name)
    if NEGCAP in names:
        journal = folder / f"{Path(NEGCAP).stem}.jsonl"
        labels = baseline_sets.negcap_labels(captions, who.language, who.vision, kept_in=journal, **kept)
        made = baseline_sets.negcap(_some(labels, "absent", folder / NEGCAP), who.language, seed)
        baseline_sets.write_negcap(made, folder / NEGCAP)
        if NEGMCQ in names:
            asked = _some(labels, "present", folder / NEGMCQ)
            questions = baseline_sets.negmcq(asked, who.language, held_out=who.held_out, seed=seed)
            negbench.write_csv(folder / NEGMCQ, questions)
    return [folder / name for name in names]


def _some(labels: pd.DataFrame, column: str, file: Path) -> pd.DataFrame:
    """The ``labels``; raises NegutilError where every list in the column is empty."""
    if not labels[column].map(len).any():
        problem = f"no {column} object was found for any of {len(labels)} captions"
        raise NegutilError(f"{file}: {problem}: check the annotators, or choose others with --annotator.")
    return labels
