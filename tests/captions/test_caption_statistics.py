"""Counting captions: sums, formats, what is left out, the real sample, the command line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from negutil.captions import caption_files, caption_statistics, negation_terms
from negutil.captions.caption_statistics import WIDE_SPACES, Counts, CueCounts, count_words
from negutil.commands import cli

LISTS = negation_terms.load()
STRICT = negation_terms.load("strict")
TEXTS = ["A dog, no cat", None, "No no!", "", "  \t", "Can’t wait", "without sugar-free gum", "Norway"]
WORDS = ["no", "Not", "without", "never", "can't", "sugar-free", "dog", "Norway", "knot,", "no,"]
CAPTIONS = st.lists(st.one_of(st.none(), st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)), max_size=8)


def count(texts: list[str | None]) -> Counts:
    return caption_statistics.count_texts(texts, LISTS)


def run(*arguments: object) -> tuple[int, str, str]:
    outcome = CliRunner().invoke(cli.app, ["stats", "captions", *map(str, arguments)])
    return outcome.exit_code, outcome.stdout, outcome.stderr


def test_standard_input_and_links_into_the_cache_of_a_hub_are_read(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["stats", "captions", "-", "--json"], input="a dog, no cat\na dog\n")
    assert json.loads(done.stdout)["captions"] == 2
    blob, link = tmp_path / "blobs" / "3f9a7e", tmp_path / "snapshots" / "part.parquet"
    for file in (blob, link):
        file.parent.mkdir()
    pl.DataFrame({"text": TEXTS}).write_parquet(blob)
    link.symlink_to(blob)
    code, said, told = run(tmp_path / "snapshots", "--json")
    assert (code, told) == (0, "")
    assert json.loads(said)["captions"] == 5


def test_hand_worked() -> None:
    counts = count(TEXTS)
    assert (counts.rows, counts.null, counts.empty, counts.captions, counts.words) == (8, 1, 2, 5, 12)
    assert counts.lists["strict"] == CueCounts(3, 4, 6, {"no": 3, "without": 1})
    assert counts.lists["standard"] == CueCounts(4, 5, 7, {"n't": 1, "no": 3, "without": 1})
    assert counts.lists["wide"] == CueCounts(4, 6, 10, {"-free": 1, "n't": 1, "no": 3, "without": 1})
    assert caption_statistics.caption_ratio(counts, "strict").value == 3 / 5
    assert caption_statistics.word_ratio(counts, "strict").value == 4 / 12


@settings(max_examples=25, deadline=None)
@given(CAPTIONS, CAPTIONS)
def test_counts_add(first: list[str | None], second: list[str | None]) -> None:
    assert count(first) + count(second) == count(first + second)


@settings(max_examples=25, deadline=None)
@given(CAPTIONS)
def test_case_does_not_matter(texts: list[str | None]) -> None:
    assert count([text and text.upper() for text in texts]) == count([text and text.lower() for text in texts])


@settings(max_examples=25, deadline=None)
@given(CAPTIONS, st.sampled_from(["dog", "Norway", "knot", "nothingness", "5"]))
def test_a_plain_word_adds_no_cue(texts: list[str | None], word: str) -> None:
    longer = [text and f"{word} {text}" for text in texts]
    before, after = count(texts), count(longer)
    assert after.lists == before.lists
    assert after.words == before.words + sum(bool(text) for text in texts)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(st.one_of(st.sampled_from(f" \t\n\x1cab{WIDE_SPACES}"), st.characters(exclude_categories=["Cs"]))))
)
def test_words_are_runs_without_white_space(texts: list[str]) -> None:
    # Python alone splits at the separators U+001C to U+001F, which are not white space to Unicode.
    expected = sum(len("".join("x" if "\x1c" <= c <= "\x1f" else c for c in text).split()) for text in texts)
    assert count_words(pl.Series(texts, dtype=pl.String)) == expected


def test_words_of_a_slice_with_nulls() -> None:
    texts = pl.Series(["one two", None, "", "three\u3000four\u00a0five", " six ", None])
    assert [count_words(texts.slice(start)) for start in range(7)] == [6, 4, 4, 4, 1, 0, 0]


def test_word_interval_widens_with_clusters() -> None:
    single = Counts(100, 0, 0, 1000, {"strict": CueCounts(20, 20, 20, {"no": 20})})
    double = Counts(100, 0, 0, 1000, {"strict": CueCounts(10, 20, 40, {"no": 20})})
    narrow, broad = (caption_statistics.word_ratio(counts, "strict") for counts in (single, double))
    assert narrow.value == broad.value == 0.02
    assert broad.low < narrow.low < 0.02 < narrow.high < broad.high


def write(folder: Path) -> dict[str, Path]:
    """TEXTS in every format that is read."""
    frame = pl.DataFrame({"URL": [f"http://x.y/{i}" for i in range(len(TEXTS))], "TEXT": TEXTS})
    files = {name: folder / name for name in ("a.parquet", "a.csv", "a.csv.gz", "a.txt", "a.txt.gz")}
    frame.write_parquet(files["a.parquet"])
    frame.write_csv(files["a.csv"])
    files["a.csv.gz"].write_bytes(gzip.compress(files["a.csv"].read_bytes()))
    lines = "".join(f"{text or ''}\n" for text in TEXTS).encode()
    files["a.txt"].write_bytes(lines)
    files["a.txt.gz"].write_bytes(gzip.compress(lines))
    return files


def test_every_format_counts_alike(tmp_path: Path) -> None:
    expected = count(TEXTS)
    for name, file in write(tmp_path).items():
        counts = caption_statistics.count_files([file], LISTS)
        assert counts.lists == expected.lists, name
        assert (counts.rows, counts.captions, counts.words) == (8, 5, 12), name
        if ".txt" not in name:
            assert (counts.null, counts.empty) == (1, 2), name


def test_tsv_without_header_and_quotes(tmp_path: Path) -> None:
    file = tmp_path / "cc3m.tsv"
    file.write_text('a dog with no "collar\thttp://a\n"not here\thttp://b\n')
    counts = caption_statistics.count_files([file], STRICT, column="1")
    assert (counts.captions, counts.words, counts.lists["strict"].words) == (2, 7, 2)


def test_crlf_lines(tmp_path: Path) -> None:
    file = tmp_path / "dos.txt"
    file.write_bytes(b"no dog\r\n\r\nnot a cat")
    counts = caption_statistics.count_files([file], STRICT)
    assert (counts.rows, counts.empty, counts.words, counts.lists["strict"].captions) == (3, 1, 5, 2)


def test_folders_patterns_and_files_add(tmp_path: Path) -> None:
    for name in ("a", "b/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pl.DataFrame({"caption": ["no dog", "a dog"]}).write_parquet(tmp_path / f"{name}.parquet")
    (tmp_path / "README.txt").write_text("not captions\n")
    whole = caption_statistics.count_files([tmp_path], STRICT)
    pattern = caption_statistics.count_files([tmp_path / "*.parquet"], STRICT)
    twice = caption_statistics.count_files([tmp_path, tmp_path / "a.parquet"], STRICT)
    assert (whole.captions, pattern.captions, twice.captions) == (4, 2, 4)
    assert whole == pattern + pattern


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [(["URL", "TEXT"], "TEXT"), (["title", "Caption"], "Caption"), (["key", "alt"], "alt"), (["anything"], "anything")],
)
def test_column_is_found(tmp_path: Path, columns: list[str], chosen: str) -> None:
    file = tmp_path / "x.parquet"
    pl.DataFrame({name: [name] for name in columns}).write_parquet(file)
    assert caption_files.scan(file).collect().item() == chosen


def test_cache_is_used_and_notices_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.txt"
    file.write_text("no dog\n")
    first = caption_statistics.count_files([file], STRICT)
    with monkeypatch.context() as patch:
        patch.setattr(caption_statistics, "count", lambda *_: pytest.fail("counted again"))
        assert caption_statistics.count_files([file], STRICT) == first
    file.write_text("no dog\nno cat\n")
    assert caption_statistics.count_files([file], STRICT).captions == 2
    assert caption_statistics.count_files([file], LISTS).captions == 2


def test_real_web_alt_texts(shared_data: Path) -> None:
    file = shared_data / "web_alttext" / "img2dataset_test_1000.parquet"
    counts = caption_statistics.count_files([file], LISTS)
    assert (counts.rows, counts.null, counts.empty, counts.words) == (1000, 0, 0, 8917)
    found = {name: (cues.captions, cues.words) for name, cues in counts.lists.items()}
    assert found == {"strict": (9, 11), "standard": (16, 19), "wide": (19, 23)}
    assert counts.lists["strict"].cues == {"no": 6, "not": 2, "without": 3}


def test_records_stand_beside_the_paper() -> None:
    records = caption_statistics.records(count(TEXTS), "01_web_captions")
    by_key = {(record.task, record.metric): record for record in records}
    assert len(by_key) == 6
    record = by_key["strict", "caption_ratio"]
    assert (record.value, record.n, record.paper_value) == (0.6, 5, pytest.approx(0.0070))
    assert record.ci_low is not None and record.ci_high is not None and record.ci_low < 0.6 < record.ci_high
    assert by_key["wide", "word_ratio"].paper_value == pytest.approx(0.0008)


def test_command_json_and_text(tmp_path: Path) -> None:
    file = write(tmp_path)["a.parquet"]
    status, out, _ = run(file, "--json")
    found = json.loads(out)
    assert status == 0
    assert {name: found[name] for name in ("rows", "null", "empty", "captions", "words")} == {
        "rows": 8, "null": 1, "empty": 2, "captions": 5, "words": 12,
    }  # fmt: skip
    assert list(found["lists"]) == ["strict", "standard", "wide"]
    assert found["lists"]["strict"]["captions_with_cue"] == 3
    assert found["lists"]["strict"]["cues"] == {"no": 3, "without": 1}
    status, out, _ = run(file, "--terms", "strict", "--column", "TEXT")
    assert status == 0
    assert "60.000 [23.072, 88.238]" in out and "wide" not in out


def test_command_says_what_is_wrong(tmp_path: Path) -> None:
    files = write(tmp_path)
    (tmp_path / "ragged.csv").write_text("URL,TEXT\nhttp://a,no, not\n")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "blank.txt").write_text("\n\n")
    (tmp_path / "cut.parquet").write_bytes(files["a.parquet"].read_bytes()[:100])
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    pl.DataFrame({"TEXT": [1, 2]}).write_parquet(tmp_path / "numbers.parquet")
    pl.DataFrame({"a": ["x"], "b": ["y"]}).write_parquet(tmp_path / "unusual.parquet")
    (tmp_path / "pictures").mkdir()
    problems: dict[str, tuple[object, ...]] = {
        "has no column 'text_en': choose one of URL, TEXT": (files["a.csv"], "--column", "text_en"),
        "has no column 7: choose one of 1 to 2": (files["a.csv"], "--column", "7"),
        "neither a file, a folder, nor a pattern": (tmp_path / "gone.parquet",),
        "is empty (0 bytes)": (tmp_path / "empty.txt",),
        "has no captions (2 rows": (tmp_path / "blank.txt",),
        "found more fields": (tmp_path / "ragged.csv",),
        "cannot be read as parquet": (tmp_path / "cut.parquet",),
        "cannot be read as UTF-8 text": (tmp_path / "latin.txt",),
        "contains Int64, not text": (tmp_path / "numbers.parquet",),
        "pass --column, one of a, b": (tmp_path / "unusual.parquet",),
        "holds no .parquet": (tmp_path / "pictures",),
        "neither a term list": (files["a.csv"], "--terms", "narrow"),
    }
    for says, arguments in problems.items():
        status, out, error = run(*arguments)
        assert (status, out) == (2, "")
        assert says in error and error.count("\n") == 1
        assert says.startswith("neither a term") or str(arguments[0]) in error
