"""RefCOCOg as the REFER API has it: refs(<split_by>).p or .json, and instances.json (docs/protocols.md#segmentation).

The published refs file is a Python pickle, a format that can run code while it is read. It is opened here by a
reader that makes only dicts, lists, tuples, strings, numbers, True, False and None, and refuses all else.
`refs(<split_by>).json` with the same content is read where it exists, and is what this project writes.
"""

import pickle
from pathlib import Path
from typing import Any

from datasets import Dataset

from negutil.data import _reading, coco

FEATURES = _reading.features(
    "ref_id: int, sent_id: int, ann_id: int, image_id: int, file_name, split, sentence, raw, category, box: [float], "
    "segmentation, width: int, height: int"
)
_REF = {"ref_id": int, "ann_id": int, "image_id": int, "split": str, "sentences": list}
_SENTENCE = {"sent_id": int, "sent": str, "raw": str}
_IMAGE = {"id": int, "file_name": str, "width": int, "height": int}
_OBJECT = {"annotation_ids": "ann_id", "categories": "category", "boxes": "box", "segmentations": "segmentation"}


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that can build only plain containers, strings and numbers."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse every class and function: dicts, lists, strings and numbers need none."""
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_refs(folder: Path | str, split_by: str = "umd") -> list[Any]:
    """The content of refs(<split_by>).json, or of the published refs(<split_by>).p where there is no JSON file."""
    folder = _reading.require_folder(folder)
    plain, pickled = folder / f"refs({split_by}).json", folder / f"refs({split_by}).p"
    if plain.is_file() or not pickled.is_file():
        return _reading.filled(_reading.read_json(plain), plain)
    try:
        with _reading.require_file(pickled).open("rb") as stream:
            # The file was written by Python 2: its byte strings are text.
            return _reading.filled(_PlainUnpickler(stream, encoding="utf-8", errors="replace").load(), pickled)
    except pickle.UnpicklingError as error:
        problem = f"this pickle is damaged or contains more than plain data, so it was not loaded ({error})"
        _reading.fail(pickled, problem, "download the file again from its authors", error)
    except (EOFError, ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        _reading.fail(pickled, f"the pickle breaks off or is damaged ({error})", "fetch the file again", error)


def load(
    folder: Path | str,
    split_by: str = "umd",
    split: str | None = None,
    pictures: Path | str | None = None,
) -> Dataset:
    """Referring sentences of one split ("train", "val", "test"), or of all, each with the object that it refers to.

    Columns: image (only with `pictures`, the COCO train2014 folder), ref_id, sent_id, ann_id, image_id, file_name,
    split, sentence (cleaned by RefCOCOg's authors), raw, category, box ([x, y, width, height], pixels), segmentation
    (JSON; see `negutil.data.coco.mask`), width, height. Raises NegutilError for damaged files, duplicate ids, a pickle
    that is more than data, references to unknown objects or images, and a split that is missing.
    """
    folder = Path(folder)
    refs_source = f"{folder / f'refs({split_by})'}"
    refs = _reading.fields(read_refs(folder, split_by), _REF, refs_source)
    _reading.unique(refs["ref_id"], "ref_id", refs_source)
    path = folder / "instances.json"
    content = _reading.read_json(path)
    images = _reading.json_columns(path, _IMAGE, key="images", different="id", content=content)
    columns = coco.instance_columns(content, path, images["id"])
    # Facts about every annotated object by its annotation id; file names are those of the images themselves.
    objects: dict[int, dict[str, Any]] = {}
    for row, values in enumerate(zip(*images.values(), strict=True)):
        shared = dict(zip(("image_id", "file_name", "width", "height"), values, strict=True))
        for facts in zip(*(columns[name][row] for name in _OBJECT), strict=True):
            objects[facts[0]] = dict(zip(_OBJECT.values(), facts, strict=True)) | shared
    _reading.known(refs["ann_id"], objects, "ann_id", refs_source)
    rows = []
    for index, (ref_id, ann_id, image_id, part, sentences) in enumerate(zip(*refs.values(), strict=True)):
        about = {"ref_id": ref_id, "split": part, **objects[ann_id]}
        if about["image_id"] != image_id:
            problem = f"entry {index} is about image {image_id}, its object {ann_id} is in another"
            _reading.fail(refs_source, problem, "use refs and instances of the same release")
        where = f'{refs_source}, entry {index}, "sentences"'
        read = _reading.fields(_reading.filled(sentences, where), _SENTENCE, where)
        for sent_id, sentence, raw in zip(*read.values(), strict=True):
            rows.append({**about, "sent_id": sent_id, "sentence": sentence, "raw": raw})
    _reading.unique([row["sent_id"] for row in rows], "sent_id", refs_source)
    columns = _reading.of_split({name: [row[name] for row in rows] for name in FEATURES}, split, refs_source)
    source = f"{refs_source} ({split or 'every split'})"
    return _reading.build(source, FEATURES, columns, pictures=pictures)
