from __future__ import annotations

from pathlib import Path

import pytest
from data_files import complaint, part_of, picture, write_text

from negutil import data
from negutil.data import chexpert

HEADER = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *chexpert.FINDINGS])
PATIENT = "CheXpert-v1.0-small/train/patient0000{}/study1/view1_frontal.jpg"


def line(patient: int, findings: str = ",,,1.0,,0.0,,,-1.0,,,,,1.0", about: str = "Female,68,Frontal,AP") -> str:
    return f"{PATIENT.format(patient)},{about},{findings}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for patient in (1, 2):
        # Two radiographs of the same file name, told apart by their folders.
        picture(tmp_path / PATIENT.format(patient), colour=(patient * 100,) * 3)
    second = line(2, "1.0" + "," * 13, "Male,87,Lateral,")
    return write_text(tmp_path / "CheXpert-v1.0-small" / "train.csv", HEADER, line(1), second)


def test_round_trip(file: Path) -> None:
    rows = chexpert.load(file, file.parent)
    first = rows[0]
    expected = {"Lung Opacity": 1, "Edema": 0, "Atelectasis": -1, "Support Devices": 1, "Fracture": None}
    assert {name: first[name] for name in expected} == expected
    assert sum(first[name] is None for name in chexpert.FINDINGS) == 10
    assert (first["sex"], first["age"], first["view"], first["projection"]) == ("Female", 68, "Frontal", "AP")
    assert rows["projection"][1] is None
    assert rows["No Finding"][:] == [None, 1]


@pytest.mark.parametrize("levels_up", [0, 1])
def test_pictures_are_found_from_either_folder(file: Path, levels_up: int) -> None:
    rows = chexpert.load(file, [file.parent, file.parent.parent][levels_up])
    shades = [row["image"].getpixel((0, 0))[0] for row in rows]
    assert shades[0] == pytest.approx(100, abs=3)
    assert shades[1] == pytest.approx(200, abs=3)


def test_malformed_rows_are_kept_out_by_line(file: Path) -> None:
    bad = [line(3, "2.0" + "," * 13), line(4, about="Male,old,Frontal,AP"), line(5) + ",1.0"]
    write_text(file, HEADER, line(1), *bad, line(2))
    rows = chexpert.load(file)
    assert rows["file_name"][:] == [PATIENT.format(1), PATIENT.format(2)]
    left_out = data.report(rows).left_out
    assert {told.split(":")[0] for told in left_out} == {"line 3", "line 4", "line 5"}
    assert any("No Finding is '2.0'" in told for told in left_out)


def test_bad_files(file: Path) -> None:
    assert "'Edema'" in complaint(chexpert.load, write_text(file, HEADER.replace(",Edema", ""), line(1)))
    assert "no usable rows" in complaint(chexpert.load, write_text(file, HEADER))
    assert "repeats the Path" in complaint(chexpert.load, write_text(file, HEADER, line(1), line(1)))
    assert "no row can be used" in complaint(chexpert.load, write_text(file, HEADER, line(1, "x" + "," * 13)))


def test_missing_pictures(file: Path) -> None:
    (file.parent.parent / PATIENT.format(2)).unlink()
    assert "1 of 2" in complaint(chexpert.load, file, file.parent)
    assert data.report(part_of(chexpert.load, file, file.parent)).rows == 1
