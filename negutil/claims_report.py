"""What the report tells first, and which claims are controls of which: the last part of ``configs/claims.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negutil import claims, files
from negutil.errors import NegutilError

SENTENCES = {
    claims.REPLICATED: "replicated",
    claims.NOT_REPLICATED: "not_replicated",
    claims.INCONCLUSIVE: "inconclusive",
}
KEYS = {"claim", "by", "asks", *SENTENCES.values()}


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


def headlines(path: Path = claims.FILE) -> list[str]:
    """The ids of the claims that are told first; raises NegutilError where one is not a claim."""
    found = [str(name) for name in _content(path).get("report", {}).get("headlines", [])]
    _known(found, path)
    return found


def controls(path: Path = claims.FILE) -> list[Control]:
    """Every control; raises NegutilError where a key is missing or a claim is not in the file."""
    rows = _content(path).get("control", [])
    for row in rows:
        if set(row) != KEYS:
            raise NegutilError(f"{path}: a control must have {sorted(KEYS)}, but has {sorted(row)}: correct it.")
    _known([row[key] for row in rows for key in ("claim", "by")], path)
    return [
        Control(row["claim"], row["by"], row["asks"], {verdict: row[key] for verdict, key in SENTENCES.items()})
        for row in rows
    ]


def _content(path: Path) -> dict[str, Any]:
    claims.read(path)  # says what is wrong with the file
    return files.read_toml(path)


def _known(names: list[str], path: Path) -> None:
    there = {claim.id for claim in claims.read(path)}
    for name in names:
        if name not in there:
            raise NegutilError(f"{path}: there is no claim {name!r}: correct the name in its report part.")
