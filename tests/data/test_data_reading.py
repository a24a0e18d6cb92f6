from __future__ import annotations

import csv
import gzip
import importlib
import io
import json
from pathlib import Path

import pytest
from data_files import complaint, part_of, picture, truncate, write_json, write_text
from datasets import Dataset, List
from hypothesis import given, settings
from hypothesis import strategies as st

from negutil import data, paths
from negutil.data import _reading
from negutil.data._reading import INTEGER, STRING

plain_text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)


NO_FORMATS = {"__init__", "_reading", "download", "engines", "laion", "skipped", "built", "source", "unpack"}
"""Modules of the package without a ``load``: LAION's shards are counted one by one."""


def test_every_format_has_a_documented_load() -> None:
    for path in Path(data.__file__).parent.glob("*.py"):
        if path.stem not in NO_FORMATS:
            assert "column" in importlib.import_module(f"negutil.data.{path.stem}").load.__doc__.lower()


def test_missing_and_empty_files(tmp_path: Path) -> None:
    assert "no such file" in complaint(_reading.read_json, tmp_path / "gone.json")
    (tmp_path / "empty.json").touch()
    assert "empty.json" in complaint(_reading.read_json, tmp_path / "empty.json")
    assert "a folder" in complaint(_reading.read_json, tmp_path)
    assert "no such folder" in complaint(_reading.require_folder, tmp_path / "gone")


def test_json_plain_and_gzip(tmp_path: Path) -> None:
    content = {"a": ["é", 1, None]}
    plain = write_json(tmp_path / "a.json", content)
    packed = tmp_path / "b.gzip"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert _reading.read_json(plain) == _reading.read_json(packed) == content
    assert "gzip" in complaint(_reading.read_json, truncate(packed))
    assert "line 1" in complaint(_reading.read_json, truncate(plain))


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes('{"a": "é"}'.encode("latin-1"))
    assert "UTF-8" in complaint(_reading.read_json, tmp_path / "latin.json")


def test_section_and_filled() -> None:
    assert _reading.section({"images": [1]}, "images", "x.json") == [1]
    assert '"images"' in complaint(_reading.section, {}, "images", "x.json")
    assert "a list is needed" in complaint(_reading.section, {"images": {}}, "images", "x.json")
    assert "no entries" in complaint(_reading.section, {"images": []}, "images", "x.json")


def test_fields_names_the_entry() -> None:
    records = [{"id": 1, "name": "a"}, {"id": 2}]
    assert _reading.fields(records, {"id": int}, "x.json", {"name": str}) == {"id": [1, 2], "name": ["a", None]}
    assert 'entry 1 has no "name"' in complaint(_reading.fields, records, {"name": str}, "x.json")
    assert "entry 0" in complaint(_reading.fields, [{"id": True}], {"id": int}, "x.json")
    assert "not an object" in complaint(_reading.fields, [3], {"id": int}, "x.json")
    assert "str is needed" in complaint(_reading.fields, [{"n": 3}], {}, "x.json", {"n": str})


def test_unique_and_known_name_the_first_offender() -> None:
    _reading.unique([1, 2], "id", "x.json")
    assert "entry 2 repeats the id 1" in complaint(_reading.unique, [1, 2, 1], "id", "x.json")
    _reading.known([1], [1, 2], "image_id", "x.json")
    message = complaint(_reading.known, [1, 7, 8], [1], "image_id", "x.json")
    assert "2 entries" in message
    assert "entry 1 with 7" in message


@settings(deadline=None)
@given(st.lists(plain_text, max_size=4))
def test_string_list_reads_what_python_writes(strings: list[str]) -> None:
    assert _reading.string_list(repr(strings)) == strings


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dog",
        "['dog'",
        "('dog',)",
        "[1]",
        "{'a': 1}",
        "__import__('os').getcwd()",
        "[" * 999,
        "['a' 'b']",
        "['a'\n 'b']",
    ],
)
def test_string_list_refuses_everything_else(text: str) -> None:
    assert _reading.string_list(text) is None


