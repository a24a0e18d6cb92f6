"""Captions are found in whatever people keep them in, and nothing wrong passes without a word."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import polars as pl
import pytest

from negutil.captions import caption_files
from negutil.errors import NegutilError

TEXTS = ["a dog without a cat", "a dog"]


def read(path: Path, column: str | None = None) -> list[str | None]:
    frame = caption_files.scan(path, column)
    with caption_files.reading(path):
        return frame.collect().to_series().to_list()


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(TEXTS), pl.String])
def test_texts_of_every_kind_in_parquet(tmp_path: Path, kind: pl.DataType) -> None:
    pl.DataFrame({"url": ["a", "b"], "text": pl.Series(TEXTS, dtype=kind)}).write_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == TEXTS


def test_lists_of_captions_are_captions(tmp_path: Path) -> None:
    pl.DataFrame({"captions": [TEXTS, ["a cow"]]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"image_id": [0, 1], "captions": [str(TEXTS), "['a cow']"]}).write_csv(tmp_path / "a.csv")
    for name in ("a.parquet", "a.csv"):
        assert read(tmp_path / name) == [*TEXTS, "a cow"]


def test_json_lines_and_the_layouts_of_coco_and_tifa(tmp_path: Path) -> None:
    rows = [{"id": n, "caption": text} for n, text in enumerate(TEXTS)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "coco.json").write_text(json.dumps({"images": [], "annotations": rows}))
    (tmp_path / "list.json").write_text(json.dumps(rows))
    for name in ("a.jsonl", "coco.json", "list.json"):
        assert read(tmp_path / name) == TEXTS
    (tmp_path / "no.json").write_text("[1, 2]")
    with pytest.raises(NegutilError, match="neither a list of records nor in COCO's layout"):
        read(tmp_path / "no.json")


def test_samples_of_webdataset(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "00000.tar", "w") as archive:
        for number, text in enumerate(TEXTS):
            for ending, content in ((".jpg", b"\xff\xd8"), (".txt", text.encode())):
                member = tarfile.TarInfo(f"{number:05d}{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    assert read(tmp_path / "00000.tar") == TEXTS


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "caption;comment\na dog;no\n", "seems to be separated by ';'"),
        ("a.csv", "caption|url\na dog|x\n", "seems to be separated by '|'"),
        ("a.tsv", "caption,url\na dog,x\n", "seems to be separated by ','"),
        ("a.csv", 'caption,id\nplain,1\nA 5" screen,2\n"x"y,3\n', "in line 3 a field has a quotation mark inside"),
        ("a.tsv", "a dog\thttp://a\n", r"pass --column, one of a dog, http://a \(--column 1 where the first line is"),
    ],
)
def test_what_is_no_such_table_says_so(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(NegutilError, match=said):
        read(tmp_path / name)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_are_refused(tmp_path: Path, encoding: str) -> None:
    for name in ("a.csv", "a.txt"):
        (tmp_path / name).write_bytes("caption\na dog\n".encode(encoding))
        with pytest.raises(NegutilError, match="not UTF-8 text"):
            read(tmp_path / name)


def test_a_folder_of_several_kinds_is_refused_with_its_counts(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.csv"):
        (tmp_path / name).write_text("caption\na dog\n")
    with pytest.raises(NegutilError, match=r"several kinds \(1 \.csv, 2 \.txt\): name the files that you mean"):
        caption_files.find([tmp_path])
    (tmp_path / "c.csv").unlink()
    for name in ("README.txt", "LICENSE.txt", "._a.txt"):
        (tmp_path / name).write_text("about")
    assert [file.name for file in caption_files.find([tmp_path])] == ["a.txt", "b.txt"]


def test_real_bad_files(shared_data: Path) -> None:
    bad = shared_data / "bad_input"
    said = {
        "utf16_excel.csv": "not UTF-8",
        "utf16le_nobom.txt": "not UTF-8",
        "semicolon.csv": "separated by ';'",
        "inch_quote.csv": "in line 2 a field has a quotation mark inside",
    }
    for name, words in said.items():
        with pytest.raises(NegutilError, match=words):
            read(bad / name)
    for name in ("laion_categorical.parquet", "datacomp_columns.parquet", "null_url.parquet", "long_url.parquet"):
        assert any(isinstance(text, str) for text in read(bad / name))
