"""NegCLIP's hard negatives: the caption with two words changed round, and pictures that look alike.

Its negatives have another word order, not a negation: "a red car and a blue bus" against "a blue car and a red bus".
Only words of one kind change places: two colours, or two nouns that the language annotator finds in the caption.
Written as NegCLIP's training table (filepath, title, neg_caption, neg_image), separated by tabs.

See docs/protocols.md#negclip.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from negutil import files
from negutil.captions import ccneg_triplets
from negutil.captions.annotators import LanguageAnnotator
from negutil.captions.p1 import Source

COLUMNS = ("filepath", "title", "neg_caption", "neg_image")
COLOURS = re.compile(
    r"\b(?:red|orange|yellow|green|blue|purple|pink|brown|black|white|gr[ae]y|silver|golden|beige|teal)\b",
    re.IGNORECASE,
)


def swap(caption: str, nouns: Sequence[str], rng: random.Random) -> str | None:
    """The caption with two different colours or two of its ``nouns`` changed round.

    None where there are no two, or where the result says the same: "a cat and a dog", "a dog and a cat".
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


def make(sources: Sequence[Source], language: LanguageAnnotator, seed: int = 0) -> pd.DataFrame:
    """One row for every source that has two words to change round.

    Columns: caption_id, image_id, file_name, caption, negative, present (the nouns named), and alike: three rows of
    this frame whose captions name the most of the same objects.
    """
    named = language.extract([source.caption for source in sources])
    rows = []
    for source, nouns in zip(sources, named, strict=True):
        negative = swap(source.caption, nouns, random.Random(f"word order/{seed}/{source.caption_id}"))
        if negative is not None:
            known = (source.caption_id, source.image_id, source.file_name, source.caption)
            rows.append((*known, negative, tuple(dict.fromkeys(nouns))))
    columns = ["caption_id", "image_id", "file_name", "caption", "negative", "present"]
    made = pd.DataFrame(rows, columns=columns)
    return made.assign(alike=pd.Series(ccneg_triplets.nearest(made["present"].tolist(), made["image_id"].tolist())))


def write(made: pd.DataFrame, path: Path) -> Path:
    """Write NegCLIP's table; lists are Python literals, ``neg_image`` are rows of the table."""
    lists = {"neg_caption": [[text] for text in made["negative"]], "neg_image": made["alike"].tolist()}
    table = pd.DataFrame({"filepath": made["file_name"], "title": made["caption"], **lists})
    files.write_text(path, table[list(COLUMNS)].to_csv(sep="\t", index=False, lineterminator="\n"))
    return path
