"""A small NEGUTIL_DATA with Flickr8k and some of COCO's and NegBench's files, and settings for a dry run over it."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import pandas as pd
import paper_files

from negutil import paths

MODEL = "photoclip-projections"
TRAINED, CHOSEN, TESTED = 120, 40, 40
"""Photographs of each part: 200 in all."""

OWN = 12
"""Photographs of COCO that NegBench's published rows are about."""

WITH_PHOTOGRAPHS = ("examples", "good", "with_and_without_no")
"""Figures of the notebooks that show photographs, and so are not written."""

_ONE = f'["{MODEL}"]'
CHANGES = {
    "photo.toml": [
        ("", "models", _ONE),
        ("", "photographs", f"{{ train = {TRAINED}, val = {CHOSEN}, test = {TESTED} }}"),
        ("world", "ccneg", "{ train = 0, val = 0, test = 20 }"),
        ("world", "shapes", "{ train = 20, val = 10, test = 10 }"),
        ("bootstrap", "resamples", "100"),
        ("finetuning", "examples", "64"),
        ("finetuning", "seeds", "[0]"),
        ("finetuning", "methods", '["plain", "con-clip", "negfull", "negationclip"]'),
        ("finetuning", "more_methods", "[]"),
        ("finetuning", "control_models", _ONE),
        ("finetuning", "shares", "[0.0, 1.0]"),
        ("finetuning", "processes", "1"),
        ("glasses", "examples", "32"),
        ("glasses", "small", "12"),
        ("glasses", "seeds", "[0]"),
        ("glasses", "rivals", '["plain", "negationclip"]'),
        ("glasses", "control_models", _ONE),
        ("glasses", "strengths", "8"),
        ("glasses", "probe_nouns", "8"),
        ("glasses", "processes", "1"),
    ],
    "finetune.toml": [
        ("infonce.photo", "batch", "16"),
        ("con-clip.photo", "batch", "8"),
        ("negbench.photo", "batch", "8"),
        *((f"{method}.photo", "warmup", "1") for method in ("infonce", "con-clip", "negbench")),
    ],
    "glasses.toml": [
        ("photo", "gate", "{ lr = 1e-2, epochs = 1, batch = 64 }"),
        ("photo", "lens", "{ lr = 3e-3, epochs = 1, batch = 8 }"),
        ("photo", "frame", "{ lr = 1e-3, epochs = 1, batch = 8 }"),
        ("photo", "joint", "{ lr = 1e-3, epochs = 1, batch = 8 }"),
    ],
}


def write(shared: Path, root: Path) -> None:
    """Link Flickr8k, and some photographs of COCO with NegBench's files, into ``root``."""
    (root / "coco" / "val2017").mkdir(parents=True)
    for name in paper_files.photographs(shared)[:OWN]:
        (root / "coco" / "val2017" / name).symlink_to(shared / "coco" / "val2017" / name)
    for name in ("flickr8k", "negbench"):
        (root / name).symlink_to(shared / name)


def configs(root: Path) -> None:
    """A copy of the settings in ``root`` with few photographs and resamples, and short trainings, in `photo`."""
    shutil.copytree(paths.ROOT / "configs", root)
    for name, changes in CHANGES.items():
        path = root / name
        path.write_text(paper_files.changed(path.read_text(encoding="utf-8"), changes), encoding="utf-8")


def require_no_captions(folder: Path, captions: Collection[str]) -> None:
    """Fail where a table or page in ``folder`` has a caption, with or without the space before its full stop."""
    texts = {text.removesuffix(" .") for text in captions if len(text) > 40}
    files = [path for path in folder.rglob("*") if path.suffix in (".csv", ".parquet", ".md", ".html")]
    assert len(files) > 10
    for path in files:
        if path.suffix == ".parquet":
            columns = pd.read_parquet(path).select_dtypes(["object", "category", "string"])
        elif path.suffix == ".csv":
            columns = pd.read_csv(path, dtype=str)
        else:
            columns = pd.DataFrame({"line": path.read_text(encoding="utf-8").splitlines()})
        written = {str(text).removesuffix(" .") for name in columns for text in columns[name].dropna()}
        assert not written & texts, path
