"""Your own images with captions: a CSV file of two columns, an image in as many rows as it has captions.

As in ``pairs``, the first row that is wrong is an error, because whoever wrote the file can fix it.
"""

from pathlib import Path
from typing import Any

from datasets import Dataset

from negutil.data import _reading, pairs

NAMES = {
    "image": pairs.NAMES["image"],
    "caption": ("caption", "text", "captions", "alt text", "title", "sentence", "description"),
}
"""What a column may be called, in any case, with spaces, hyphens or underscores."""

FEATURES = _reading.features("file_name, caption, line: int")


def load(file: Path | str, images: Path | str | None = None) -> Dataset:
    """Images with a caption each.

    Columns: image (its path counts from the folder ``images``, without it from that of the file), file_name (as
    written), caption, line (of the file, from 1). Columns of other names than NAMES are ignored. Raises NegutilError,
    naming the lines, for an empty cell, for a row with too many or too few fields and, unless rows without their image
    are left out (``missing_pictures``), for an image that is not there; and for a column that is missing or there
    twice.
    """
    rows = pairs.own_rows(file, NAMES)
    columns: dict[str, list[Any]] = {"image": pairs.own_images(file, rows, images), "file_name": rows.cells["image"]}
    return _reading.build(file, FEATURES, columns | {"caption": rows.cells["caption"], "line": rows.lines})
