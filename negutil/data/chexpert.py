"""CheXpert: train.csv or valid.csv and the folder of radiographs (docs/protocols.md#medical).

NegBench's CheXpert questions (image_path, caption_0, ...) are read by `negutil.data.negbench`.
"""

from pathlib import Path
from typing import Any

from datasets import Dataset

from negutil.data import _reading

FINDINGS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""The 14 columns of labels, as CheXpert spells them."""

PRESENT, ABSENT, UNCERTAIN = 1, 0, -1
_VALUES = {"1.0": PRESENT, "1": PRESENT, "0.0": ABSENT, "0": ABSENT, "-1.0": UNCERTAIN, "-1": UNCERTAIN, "": None}
_ABOUT = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA")
FEATURES = _reading.features(
    ", ".join(["file_name, sex, age: int, view, projection", *(f"{n}: int8" for n in FINDINGS)])
)


def load(file: Path | str, pictures: Path | str | None = None) -> Dataset:
    """Radiographs with their findings.

    Columns: image (only with `pictures`, the folder that holds CheXpert-v1.0 or lies in it), file_name (Path as
    written), sex, age (years), view ("Frontal", "Lateral"), projection ("AP", "PA", ...; None if blank), and every
    name in FINDINGS: 1 present, 0 absent, -1 uncertain, None not mentioned. Rows with another value, or an age that is
    no number, are kept out and listed by line in the report; a missing column or image raises NegutilError.
    """
    rows = _reading.read_csv(file, required=(*_ABOUT, *FINDINGS)).keep(_problem)
    read = rows.columns
    _reading.unique(read["Path"], "Path", file)
    columns: dict[str, list[Any]] = {
        "file_name": read["Path"],
        "sex": read["Sex"],
        "age": [int(float(age)) for age in read["Age"]],
        "view": read["Frontal/Lateral"],
        "projection": [text or None for text in read["AP/PA"]],
        **{name: [_VALUES[text.strip()] for text in read[name]] for name in FINDINGS},
    }
    return _reading.build(file, FEATURES, columns, pictures=pictures, left_out=rows.left_out)


def _problem(row: dict[str, str]) -> str | None:
    try:
        int(float(row["Age"]))
    except (ValueError, OverflowError):
        return f"the age {row['Age']!r} is not a number"
    wrong = [name for name in FINDINGS if row[name].strip() not in _VALUES]
    return f"{wrong[0]} is {row[wrong[0]]!r} instead of 1.0, 0.0, -1.0 or nothing" if wrong else None
