from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from data_files import complaint, part_of, picture, truncate

from negutil import data
from negutil.data import ccneg


def item(caption: str, negated: str, **more: Any) -> dict[str, Any]:
    return {"json": {"caption": caption, "key": "0"}, "sop_data": {"negative-prompt": negated, **more}}


ITEMS = [
    item("a dog runs on grass", "a dog runs, but not on grass", sop_chosen_object="grass"),
    item("a red car", "a car that is not red"),
    item("a cup", "no cup", sop_chosen_object="cup"),
]
NAMES = [f"ccneg_images/cc3m_subset_images_extracted_final/{number}.jpg" for number in range(3)]


def save(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    for name in NAMES:
        picture(tmp_path / name)
    annotations = save(tmp_path / "ccneg_preprocessed.pt", {"image_paths": NAMES, "annotations": ITEMS})
    distractors = save(tmp_path / "distractor_image_mapping.pt", {0: [118_000, 4, 5], 2: [7, 8, 9]})
    return annotations, tmp_path / "ccneg_images", distractors


def test_round_trip(files: tuple[Path, Path, Path]) -> None:
    rows = ccneg.load(*files, n_evaluation=1)
    assert rows["caption"][0] == "a dog runs on grass"
    assert rows["negated_caption"][0] == "a dog runs, but not on grass"
    assert rows["negated_object"][:] == ["grass", None, "cup"]
    assert rows["split"][:] == ["train", "train", "evaluation"]
    assert rows["distractor"][:] == [118_000, None, 7]
    assert rows[0]["image"].size == (12, 8)


def test_one_split_and_a_list_of_distractors(files: tuple[Path, Path, Path]) -> None:
    save(files[2], [[1, 2], [3, 4]])
    rows = ccneg.load(files[0], distractors=files[2], split="evaluation", n_evaluation=2)
    assert rows["item"][:] == [1, 2]
    assert rows["distractor"][:] == [3, None]
    assert "train" in complaint(ccneg.load, files[0], split="test", n_evaluation=2)
    assert "n_evaluation" in complaint(ccneg.load, files[0])


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("hacked",)


def test_code_in_a_torch_file_is_not_run(files: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files[0].parent)
    save(files[0], {"image_paths": NAMES, "annotations": ITEMS, "extra": Malicious()})
    assert "was not loaded" in complaint(ccneg.load, files[0])
    assert not Path("hacked").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"image_paths": NAMES[:2], "annotations": ITEMS}, "2 image_paths and 3 annotations"),
        ({"image_paths": NAMES}, '"annotations"'),
        ({"image_paths": [], "annotations": []}, "no entries"),
        ({"image_paths": NAMES, "annotations": [*ITEMS[:2], {"json": {"caption": "a"}}]}, 'entry 2 has no "sop_data"'),
        ({"image_paths": NAMES, "annotations": [*ITEMS[:2], item("a", None)]}, "entry 2"),  # type: ignore[arg-type]
        ([1, 2], '"image_paths"'),
    ],
)
def test_bad_content(files: tuple[Path, Path, Path], content: Any, told: str) -> None:
    assert told in complaint(ccneg.load, save(files[0], content), n_evaluation=1)


@pytest.mark.parametrize("content", [{"a": [1]}, [3], "text", {0: [1.5]}])
def test_bad_distractors(files: tuple[Path, Path, Path], content: Any) -> None:
    path = save(files[2], content)
    assert str(path) in complaint(ccneg.load, files[0], distractors=path, n_evaluation=1)


def test_damaged_and_missing(files: tuple[Path, Path, Path]) -> None:
    Path(files[0].parent / NAMES[1]).unlink()
    assert "1 of 3" in complaint(ccneg.load, *files, n_evaluation=1)
    assert data.report(part_of(ccneg.load, *files, n_evaluation=1)).first_missing == NAMES[1]
    assert "damaged" in complaint(ccneg.load, truncate(files[0]))
    files[0].write_bytes(b"no torch file")
    assert "damaged" in complaint(ccneg.load, files[0])
