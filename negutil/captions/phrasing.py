"""How a caption negates: by which cue, in which place, and what. Read off the text, so it works on published files.

A cue is what `negutil.captions.negation_terms` finds; the first in a caption counts. Place and negated clause follow
from punctuation and a few words, without a parser: a rule of thumb, right for NegBench's and the mini world's sentences
and measured on them in the tests.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from negutil import statistics
from negutil.captions import english, negation_terms, statements
from negutil.captions.english import HELD_OUT_NOUNS
from negutil.captions.negation_terms import TermList
from negutil.errors import NegutilError

CONTAINERS = ("include", "feature", "show", "contain", "have", "depict", "display", "hold")
_DOES_NOT = tuple(f"{verb} not {what}" for verb in ("does", "do") for what in CONTAINERS)
CUES: dict[str, tuple[str, ...]] = {
    "no": ("no",),
    "not": ("not", "cannot"),
    "n't": ("n't",),
    "does not include": _DOES_NOT,
    "without": ("without", "sans"),
    "absent": ("absent", "absence"),
    "free of": ("free of", "free from", "-free"),
    "lacks": ("lack", "lacks", "lacked", "lacking"),
    "never": ("never",),
    "neither": ("neither", "nor"),
    "nowhere": ("nowhere",),
    "missing": ("missing",),
    "devoid of": ("devoid of", "devoid", "void of", "empty of"),
}
"""Ways to negate and the terms of each; "other" means the terms that only the declared list "wide" has."""

OTHER = "other"
FACTORS = ("cue", "position", "held_out_noun", "held_out_form")

# What follows these cues is negated, what precedes them is not: "a kitchen without a cup". Other cues negate the
# subject before them as well: "a cup is not present".
_FORWARD = ("no", "without", "lacks", "free of", "devoid of", "neither", "does not include")
_BREAK = re.compile(
    r"[,;:.!?—()]|\b(?:but|while|although|though|however|yet|only|just|instead|which|where|except)\b"
    r"|\band (?=(?:there|it|is|are|has|shows?|features?|includes?|contains?)\b)"
    # A clause after "and", not a second noun: "... and a man sleeps here", but not "a cat and a dog are absent".
    r"|\band (?=(?:an?|the|one|two|three|some|several)(?: [\w'-]+){3})(?!an? [\w-]+(?: [\w-]+)? are\b)"
    r"|\bas (?!well\b)|\bin this (?:[\w-]+ ){0,4}(?:image|picture|photo|photograph|scene|shot) of\b"
)
# Words that say nothing about what is to be seen.
FRAME = frozenset(
    {
        "a", "all", "also", "although", "an", "and", "any", "anywhere", "appear", "appearing", "appears", "are",
        "around", "at", "background", "be", "being", "both", "but", "can", "chest", "clearly", "clip", "completely",
        "contain", "containing", "contains", "could", "depict", "depicting", "depicts", "display", "displayed",
        "displaying", "displays", "either", "entirely", "except", "feature", "featured", "features", "featuring",
        "for", "found", "frame", "has", "have", "having", "here", "hold", "holds", "however", "image", "in",
        "include", "included", "includes", "including", "instead", "is", "it", "its", "just", "no", "not", "notably",
        "noticeably", "of", "on", "one", "only", "or", "photo", "photograph", "picture", "pictured", "present",
        "radiograph", "s", "scene", "see", "seen", "shot", "show", "showing", "shown", "shows", "sight", "sign",
        "signs", "snapshot", "that", "the", "there", "this", "though", "to", "trace", "video", "view", "visible",
        "was", "we", "where", "which", "while", "with", "x-ray", "yet", "you",
    }
)  # fmt: skip
WORD = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Phrasing:
    """How one caption negates.

    ``cue`` is a key of CUES, "other", or "" for none. ``position`` is the position of the negated clause: "first" or
    "last" beside something affirmed, "only" where nothing else is said, "none" without a cue. ``held_out_noun``: a noun
    of the mini world's HELD_OUT_NOUNS is in the negated clause. ``held_out_form``: the mini world keeps this cue for
    testing (another unseen sentence with a familiar cue cannot be known from the text).
    """

    cue: str
    position: str
    held_out_noun: bool
    held_out_form: bool


@functools.lru_cache(maxsize=100_000)
def of(text: str) -> Phrasing:
    """Return how ``text`` negates; remembered, because every model of a table is asked the same texts."""
    cue, before, negated, after = parts(text)
    if not cue:
        return Phrasing("", "none", False, False)
    held_out = not HELD_OUT_NOUNS.isdisjoint(english.mentions(negated))
    # Words before and after the negated clause that affirm something about the image.
    affirmed = " ".join(part for part in _BREAK.split(after) if not _cue(part))
    ahead, behind = (sum(word not in FRAME for word in WORD.findall(part)) for part in (before, affirmed))
    position = "only" if not ahead and not behind else "first" if behind > ahead else "last"
    return Phrasing(cue, position, held_out, cue in held_out_cues())


def negated_part(text: str) -> str:
    """Return the part of ``text`` that its first cue negates, in lower case, or "" without a cue."""
    return parts(text)[2].strip()


def table(texts: Sequence[str]) -> pd.DataFrame:
    """Return one row per text: cue, position, held_out_noun, held_out_form; equal texts are read once."""
    known = {text: of(text) for text in dict.fromkeys(texts)}
    rows = [known[text] for text in texts]
    return pd.DataFrame({factor: [getattr(row, factor) for row in rows] for factor in FACTORS})


def shares(
    right: ArrayLike,
    texts: Sequence[str],
    clusters: ArrayLike | None = None,
    *,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the share of ``right`` (boolean [N]: answered, or found among the first k) by how ``texts`` [N] negate.

    One row per factor of FACTORS and level of it: factor, level, value, low, high, n, over. Give the text that the
    factor is about: a question's right option, or the query. ``clusters`` [N] names images, which are resampled.
    Raises NegutilError if the lengths differ or there is nothing.
    """
    answers = np.asarray(right, dtype=bool)
    if len(answers) != len(texts) or not len(texts):
        raise NegutilError(f"There are {len(answers)} answers for {len(texts)} texts; give one each, at least one.")
    groups = None if clusters is None else np.asarray(clusters)
    rows = []
    for factor, values in table(texts).items():
        for level in sorted(set(values)):
            alike = values.to_numpy() == level
            cluster = None if groups is None else groups[alike]
            share = statistics.bootstrap_share(answers[alike], cluster, resamples, seed)
            rows.append((factor, str(level), share.value, share.low, share.high, share.n, share.over))
    return pd.DataFrame(rows, columns=["factor", "level", "value", "low", "high", "n", "over"])


