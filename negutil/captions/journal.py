"""Work on many items that an interruption does not undo: every finished batch is kept in a journal on disk.

The pipelines ask a language model about hundreds of thousands of captions (docs/protocols.md#negationclip-captions). A
journal is a text file: its first line says what was asked of whom, and each further line is the outcome of one item.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from negutil import progress
from negutil.errors import NegutilError

Item = TypeVar("Item")
Outcome = dict[str, Any]
BATCH = 512


def run(
    items: Mapping[int, Item],
    work: Callable[[Sequence[Item]], Sequence[Outcome]],
    journal: Path | None = None,
    facts: Mapping[str, Any] | None = None,
    batch: int = BATCH,
) -> dict[int, Outcome]:
    """The outcome of every item, by its number and in the order of ``items``.

    ``work`` takes a batch and gives one outcome (plain JSON) for each item, in order. With a ``journal`` finished items
    are kept there, and taken from there the next time if the item and the ``facts`` (who annotates, with which
    settings) are the same; a journal of other facts is begun anew. Raises NegutilError where ``work`` loses items.
    """
    digests = {
        number: hashlib.blake2b(repr(item).encode(), digest_size=8).hexdigest() for number, item in items.items()
    }
    kept = _read(journal, facts or {}) if journal else {}
    done = {number: kept[number][1] for number in items if number in kept and kept[number][0] == digests[number]}
    left = [number for number in items if number not in done]
    with progress.bar("writing captions", total=len(left), unit="caption", leave=False) as bar:
        for start in range(0, len(left), batch):
            numbers = left[start : start + batch]
            outcomes = work([items[number] for number in numbers])
            if len(outcomes) != len(numbers):
                count = f"{len(numbers)} items came back as {len(outcomes)}"
                raise NegutilError(f"{count}: the annotator has to answer each.")
            fresh = dict(zip(numbers, outcomes, strict=True))
            if journal:
                rows = ([number, digests[number], outcome] for number, outcome in fresh.items())
                with journal.open("a", encoding="utf-8") as stream:
                    stream.writelines(json.dumps(row) + "\n" for row in rows)
            done |= fresh
            bar.update(len(numbers))
    return {number: done[number] for number in items}


def _read(journal: Path, facts: Mapping[str, Any]) -> dict[int, tuple[str, Outcome]]:
    """What the journal holds by item; begins it where it is missing, of other facts, or not a journal."""
    head = json.dumps(facts, sort_keys=True)
    lines = journal.read_bytes().splitlines(keepends=True) if journal.is_file() else []
    if not lines or lines[0] != head.encode() + b"\n":
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.write_text(head + "\n", encoding="utf-8")
        return {}
    whole = [line for line in lines if line.endswith(b"\n")]
    if len(whole) < len(lines):
        # The last line was cut off in the writing: its item is done again.
        journal.write_bytes(b"".join(whole))
    try:
        return {number: (digest, outcome) for number, digest, outcome in map(json.loads, whole[1:])}
    except (ValueError, TypeError) as problem:
        raise NegutilError(f"{journal}: a line is damaged ({problem}); delete the file to begin anew.") from problem
