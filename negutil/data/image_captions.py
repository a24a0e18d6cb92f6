"""Your own images with captions, or with questions: a CSV file with an image in as many rows as it has of them.

As in ``pairs``, the first row that is wrong is an error, because whoever wrote the file can fix it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from negutil.data import _reading, pairs

NAMES = {
    "image": pairs.NAMES["image"],
    "caption": ("caption", "text", "captions", "alt text", "title", "sentence", "description"),
}
"""What a column may be called, in any case, with spaces, hyphens or underscores."""

QUESTION_NAMES = {
    "image": pairs.NAMES["image"],
    "question": ("question", "questions", "text"),
    "answer": ("answer", "answers", "multiple choice answer"),
}


def load(file: Path | str, images: Path | str | None = None) -> Dataset:
    """Images with a caption each.

    Columns: image (its path counts from the folder ``images``, without it from that of the file), file_name (as
    written), caption, line (of the file, from 1). Columns of other names than NAMES are ignored. Raises NegutilError,
    naming the lines, for an empty cell, for a row with too many or too few fields and, unless rows without their image
    are left out (``missing_pictures``), for an image that is not there; and for a column that is missing or there
    twice.
    """
    return _load(file, images, NAMES)


def load_questions(file: Path | str, images: Path | str | None = None) -> Dataset:
    """Images with a question and its answer each; errors as in ``load``.

    Columns: image, file_name, question, answer (unless the file has no such column), line.
    """
    return _load(file, images, QUESTION_NAMES, optional=("answer",))


def _load(
    file: Path | str, images: Path | str | None, names: Mapping[str, Sequence[str]], optional: Sequence[str] = ()
) -> Dataset:
    rows = pairs.own_rows(file, names, optional)
    texts = {role: cells for role, cells in rows.cells.items() if role != "image"}
    columns: dict[str, list[Any]] = {"image": pairs.own_images(file, rows, images), "file_name": rows.cells["image"]}
    features = _reading.features(f"file_name, {', '.join(texts)}, line: int")
    return _reading.build(file, features, columns | texts | {"line": rows.lines})