def test_lists_with_quotation_marks_inside_are_read() -> None:
    for strings in (["it's ' a'", "b"], ['say "a" "b"'], ["a ' 'b", 'c" "d']):
        assert _reading.string_list(repr(strings)) == strings


def test_the_index_of_pandas_is_no_text_without_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",caption\n0,a dog\n1,a cat\n")
    assert _reading.read_csv(tmp_path / "a.csv").columns == {"caption": ["a dog", "a cat"]}
    (tmp_path / "b.csv").write_text(",caption\nx,a dog\n1,a cat\n")
    assert _reading.read_csv(tmp_path / "b.csv").left_out == ("line 2: text in a column that has no name",)


def test_long_fields_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"caption,id\n{'a' * 200_000},1\n")
    assert len(_reading.read_csv(tmp_path / "a.csv").columns["caption"][0]) == 200_000


def test_rows_that_an_open_quotation_swallows_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n1,"open,x\n2,"two",y\n3,4\n')
    read = _reading.read_csv(tmp_path / "a.csv")
    assert read.columns["a"] == ["3"]
    assert [text.partition(":")[0] for text in read.left_out] == ["line 2", "line 3"]


@settings(deadline=None)
@given(st.lists(st.tuples(plain_text, plain_text.filter(lambda text: text.strip() != "")), min_size=1, max_size=5))
def test_csv_round_trip_with_quotes_and_line_ends(rows: list[tuple[str, str]]) -> None:
    sink = io.StringIO(newline="")
    csv.writer(sink).writerows([("a", "b"), *rows])
    folder = paths.cache() / "csv"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "round.csv").write_bytes(sink.getvalue().encode())
    read = _reading.read_csv(folder / "round.csv", required=("a", "b"))
    assert list(zip(read.columns["a"], read.columns["b"], strict=True)) == rows
    assert not read.left_out


def test_csv_keeps_malformed_rows_out_by_line(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "a,b", '"two', 'lines",1', "1,2,3", "", "x,y")
    read = _reading.read_csv(path)
    assert read.columns == {"a": ["two\nlines", "x"], "b": ["1", "y"]}
    assert read.lines == [2, 6]
    assert read.left_out == ("line 4: 3 fields instead of 2",)


def test_csv_text_in_nameless_columns_is_malformed(tmp_path: Path) -> None:
    read = _reading.read_csv(write_text(tmp_path / "a.csv", "a,,", "1,,", "2,x,"))
    assert read.columns == {"a": ["1"]}
    assert read.left_out == ("line 3: text in a column that has no name",)


def test_csv_broken_quotation_in_one_row_is_malformed(tmp_path: Path) -> None:
    read = _reading.read_csv(write_text(tmp_path / "a.csv", "a,b", '"1"x,2', "3,4"))
    assert read.columns == {"a": ["3"], "b": ["4"]}
    assert "line 2: broken quotation" in read.left_out[0]


@pytest.mark.parametrize("box", [[1, 2, 3], "1234", [1, 2, 3, None], [1, 2, 3, float("nan")], [1, 2, -3, 4]])
def test_bad_boxes_are_named(box: object) -> None:
    _reading.check_boxes([[0, 0, 1, 1.5]], "bbox", "x.json")
    assert "entry 1" in complaint(_reading.check_boxes, [[0, 0, 1, 1], box], "bbox", "x.json")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_json(tmp_path / "a.json", {})

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "permissions" in complaint(_reading.read_json, path)