@functools.cache
def held_out_cues() -> frozenset[str]:
    """The cues that only sentences held out for testing have in the mini world."""
    # Nothing is ever trained on sentences that deny two things.
    ours = (form for name, forms in statements.FORMS.items() if name != "neither" for form in forms)
    negated = [form for form in (*english.NEGATED, *ours) if form.cue]
    held_out, familiar = ({_cue(form.cue) for form in english.forms(negated, kept)} for kept in (True, False))
    return frozenset(held_out - familiar)


@functools.cache
def pattern() -> re.Pattern[str]:
    """Every term of CUES and of the declared list "wide"."""
    (wide,) = negation_terms.load("wide")
    ours = [term for terms in CUES.values() for term in terms]
    words = [term for term in ours if term[0].isalpha() and term != "n't"]
    everything = TermList("phrasing", "", (*words, *wide.words), wide.endings, wide.beginnings)
    return re.compile(everything.pattern)


def _cue(text: str) -> str:
    """The key of CUES that the first cue in ``text`` belongs to; "" for none."""
    match = pattern().search(text)
    if match is None:
        return ""
    plain = negation_terms.normalise(match.group())
    return next((name for name, terms in CUES.items() if plain in terms), OTHER)


def parts(text: str) -> tuple[str, str, str, str]:
    """The first cue, and the plain text before, in and after the clause that it negates; "" without a cue."""
    plain = negation_terms.normalise(text).replace("there's", "there is").strip(" \"'“”")
    match, cue = pattern().search(plain), _cue(plain)
    if match is None:
        return "", "", "", ""
    breaks = list(_BREAK.finditer(plain))
    end = min((each.start() for each in breaks if each.start() >= match.end()), default=len(plain))
    if match.group().startswith("-"):
        start, end = plain.rfind(" ", 0, match.start()) + 1, match.end()
    elif cue in _FORWARD:
        start = match.start()
    else:
        start = max((each.end() for each in breaks if each.end() <= match.start()), default=0)
    return cue, plain[:start], plain[start:end], plain[end:]
