"""NegationCLIP's caption files: COCO-style JSON with an ``updated_caption`` in each annotation.

``negutil.data.negationclip`` reads them into a ``datasets.Dataset``, as it reads the published file. What else is known
of a caption (what it negates) stands in the annotation too, under keys that the published file does not have.

See docs/protocols.md#negationclip-captions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset

from negutil import files
from negutil.data import negationclip
from negutil.errors import NegutilError

EXTRA = ("kind", "absent", "about")


def write(captions: pd.DataFrame, path: Path) -> Path:
    """Write the rows that have an updated caption (columns: ``p1.COLUMNS``).

    Raises NegutilError where there is none.
    """
    kept = captions[captions["dropped"] == ""]
    if kept.empty:
        raise NegutilError(f"{path}: none of {len(captions)} captions got a negation: check the annotators.")
    images = kept[["image_id", "file_name"]].drop_duplicates("image_id").rename(columns={"image_id": "id"})
    annotations = kept.rename(columns={"caption_id": "id"})[["image_id", "id", "caption", "updated_caption", *EXTRA]]
    content: dict[str, Any] = {
        "info": {"description": "captions to which a negation was added"},
        "images": images.to_dict("records"),
        "annotations": annotations.to_dict("records"),
    }
    files.write_text(path, json.dumps(content, separators=(",", ":")))
    return path


def dataset(path: Path, pictures: Path | None = None) -> Dataset:
    """The file as a ``datasets.Dataset``: image (only with ``pictures``), ids, file_name, caption, updated_caption."""
    return negationclip.load(path, pictures)


def frame(path: Path) -> pd.DataFrame:
    """The captions of a file that ``write`` made, with COLUMNS of ``p1`` but ``dropped``.

    Raises NegutilError for a file that lacks what is negated, such as the published one.
    """
    captions = negationclip.load(path).to_pandas()
    annotations = json.loads(path.read_text(encoding="utf-8"))["annotations"]
    if not set(EXTRA) <= set(annotations[0]):
        raise NegutilError(f"{path} does not say what its captions negate: make it with negutil's pipelines.")
    return captions.assign(**{name: [row[name] for row in annotations] for name in EXTRA})