def test_csv_bad_files(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "a,b", "1,2")
    assert "no column 'c'" in complaint(_reading.read_csv, path, required=("c",))
    assert "line 2" in complaint(_reading.read_csv, write_text(tmp_path / "b.csv", "a,b", '"1,2', "3,4"))
    assert "no usable rows" in complaint(_reading.read_csv, write_text(tmp_path / "c.csv", "a,b"))
    assert "repeats" in complaint(_reading.read_csv, write_text(tmp_path / "d.csv", "a,a", "1,2"))
    assert "column names" in complaint(_reading.read_csv, write_text(tmp_path / "e.csv", ",", "1,2"))
    assert "no row can be used" in complaint(_reading.read_csv(path).keep, lambda row: "it is bad")


def test_longest_tail_of_a_written_path_is_found(tmp_path: Path) -> None:
    for name in ("pos/1.png", "neg/1.png", "2.png"):
        picture(tmp_path / name)
    names = ["/home/a/pos/1.png", "data\\neg\\1.png", "2.png"]
    expected = [str(tmp_path / name) for name in ("pos/1.png", "neg/1.png", "2.png")]
    assert _reading.find_files(names, tmp_path, "x.csv") == expected


def test_missing_pictures_are_told_once_or_left_out(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png")
    names = ["1.png", "2.png", "3.png"]
    message = complaint(_reading.find_files, names, tmp_path / "a", "x.csv")
    assert "2 of 3" in message
    assert "'2.png'" in message
    columns = {"file_name": names}
    built = part_of(_reading.build, "x.csv", {"file_name": STRING}, columns, pictures=tmp_path / "a")
    told = data.report(built)
    assert (told.rows, told.missing_pictures, told.first_missing) == (1, 2, "2.png")
    assert built[0]["image"].size == (12, 8)
    with data.missing_pictures("drop") as reports:
        _reading.build("x.csv", {"file_name": STRING}, columns, pictures=tmp_path / "a")
        assert "2 of 2" in complaint(_reading.find_files, names[1:], tmp_path / "a", "x.csv")
    assert reports == [told]
    assert "2 of 3" in complaint(_reading.find_files, names, tmp_path / "a", "x.csv")


def test_a_path_cannot_leave_its_folder(tmp_path: Path) -> None:
    picture(tmp_path / "secret.png")
    (tmp_path / "in").mkdir()
    assert "secret" in complaint(_reading.find_files, ["../secret.png"], tmp_path / "in", "x.csv")


def test_pictures_stay_paths_until_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"no picture at all")
    built = _reading.build("x", {"file_name": STRING}, {"file_name": ["a.png"], "image": [str(path)]})
    assert built.data.column("image").to_pylist() == [{"bytes": None, "path": str(path)}]


def test_build_names_the_entry_of_a_wrong_type() -> None:
    assert "entry 1" in complaint(_reading.build, "x", {"n": List(INTEGER)}, {"n": [[1], ["a"]]})
    assert "nothing in it" in complaint(_reading.build, "x", {"n": INTEGER}, {"n": []})


def test_large_tables_are_memory_mapped_under_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reading, "IN_MEMORY_BYTES", 10)
    columns = {"n": list(range(5000))}
    built, again = (_reading.build("x", {"n": INTEGER}, columns) for _ in range(2))
    assert built["n"][:] == columns["n"]
    assert built.cache_files == again.cache_files
    assert Path(built.cache_files[0]["filename"]).is_relative_to(paths.cache())
    assert data.report(built).rows == 5000
    assert not list((paths.cache() / "datasets").glob("*.part"))


def test_report_of_a_foreign_dataset() -> None:
    assert "report" in complaint(data.report, Dataset.from_dict({"a": [1]}))


def test_report_survives_selection() -> None:
    built = _reading.build("x.csv", {"n": INTEGER}, {"n": [1, 2]}, left_out=["line 3: bad"], counts={"odd": 4})
    told = data.report(built.select([1]).rename_column("n", "m"))
    assert told == data.Report("x.csv", 2, ("line 3: bad",), 0, "", {"odd": 4})
    assert json.loads(built.info.description)["source"] == "x.csv"
