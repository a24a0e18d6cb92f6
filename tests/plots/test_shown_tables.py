"""Tables as notebooks show them: few columns, short intervals, headings, and what is bold or grey."""

from __future__ import annotations

import pandas as pd
import pytest
from bs4 import BeautifulSoup, Tag

from negutil.plots import tables

LEVELS = pd.DataFrame(
    [
        ("small", "CLIP", "0.361 [0.340, 0.382]", "-0.020 [-0.030, -0.001]"),
        ("small", "glasses", "0.950 [0.900, 0.960]", "0.031 [0.021, 0.041]"),
        ("large", "CLIP", "0.400 [0.380, 0.420]", ""),
        ("large", "glasses", "0.300 [0.280, 0.320]", "0.500"),
        ("published, ViT-B/32", "CLIP", "0.710", ""),
    ],
    columns=["architecture", "model", "A", "B"],
)


def table(shown: tables.Table) -> Tag:
    found = BeautifulSoup(shown._repr_html_(), "html.parser").find("table")
    assert isinstance(found, Tag)
    return found


def rows(shown: tables.Table) -> list[list[str]]:
    return [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in table(shown).find_all("tr")]


def test_intervals_are_short_and_the_whole_one_is_shown_on_pointing_at_it() -> None:
    shown = tables.show(LEVELS, "Levels", "levels")
    text = shown.text()
    assert text["A"].tolist() == ["", ".361 ± .021", ".950 [.900, .960]", "", ".400 ± .020", ".300 ± .020"]
    # A column with negative numbers has signs throughout.
    assert text["B"].tolist() == ["", "−.020 [−.030, −.001]", "+.031 ± .010", "", "", "+.500"]
    hints = [cell.get("title") for cell in table(shown).find_all("td") if cell.get("title")]
    assert "0.361 [0.340, 0.382]" in hints and "0.710" in hints


def test_rows_of_an_architecture_have_a_heading_and_published_ones_become_a_grey_column() -> None:
    shown = tables.show(LEVELS, "Levels", "levels")
    head, *body = rows(shown)
    assert head == ["model", "A", "A, published (ViT-B/32)", "B"]
    assert [line[0] for line in body] == ["small", "CLIP", "glasses", "large", "CLIP", "glasses"]
    assert [line[2] for line in body] == ["", ".710", "", "", ".710", ""]
    assert {len(line) for line in body} == {4}  # rectangular: negutil table reads it
    grey = {cell.get_text() for cell in table(shown).find_all(class_="grey")}
    assert grey == {"A, published (ViT-B/32)", ".710", ""}


def test_published_rows_stay_below_where_columns_would_be_too_many() -> None:
    wide = LEVELS.assign(**dict.fromkeys("CDEF", LEVELS["A"]))
    shown = tables.show(wide, "Levels", "levels")
    head, *texts = rows(shown)
    assert head == ["model", *"ABCDEF"]
    assert texts[-2][0] == "published, ViT-B/32"
    last = table(shown).find_all("tr")[-1]
    assert all("grey" in cell["class"] for cell in last.find_all("td"))


def test_the_best_of_ours_is_bold_below_each_heading() -> None:
    bold = [cell.get_text() for cell in table(tables.show(LEVELS, "L", "l", best=["A", "B", "gone"])).find_all("b")]
    assert bold == ["small", ".950 [.900, .960]", "+.031 ± .010", "large", ".400 ± .020"]
    rule = pd.DataFrame([("small", "rule: take the first", "1.000 [0.996, 1.000]", "")], columns=LEVELS.columns)
    marked = table(tables.show(pd.concat([LEVELS, rule]), "L", "l", best=["A"])).find_all("b")
    assert "1.000 [.996, 1.000]" not in {cell.get_text() for cell in marked}


def test_seven_columns_are_shown_and_the_caption_names_the_others() -> None:
    frame = pd.DataFrame({name: [1.5, 2.5] for name in "abcdefghi"})
    shown = tables.show(frame, "Many", "many")
    assert rows(shown)[0] == list("abcdefg") == list(shown.text())
    assert repr(shown).startswith("Many (without: h, i)\n")
    assert table(shown).caption is not None and "without: h, i" in str(table(shown).caption)


@pytest.mark.parametrize("ends", [("low", "high"), ("ci_low", "ci_high")])
def test_ends_of_intervals_join_their_number(ends: tuple[str, str]) -> None:
    low, high = ends
    frame = pd.DataFrame(
        {"task": ["x", "y"], "value": [12.25, 1.0], low: [11.0, None], high: [13.5, None], "n": [1200, 3]}
    )
    shown = tables.show(frame, "Joined", "joined")
    assert rows(shown)[1:] == [["x", "12.250 ± 1.250", "1,200"], ["y", "1.000", "3"]]
    assert "number" in table(shown).find_all("td")[2]["class"]


def test_lines_of_a_cell_and_special_signs_are_kept() -> None:
    frame = pd.DataFrame({"claim": ["a < b"], "value": ["s: 0.090 [0.062, 0.117]\nb: 0.100 [0.062, 0.117]"]})
    shown = tables.show(frame, "Verdicts", "verdicts")
    assert "a &lt; b" in shown._repr_html_() and "s: .090 ± .028<br>b: .100 [.062, .117]" in shown._repr_html_()
    assert shown.text().loc[0, "value"] == "s: .090 ± .028; b: .100 [.062, .117]"


def test_an_empty_table_is_a_head() -> None:
    empty = tables.show(pd.DataFrame(columns=["architecture", "model", "A"]), "Nothing", "nothing")
    assert rows(empty) == [["model", "A"]] and empty.text().empty
