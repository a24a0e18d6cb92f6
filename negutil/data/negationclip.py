"""NegationCLIP's fine-tuning captions: COCO-style JSON with an updated_caption in each annotation. See
docs/protocols.md#negationclip-captions."""

from pathlib import Path
from typing import Any

from datasets import Dataset

from negutil.data import _reading

FEATURES = _reading.features("image_id: int, caption_id: int, file_name, caption, updated_caption")
_ANNOTATION = {"id": int, "image_id": int, "caption": str, "updated_caption": str}


def load(file: Path | str, pictures: Path | str | None = None) -> Dataset:
    """Captions, each with the version to which a true negation was added.

    Columns: image (only with `pictures`), image_id, caption_id, file_name, caption, updated_caption. Raises
    NegutilError for damaged JSON, duplicate ids, annotations of unknown images, and empty updated captions.
    """
    content = _reading.read_json(file)
    kinds = {"id": int, "file_name": str}
    images = _reading.json_columns(file, kinds, key="images", different="id", content=content)
    names = dict(zip(images["id"], images["file_name"], strict=True))
    where = f'{file}, "annotations"'
    read = _reading.json_columns(file, _ANNOTATION, key="annotations", different="id", content=content)
    _reading.known(read["image_id"], names, "image_id", where)
    for index, text in enumerate(read["updated_caption"]):
        if not text.strip():
            _reading.fail(where, f'entry {index} has an empty "updated_caption"', "remove that entry")
    columns: dict[str, list[Any]] = {
        "image_id": read["image_id"],
        "caption_id": read["id"],
        "file_name": [names[image_id] for image_id in read["image_id"]],
        "caption": read["caption"],
        "updated_caption": read["updated_caption"],
    }
    return _reading.build(file, FEATURES, columns, pictures=pictures)
