"""Flickr8k (Hodosh, Young and Hockenmaier 2013): photographs with five captions each, in the files of its release.

Flickr8k.token.txt has a caption a line, NAME#K<tab>CAPTION; Flickr_8k.{train,dev,test}Images.txt name the photographs
of each split; the photographs are in a folder that is really spelled Flicker8k_Dataset.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from datasets import Dataset

from negutil.data import _reading

CAPTIONS = "Flickr8k.token.txt"
PHOTOGRAPHS = "Flicker8k_Dataset"
SPLITS = ("train", "dev", "test")
FEATURES = _reading.features("file_name, split, captions: [str]")


def load(folder: Path | str, split: str | None = None, pictures: bool = True) -> Dataset:
    """The photographs of one split ("train", "dev", "test"), or all of them, in the order of the captions' file.

    Columns: image (only with `pictures`), file_name, split ("" for the 91 photographs of none), captions (as the file
    has them, with a blank before the full stop). Lines of no photograph's name are left out and listed in the report:
    the release has five, of 2258277193_586949ec62.jpg.1. Raises NegutilError for other lines that are no caption,
    captions that are numbered twice, photographs that are in two splits or have no caption, and missing photographs.
    """
    folder = _reading.require_folder(folder, "run `negutil data get flickr8k`, or set NEGUTIL_DATA")
    captions, left_out = read_captions(folder / CAPTIONS)
    split_of: dict[str, str] = {}
    for name in SPLITS:
        path = split_file(folder, name)
        for photograph in read_split(path):
            if photograph not in captions:
                _reading.fail(path, f"'{photograph}' has no caption in {CAPTIONS}", "use files of the same release")
            if photograph in split_of:
                problem = f"'{photograph}' is in the split {split_of[photograph]}, too"
                _reading.fail(path, problem, "remove it from one of the two")
            split_of[photograph] = name
    columns: dict[str, list[Any]] = {
        "file_name": list(captions),
        "split": [split_of.get(name, "") for name in captions],
        "captions": list(captions.values()),
    }
    columns = _reading.of_split(columns, split, folder)
    source = f"{folder} ({split or 'every split'})"
    shown = folder / PHOTOGRAPHS if pictures else None
    return _reading.build(source, FEATURES, columns, pictures=shown, left_out=left_out)


def read_captions(path: Path | str) -> tuple[dict[str, list[str]], list[str]]:
    """The captions of each photograph by its name, in the order of their numbers, and the lines that were left out."""
    numbered: dict[str, dict[int, str]] = defaultdict(dict)
    left_out = []
    for line, text in enumerate(_reading.read_text(path).splitlines(), 1):
        key, _, caption = text.partition("\t")
        name, _, number = key.rpartition("#")
        if not (name and number.isdecimal() and caption.strip()):
            _reading.fail(path, f"line {line} is not NAME#NUMBER, a tab and a caption", "fix that line")
        if not name.endswith(".jpg"):
            left_out.append(f"line {line}: '{name}' is not the name of a photograph")
            continue
        if int(number) in numbered[name]:
            _reading.fail(path, f"line {line} has a second caption {number} of '{name}'", "remove one of the two")
        numbered[name][int(number)] = caption.strip()
    captions = {name: [own[number] for number in sorted(own)] for name, own in numbered.items()}
    return _reading.filled(captions, path, dict), left_out


def split_file(folder: Path, split: str) -> Path:
    """Where the names of the photographs of ``split`` are."""
    return folder / f"Flickr_8k.{split}Images.txt"


def read_split(path: Path | str) -> list[str]:
    """The names in the file of a split, one a line."""
    names = [line.strip() for line in _reading.read_text(path).splitlines() if line.strip()]
    _reading.unique(_reading.filled(names, path), "photograph", path)
    return names
