"""CelebA: list_attr_celeba.txt, list_eval_partition.txt and img_align_celeba/ (the layout of torchvision). See
docs/protocols.md#binary-probe."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil.data import _reading
from negutil.data._reading import FLAG, STRING

SPLITS = {0: "train", 1: "valid", 2: "test"}
_ATTRIBUTES, _PARTITION, _PICTURES = "list_attr_celeba.txt", "list_eval_partition.txt", "img_align_celeba"


def load(folder: Path | str, split: str | None = None, pictures: bool = True) -> Dataset:
    """Faces of one split ("train", "valid", "test"), or all of them, with one bool column per attribute.

    Columns: image (unless `pictures` is False), file_name, split, and every attribute under its name in the file
    ("Eyeglasses", "No_Beard", ...): True for 1, False for -1. Raises NegutilError for a wrong row count, values other
    than -1 and 1, faces without a split, an unknown split, and missing images.
    """
    folder = _reading.require_folder(folder)
    if split is not None and split not in SPLITS.values():
        _reading.fail(f"split {split!r}", "CelebA has no such split", f"ask for one of {', '.join(SPLITS.values())}")
    attributes, partition = folder / _ATTRIBUTES, folder / _PARTITION
    frame = _table(attributes, attribute_names(folder), (-1, 1), skip=2) == 1
    expected = int(_reading.read_text(attributes).split("\n", 1)[0])
    if len(frame) != expected:
        problem = f"line 1 promises {expected} faces and there are {len(frame)}"
        _reading.fail(attributes, problem, "fetch the file again")
    splits = _table(partition, ["split"], tuple(SPLITS), skip=0)
    _reading.known(frame.index, splits.index, "face (it has attributes, but no split here)", partition)
    frame.insert(0, "split", splits["split"].map(SPLITS).loc[frame.index])
    if split is not None:
        frame = frame[frame["split"] == split]
    columns: dict[str, Any] = {"file_name": list(frame.index)}
    columns |= {str(name): frame[name].to_numpy() for name in frame}
    source = f"{folder} ({split or 'every split'})"
    features = {name: STRING if name in ("file_name", "split") else FLAG for name in columns}
    shown = folder / _PICTURES if pictures else None
    return _reading.build(source, features, columns, pictures=shown)


def attribute_names(folder: Path | str) -> list[str]:
    """The attributes that the folder's list_attr_celeba.txt names, in its order."""
    path = Path(folder) / _ATTRIBUTES
    lines = _reading.read_text(path).splitlines()
    if len(lines) < 3 or not lines[0].strip().isdigit():
        fix = "the first line has the number of faces, the second the attribute names, then one line per face"
        _reading.fail(path, "the first three lines are not CelebA's", fix)
    names = lines[1].split()
    _reading.unique(names, "attribute", path)
    return names


def _table(path: Path, names: list[str], allowed: tuple[int, ...], skip: int) -> pd.DataFrame:
    """The numbers of a file with one file name and then one number per name in each line, after `skip` lines."""
    path = _reading.require_file(path)
    # A last column that must stay empty: pandas would drop surplus fields without a word.
    every = ["file_name", *names, "(a field too many)"]
    try:
        frame = pd.read_csv(path, sep=r"\s+", skiprows=skip, header=None, names=every, dtype={"file_name": str})
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        _reading.fail(
            path, f"a line does not have {len(names) + 1} fields ({str(error).strip()})", "fix that line", error
        )
    _reading.unique(frame["file_name"].tolist(), "file name", path)
    frame = frame.set_index("file_name")
    numbers = frame[names].apply(pd.to_numeric, errors="coerce")
    wrong = pd.concat([~numbers.isin(allowed), frame[every[-1:]].notna()], axis=1).to_numpy()
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        problem = f"line {row + 1 + skip} has {str(frame.iloc[row, column])!r} for {frame.columns[column]}"
        _reading.fail(path, problem, f"only {', '.join(map(str, allowed))} are allowed, one for every name")
    return numbers
