"""Figures: one look, distinct colours and markers, and files whose bytes are stable."""

from __future__ import annotations

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from negutil import paths
from negutil.plots import figures


def draw() -> Figure:
    figures.style()
    figure, axes = plt.subplots(figsize=(3, 2))
    for row in np.random.default_rng(0).random((3, 5)):
        axes.plot(row, label=f"{row[0]:.2f}")
    axes.legend()
    axes.set_title("a title")
    return figure


def test_a_pdf_is_written_on_request_alone_and_has_no_date(monkeypatch: pytest.MonkeyPatch) -> None:
    path = figures.save(draw(), "quick", "00_world", "lines").with_suffix(".pdf")
    assert not path.exists()
    (variable,) = re.findall(r"(NEGUTIL_\w+)=1 \./run_all\.sh adds a PDF", (paths.ROOT / "run_all.sh").read_text())
    monkeypatch.setenv(variable, "1")
    figures.save(draw(), "quick", "00_world", "lines")
    assert path.read_bytes().startswith(b"%PDF") and b"CreationDate" not in path.read_bytes()


def test_saved_twice_gives_the_same_bytes_without_dates() -> None:
    first = figures.save(draw(), "quick", "00_world", "lines")
    bytes_of = {path.suffix: path.read_bytes() for path in (first, first.with_suffix(".svg"))}
    plt.close("all")
    again = figures.save(draw(), "quick", "00_world", "lines")
    assert again == first
    for suffix, data in bytes_of.items():
        assert first.with_suffix(suffix).read_bytes() == data, suffix
    assert b"<dc:date>" not in bytes_of[".svg"]
    assert bytes_of[".png"].startswith(b"\x89PNG")


def test_saving_leaves_the_figure_open_for_the_notebook() -> None:
    plt.close("all")
    figure = draw()
    figures.save(figure, "quick", "00_world", "lines")
    assert plt.get_fignums() == [figure.number]
    plt.close("all")


def test_lines_differ_in_colour_and_in_marker() -> None:
    lines = draw().axes[0].get_lines()
    plt.close("all")
    assert len({line.get_color() for line in lines}) == len(lines) == 3
    assert len({line.get_marker() for line in lines}) == 3
    assert len(set(figures.PALETTE)) == len(set(figures.MARKERS)) == len(figures.PALETTE)


def test_a_figure_without_anything_to_show_is_not_written() -> None:
    path = figures.save(figures.nothing(), "mini", "09_test", "empty")
    assert not path.exists() and not path.with_suffix(".svg").exists()
    plt.close("all")


def test_a_figure_with_pictures_is_a_png_alone() -> None:
    figures.style()
    figure, (left, right) = plt.subplots(1, 2)
    left.imshow(np.zeros((4, 4)))
    path = figures.save(figure, "quick", "00_world", "shown")
    assert path.with_suffix(".svg").exists(), "a matrix is drawn"
    right.imshow(np.zeros((4, 4, 3)))
    assert figures.save(figure, "quick", "00_world", "shown") == path
    assert not path.with_suffix(".svg").exists()
    plt.close("all")
