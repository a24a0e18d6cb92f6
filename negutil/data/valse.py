"""VALSE, the "existence" piece: existence.json and, where one has them, the Visual7W images. See
docs/protocols.md#valse."""

from pathlib import Path
from typing import Any

from datasets import Dataset

from negutil.data import _reading

VALID_VOTES = 2
"""An item is in VALSE's validated set where at least two of three annotators chose the caption."""

PIECE = "existence"

FEATURES = _reading.features(
    "item, file_name, caption, foil, negated, votes_caption: int, votes_foil: int, votes_other: int"
)
_ITEM = {"image_file": str, "caption": str, "foil": str, "classes": int, "mturk": dict}


def load(file: Path | str, pictures: Path | str | None = None) -> Dataset:
    """Captions with their foils: all 534 items (the NegationCLIP paper's set; VALSE's own are the 505 valid ones).

    Columns: image (only with `pictures`), item (the key in the file), file_name, caption (true), foil (false), negated
    (which of the two has the cue: "caption" or "foil"), votes_caption, votes_foil, votes_other (of the annotators).
    Raises NegutilError for damaged JSON, for items without these keys, and for those of another piece of VALSE.
    """
    content = _reading.filled(_reading.read_json(file), file, dict)
    pieces = {name: row.get("linguistic_phenomena", PIECE) for name, row in content.items() if isinstance(row, dict)}
    if other := next((name for name, piece in pieces.items() if piece != PIECE), ""):
        problem = f"{other} is of VALSE's piece {pieces[other]!r}, and only {PIECE!r} is about negation"
        _reading.fail(file, problem, "give existence.json")
    read = _reading.fields(list(content.values()), _ITEM, file)
    votes = _reading.fields(read["mturk"], {"caption": int, "foil": int, "other": int}, f'{file}, "mturk"')
    columns: dict[str, list[Any]] = {
        "item": list(content),
        "file_name": read["image_file"],
        "caption": read["caption"],
        "foil": read["foil"],
        # "classes" is the number of objects that the caption speaks of: 0 means that it denies them.
        "negated": ["caption" if count == 0 else "foil" for count in read["classes"]],
        **{f"votes_{name}": counts for name, counts in votes.items()},
    }
    return _reading.build(file, FEATURES, columns, pictures=pictures)
