"""NegBench's CSV files: retrieval, multiple choice and binary, over images and clips (docs/protocols.md#negbench).

Which of the three a file is follows from its columns. Rows that are malformed (one in
synthetic_mcq_llama3.1_rephrased.csv) are kept out and listed by line in `negutil.data.report(dataset).left_out`.
"""

import re
from pathlib import Path
from typing import Any

from datasets import Dataset

from negutil.data import _reading

TEMPLATES = ("positive", "negative", "hybrid")
ODD = re.compile(r'["“”()\[\]<>#?]|rephras|is missing|no output', re.IGNORECASE)
"""Marks of a caption that may hold remains of a language model's answer ("?", "(Your response)", "A car" -> "...")."""

CLIPS = (".mp4", ".webm", ".avi", ".mkv")
_LISTS = ("captions", "positive_objects", "negative_objects", "all_captions")
_OPTION = re.compile(r"caption_(\d+)$")
RETRIEVAL_FEATURES = _reading.features(
    "video, file_name, image_id, captions: [str], positive_objects: [str], negative_objects: [str], all_captions: [str]"
)
CHOICE_FEATURES = _reading.features("video, file_name, options: [str], correct: int, template, has_odd_option: bool")


def kind(header: tuple[str, ...] | list[str]) -> str | None:
    """What a header announces: "retrieval", "mcq" (four options), "binary" (two), or None for no file of NegBench's."""
    names = set(header)
    if {"filepath", "captions"} <= names:
        return "retrieval"
    if not {"image_path", "correct_answer", "caption_0", "caption_1"} <= names:
        return None
    return "binary" if "caption_2" not in names else "mcq" if "caption_3" in names else None


def load(path: Path | str, pictures: Path | str | None = None) -> Dataset:
    """One NegBench file, retrieval, multiple choice or binary.

    Columns of all: image (only with `pictures`; for clips video, a path), file_name (as written: `pictures` is searched
    for its longest matching tail). Of retrieval: captions, and where the file has them image_id (as text),
    positive_objects, negative_objects, all_captions. Of multiple choice and binary: options, correct (index into
    options; in the published COCO, VOC and MSR-VTT files always 0, so shuffle before scoring), template ("positive",
    "negative", "hybrid"; not in binary files), has_odd_option (some option matches ODD).
    The report counts odd options and captions. Raises NegutilError for other columns, or where no row is usable.
    """
    rows = _reading.read_csv(path)
    announced = kind(rows.header)
    if announced is None:
        fix = "NegBench has filepath and captions, or image_path, correct_answer and caption_0 to caption_3 (or 1)"
        _reading.fail(path, f"these columns are not NegBench's: {list(rows.header)}", fix)
    columns: dict[str, list[Any]]
    if announced == "retrieval":
        rows = rows.keep(_retrieval_problem)
        read, features = rows.columns, RETRIEVAL_FEATURES
        columns = {"file_name": read["filepath"]}
        for name in filter(read.__contains__, _LISTS):
            lists = [_reading.string_list(text) for text in read[name]]
            # Without labelled objects an image has [''] in the published files; an empty caption counts in R@k.
            columns[name] = [[] if texts == [""] and name.endswith("_objects") else texts for texts in lists]
        if "image_id" in read:
            columns["image_id"] = read["image_id"]
            _reading.unique(read["image_id"], "image_id", path)
        odd = [[is_odd(text) for text in captions] for captions in columns["captions"]]
        counts = {"captions": sum(map(len, odd)), "odd_captions": sum(map(sum, odd))}
    else:
        rows = rows.keep(_choice_problem)
        read, features = rows.columns, CHOICE_FEATURES
        names = sorted(filter(_OPTION.match, read), key=lambda name: int(name.removeprefix("caption_")))
        columns = {"file_name": read["image_path"], "correct": [int(text) for text in read["correct_answer"]]}
        columns["options"] = [list(texts) for texts in zip(*(read[name] for name in names), strict=True)]
        odd = [[is_odd(text) for text in texts] for texts in columns["options"]]
        columns["has_odd_option"] = [any(flags) for flags in odd]
        if "correct_answer_template" in read:
            columns["template"] = read["correct_answer_template"]
        counts = {"odd_options": sum(map(sum, odd))}
    if columns["file_name"][0].lower().endswith(CLIPS) and pictures is not None:
        # Published files name a clip with or without the folders that MSR-VTT has it in.
        inside = Path(pictures).expanduser() / "videos" / "all"
        folder = inside if inside.is_dir() else pictures
        columns["video"] = _reading.find_files(columns["file_name"], folder, path)
        pictures = None
    return _reading.build(path, features, columns, pictures=pictures, left_out=rows.left_out, counts=counts)


def _retrieval_problem(row: dict[str, str]) -> str | None:
    if not row["filepath"].strip():
        return "there is no filepath"
    for name in _LISTS:
        if name in row and _reading.string_list(row[name]) is None:
            return f"{name} is not a list of strings ({row[name]:.40})"
    return None if _reading.string_list(row["captions"]) else "captions is an empty list"


def _choice_problem(row: dict[str, str]) -> str | None:
    names = [name for name in row if _OPTION.match(name)]
    correct, template = row["correct_answer"].strip(), row.get("correct_answer_template")
    if correct not in [str(index) for index in range(len(names))]:
        return f"correct_answer is {correct!r:.40}, not 0 to {len(names) - 1}"
    if template is not None and template not in TEMPLATES:
        return f"correct_answer_template is {template!r:.40}, not one of {', '.join(TEMPLATES)}"
    if not row["image_path"].strip():
        return "there is no image_path"
    empty = [name for name in names if not row[name].strip()]
    return f"{empty[0]} is empty" if empty else None


def is_odd(text: str) -> bool:
    """Whether a caption has no letters or a mark of ODD inside; quotation marks around the whole are forgiven."""
    bare = text.strip(" \"'.“”")
    return not any(letter.isalpha() for letter in bare) or ODD.search(bare) is not None
