from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miniworld import look
from negutil import paths
from negutil.errors import NegutilError


@pytest.mark.parametrize("part", look.KINDS)
def test_examples_follow_from_part_and_seed(part: str) -> None:
    first, again, other = (look.examples(part, 3, seed) for seed in (0, 0, 1))
    assert [example.caption for example in first] == [example.caption for example in again]
    assert all(np.array_equal(a.picture, b.picture) for a, b in zip(first, again, strict=True))
    assert [example.caption for example in first] != [example.caption for example in other]
    assert all(example.caption and example.picture.shape[0] == 64 for example in first)


def test_a_sheet_has_a_picture_and_a_caption_per_example() -> None:
    figure = look.sheet("shapes")
    shown = look.examples("shapes", look.COLUMNS * 2)
    assert len(figure.axes) == len(shown)
    written = [" ".join(text.get_text().split()) for text in figure.texts]
    assert written == [look.KINDS["shapes"].title, *(example.caption for example in shown)]


def test_all_parts_are_on_one_sheet_inside_the_page() -> None:
    figure = look.sheet("all")
    titles = {text.get_text() for text in figure.texts}
    assert {kind.title for kind in look.KINDS.values()} <= titles
    boxes = [axis.get_position() for axis in figure.axes]
    assert min(box.y0 for box in boxes) > 0
    assert max(box.x1 for box in boxes) < 1


def test_rows_of_a_grid_do_not_overlap() -> None:
    figure = look.grid(look.examples("scenes", 9), columns=3)
    positions = [axis.get_position() for axis in figure.axes]
    for above, below in zip(positions[:6], positions[3:], strict=True):
        assert below.y1 < above.y0


def test_save_writes_the_same_png_each_time(tmp_path: Path) -> None:
    first = look.save("radiographs", 2, out=tmp_path / "a.png")
    second = look.save("radiographs", 2, out=tmp_path / "b.png")
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as picture:
        assert picture.width == look.WIDTH * 150


def test_save_goes_to_the_figures_of_the_profile() -> None:
    assert look.save("shapes", profile="quick") == paths.figures("quick") / "world_shapes.png"


def test_wrong_part_and_wrong_name_are_explained(tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match="choose all or scenes"):
        look.sheet("dragons")
    with pytest.raises(NegutilError, match=r"end in \.png"):
        look.save("shapes", out=tmp_path / "a.jpg")
