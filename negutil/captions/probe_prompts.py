"""The prompts of the binary probe: each attribute of CelebA with its negations and, where there is one, its antonym."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from negutil import files, paths
from negutil.errors import NegutilError

ANTONYM = "antonym"
"""Name of the control in which an affirmative antonym replaces the negation."""

ALONE = "affirmative alone"
"""Name of the reference in which the affirmative prompt's score alone ranks the images."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An attribute with its affirmative prompt and what is set against it.

    ``phrasing`` is one of the file's ways to negate, ANTONYM or ALONE (then ``other`` is empty). Where ``inverted``,
    the affirmative prompt is the right one for the images that lack the label.
    """

    attribute: str
    phrasing: str
    affirmative: str
    other: str
    inverted: bool


def read_prompts(path: Path | str | None = None) -> list[Pair]:
    """All pairs of a prompt file (default: ``configs/celeba_prompts.toml``), filled into its template.

    Raises NegutilError if the file cannot be read, a prompt is missing, or a key is unknown.
    """
    path = Path(path) if path else paths.CONFIGS / "celeba_prompts.toml"
    content = files.read_toml(path)
    template, phrasings, attributes = (content.get(name) for name in ("template", "phrasings", "attributes"))
    if not isinstance(template, str) or "{}" not in template:
        raise NegutilError(f"{path}: template is {template!r}: write a sentence with {{}} where the attribute goes.")
    if not isinstance(phrasings, list) or not phrasings or not isinstance(attributes, dict) or not attributes:
        problem = f"{path} needs a list 'phrasings' and a table 'attributes', neither of them empty"
        raise NegutilError(f"{problem}: add them.")
    required, pairs = {"affirmative", *phrasings}, []
    for name, prompts in attributes.items():
        where = f"{path}: [attributes.{name}]"
        if not isinstance(prompts, dict) or not required <= set(prompts) <= required | {ANTONYM, "inverted"}:
            raise NegutilError(f"{where} needs {sorted(required)} and may have {ANTONYM}, inverted.")
        inverted = bool(prompts.pop("inverted", False))
        if not all(isinstance(text, str) and text for text in prompts.values()):
            raise NegutilError(f"{where} has a prompt that is no text: put each in quotes.")
        filled = {ALONE: "", **{key: template.format(text) for key, text in prompts.items()}}
        kinds = [key for key in (ALONE, *phrasings, ANTONYM) if key in filled]
        pairs += [Pair(name, kind, filled["affirmative"], filled[kind], inverted) for kind in kinds]
    return pairs


def usable(pairs: Sequence[Pair], labels: pd.DataFrame) -> tuple[list[Pair], tuple[str, ...]]:
    """The pairs whose attribute is a column of ``labels`` with both values, and the names of the other attributes.

    Raises NegutilError if no attribute is left.
    """
    names = list(dict.fromkeys(pair.attribute for pair in pairs))
    kept = {name for name in names if name in labels and labels[name].nunique() == 2}
    if not kept:
        raise NegutilError(f"None of the {len(names)} attributes has faces with and without it: use more faces.")
    return [pair for pair in pairs if pair.attribute in kept], tuple(name for name in names if name not in kept)


def texts(pairs: Sequence[Pair]) -> list[str]:
    """Every prompt of ``pairs`` once, in order of first appearance."""
    return list(dict.fromkeys(text for pair in pairs for text in (pair.affirmative, pair.other) if text))
