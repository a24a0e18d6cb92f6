"""Lists of negation cues, and the regular expressions that find them (docs/protocols.md#web-captions).

What counts is defined here once, for every count in the project:

- A *cue word* is a match of a term that no word character touches, where a word character is a letter, mark, digit or
  underscore of any script (Unicode's ``\\w``).  So "No. 5", "no-one" and "NO RESERVE" hold the cue "no", while "knot",
  "notebook", "Norway", "nothing", "non-stick" and "no_5" do not.
- Case never matters: texts and terms are compared in lower case.
- Apostrophes are one character in all their forms (' ’ ‘ ʼ ＇ ` ´), and so are hyphens (- ‐ ‑).
- An *ending* such as "n't" needs a word character before it and none after it; a *beginning* such as "non-" the
  reverse; in a phrase, any white space separates the words.
- Cues never overlap: the leftmost wins, then a word before an ending before a beginning, then the longest.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from negutil import files, paths
from negutil.errors import NegutilError

DECLARED = paths.CONFIGS / "negation_terms.toml"
APOSTROPHES = "'’‘ʼ＇`´"
HYPHENS = "-‐‑"
KINDS = ("words", "endings", "beginnings")


@dataclass(frozen=True, slots=True)
class TermList:
    """A named list of cues; ``about`` says in one sentence what it is for."""

    name: str
    about: str
    words: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()
    beginnings: tuple[str, ...] = ()

    @property
    def pattern(self) -> str:
        """One regular expression for lower-cased text, in the dialect of Rust's ``regex`` (that of polars, ripgrep)."""
        # Shared boundaries and lower-cased text: with boundaries for each word, or flags for case, it is slower by far.
        words = [_group(self.words, r"\b", r"\b")] if self.words else []
        endings = (_group([term], r"\B" if term[0].isalnum() else r"\b", r"\b") for term in self.endings)
        beginnings = (_group([term], r"\b", r"\B" if term[-1].isalnum() else r"\b") for term in self.beginnings)
        return "|".join([*words, *endings, *beginnings])

    @property
    def stems(self) -> str:
        """A fast expression for any text, in any case: what it does not match in a text has no cue."""
        firsts = {term.split()[0] for term in (*self.words, *self.endings, *self.beginnings)}
        needed = sorted(term for term in firsts if not any(other in term for other in firsts - {term}))
        return f"(?i:{'|'.join(_any_forms(term) for term in needed)})"


def load(chosen: str | Path | None = None) -> tuple[TermList, ...]:
    """The declared lists (None), one of them by name, or all lists of a TOML file in the form of DECLARED.

    Raises NegutilError if the name is unknown or the file is wrong.
    """
    declared = read(DECLARED)
    if chosen is None:
        return declared
    named = {terms.name: terms for terms in declared}
    if str(chosen) in named:
        return (named[str(chosen)],)
    if not Path(chosen).is_file():
        known = ", ".join(named)
        raise NegutilError(f"{chosen} is neither a term list ({known}) nor a TOML file: choose one of these.")
    return read(Path(chosen))


def table(lists: Sequence[TermList]) -> pd.DataFrame:
    """One row per list: its name, what it is for, and the terms that the lists above it do not have."""
    rows, seen = [], set[str]()
    for terms in lists:
        every = [*terms.words, *terms.endings, *terms.beginnings]
        added = ", ".join(term for term in every if term not in seen)
        rows.append({"list": terms.name, "about": terms.about, "terms": len(every), "terms that it adds": added})
        seen.update(every)
    return pd.DataFrame(rows)


def read(path: Path) -> tuple[TermList, ...]:
    """The lists in a TOML file, in its order; raises NegutilError that names the file, the list and the fix."""
    lists: dict[str, TermList] = {}
    for name, table in files.read_toml(path).items():
        where = f"{path}: [{name}]"
        if not isinstance(table, dict):
            raise NegutilError(f"{path}: {name} must be a table such as [{name}], not {table!r}.")
        unknown = sorted(set(table) - {"about", "includes", *KINDS})
        if unknown:
            known = ", ".join(KINDS)
            raise NegutilError(f"{where} has the unknown key {unknown[0]!r}: use about, includes, {known}.")
        terms = {kind: _strings(table.get(kind, []), f"{where} {kind}") for kind in KINDS}
        for base in _strings(table.get("includes", []), f"{where} includes"):
            if base not in lists:
                raise NegutilError(f"{where} includes {base!r}, which no list above it is called: correct it.")
            terms = {kind: terms[kind] + getattr(lists[base], kind) for kind in KINDS}
        if not any(terms.values()):
            raise NegutilError(f'{where} has no terms: add words = ["no"], for instance.')
        for kind, term in ((each, term) for each in KINDS for term in terms[each]):
            # A letter or digit where the term must not touch another word.
            free_ends = {"words": term[:1] + term[-1:], "endings": term[-1:], "beginnings": term[:1]}[kind]
            if not free_ends or not free_ends.isalnum():
                problem = f"{where} has {term!r} among its {kind}, which must begin or end as words do"
                raise NegutilError(f"{problem}: fix it.")
        unique = {kind: tuple(dict.fromkeys(terms[kind])) for kind in KINDS}
        lists[name] = TermList(name, str(table.get("about", "")), **unique)
    if not lists:
        raise NegutilError(f'{path} declares no term list: add one, such as [mine] with words = ["no"].')
    return tuple(lists.values())


def _strings(values: Any, where: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise NegutilError(f"{where} must be a list of texts, not {values!r}.")
    return tuple(normalise(value) for value in values)


def normalise(term: str) -> str:
    """A term or a found cue in its plain form: lower case, straight apostrophe and hyphen, single spaces."""
    plain = re.sub(f"[{APOSTROPHES}]", "'", re.sub(f"[{HYPHENS}]", "-", term))
    return " ".join(plain.lower().split())


def _group(terms: Sequence[str], before: str, after: str) -> str:
    """A pattern for any of the terms, the longest first, between two boundaries.

    Before a letter ``\\b`` says that no word goes on there, ``\\B`` that one does; before a hyphen it is the reverse.
    """
    longest_first = sorted(terms, key=lambda term: (-len(term), term))
    return f"{before}(?:{'|'.join(_any_forms(term) for term in longest_first)}){after}"


def _any_forms(term: str) -> str:
    """A pattern for a term: any apostrophe for an apostrophe, any hyphen for a hyphen, white space for a space."""
    classes = {"'": f"[{re.escape(APOSTROPHES)}]", "-": f"[{re.escape(HYPHENS)}]", " ": r"\s+"}
    return "".join(classes.get(char, re.escape(char)) for char in term)
