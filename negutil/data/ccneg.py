"""CC-Neg: ccneg_preprocessed.pt, distractor_image_mapping.pt and the folder of CC3M images.

Both .pt files are opened with `weights_only=True`, which cannot run code. See docs/protocols.md#cc-neg.
"""

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from negutil.data import _reading

N_EVALUATION = 40_000
"""The published evaluation set: the last 40,000 items of the file."""

FEATURES = _reading.features("item: int, file_name, caption, negated_caption, negated_object, split, distractor: int")


def load(
    file: Path | str,
    pictures: Path | str | None = None,
    distractors: Path | str | None = None,
    *,
    split: str | None = None,
    n_evaluation: int = N_EVALUATION,
) -> Dataset:
    """Images with their true caption and a negated caption that is false of them.

    Columns: image (only with `pictures`), item (index in the file), file_name, caption, negated_caption (as published:
    the evaluation removes its commas before it tokenises), negated_object (None if the file has none), split
    ("train", and "evaluation" for the last `n_evaluation` items), and with `distractors` distractor (the first index
    that the mapping gives, into COCO train2017 captions in torchvision's order; None if it has none). Raises
    NegutilError for files that are damaged or hold more than plain data, and for items without captions.
    """
    content = read_pt(file)
    names = _reading.section(content, "image_paths", file)
    items = _reading.section(content, "annotations", file)
    if len(names) != len(items):
        problem = f"{len(names)} image_paths and {len(items)} annotations do not pair up"
        _reading.fail(file, problem, "fetch the file again")
    columns: dict[str, list[Any]] = {"item": list(range(len(items))), "file_name": [str(name) for name in names]}
    where = f'{file}, "annotations"'
    parts = _reading.fields(items, {"json": dict, "sop_data": dict}, where)
    caption = _reading.fields(parts["json"], {"caption": str}, f'{where}, "json"')
    optional = {"sop_chosen_object": str}
    negated = _reading.fields(parts["sop_data"], {"negative-prompt": str}, f'{where}, "sop_data"', optional)
    columns |= {
        "caption": caption["caption"],
        "negated_caption": negated["negative-prompt"],
        "negated_object": negated["sop_chosen_object"],
    }
    if not 0 < n_evaluation <= len(items):
        problem = f"its {len(items)} items cannot have {n_evaluation} for evaluation"
        _reading.fail(file, problem, f"pass n_evaluation between 1 and {len(items)}")
    columns["split"] = ["train"] * (len(items) - n_evaluation) + ["evaluation"] * n_evaluation
    if distractors is not None:
        mapping, fix = read_pt(distractors), "fetch the file again"
        if not isinstance(mapping, list | dict):
            problem = f"a list or dict is needed and this is a {type(mapping).__name__}"
            _reading.fail(distractors, problem, fix)
        columns["distractor"] = [None] * len(items)
        for item, indices in enumerate(mapping) if isinstance(mapping, list) else mapping.items():
            if not isinstance(item, int) or not isinstance(indices, list) or not all(type(i) is int for i in indices):
                _reading.fail(distractors, f"entry {item!r} is not a list of image indices", fix)
            if 0 <= item < len(items) and indices:
                columns["distractor"][item] = indices[0]
    columns = _reading.of_split(columns, split, f"{file} with n_evaluation={n_evaluation}")
    source = f"{file} ({split or 'every split'})"
    return _reading.build(source, FEATURES, columns, pictures=pictures)


def read_pt(path: Path | str) -> Any:
    """The plain content of a torch file (dicts, lists, strings, numbers, tensors); anything else is refused."""
    path = _reading.require_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or unsafe file
        problem = "this torch file is damaged or contains more than plain data, so it was not loaded"
        _reading.fail(path, problem, "download it again from its authors", error)
