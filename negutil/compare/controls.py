"""The headlines, and which claims are controls of which: the last part of ``configs/claims.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negutil import files
from negutil.compare import claims
from negutil.errors import NegutilError

SENTENCES = {
    claims.REPLICATED: "replicated",
    claims.NOT_REPLICATED: "not_replicated",
    claims.INCONCLUSIVE: "inconclusive",
}
KEYS = {"claim", "by", "asks", *SENTENCES.values()}
HEADLINE_KEYS = {"claim", "says", "measure"}


@dataclass(frozen=True, slots=True)
class Headline:
    """A claim of a paper for the front page.

    Attributes:
        claim: its id.
        says: the claim in plain words.
        measure: what its numbers are.
    """

    claim: str
    says: str
    measure: str


@dataclass(frozen=True, slots=True)
class Control:
    """A claim of ours that says what another claim means.

    Attributes:
        claim, by: the ids of what is claimed and of its control.
        asks: the question that the control answers.
        says: a sentence for each verdict on the control (keys: "replicated", "not replicated", "inconclusive").
    """

    claim: str
    by: str
    asks: str
    says: dict[str, str]


def headlines(path: Path = claims.FILE) -> list[Headline]:
    """The headlines in their order.

    Raises NegutilError where a key is missing, and where one is not a claim of a paper with a test from before the run.
    """
    rows = _content(path).get("headline", [])
    _keys(rows, HEADLINE_KEYS, "headline", path)
    known = _known([row["claim"] for row in rows], path)
    for row in rows:
        claim = known[row["claim"]]
        if claim.work == claims.OURS or not claim.written_before or not claim.conditions:
            raise NegutilError(
                f"{path}: {claim.id!r} cannot be a headline: choose a claim of a paper whose test was written before "
                "the run."
            )
    return [Headline(**row) for row in rows]


def controls(path: Path = claims.FILE) -> list[Control]:
    """Every control; raises NegutilError where a key is missing or a claim is not in the file."""
    rows = _content(path).get("control", [])
    _keys(rows, KEYS, "control", path)
    _known([row[key] for row in rows for key in ("claim", "by")], path)
    return [
        Control(row["claim"], row["by"], row["asks"], {verdict: row[key] for verdict, key in SENTENCES.items()})
        for row in rows
    ]


def _content(path: Path) -> dict[str, Any]:
    claims.read(path)  # says what is wrong with the file
    return files.read_toml(path)


def _keys(rows: list[dict[str, Any]], wanted: set[str], kind: str, path: Path) -> None:
    for row in rows:
        if set(row) != wanted:
            raise NegutilError(f"{path}: a {kind} must have {sorted(wanted)}, but has {sorted(row)}: correct it.")


def _known(names: list[str], path: Path) -> dict[str, claims.Claim]:
    there = {claim.id: claim for claim in claims.read(path)}
    for name in names:
        if name not in there:
            raise NegutilError(f"{path}: there is no claim {name!r}: correct the name in its headline or control.")
    return there
