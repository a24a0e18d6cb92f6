"""The learning curve of a training: means over the last steps, written to a CSV file as the training goes."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

COLUMNS = ("step", "loss", "accuracy", "lr", "logit_scale", "images_per_second", "validation_r_at_1")


class Curve:
    """Collects the numbers of each step; :meth:`write` appends their means as one row.

    A continued training gives the step it continues from as ``done``: later rows of the file are dropped.
    """

    def __init__(self, path: Path, done: int) -> None:
        self.path = path
        self._reset()
        rows = _rows_until(path, done)
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *rows])

    def add(self, numbers: Mapping[str, float], images: int, seconds: float) -> None:
        """Note one step: its ``loss``, ``accuracy``, ``lr`` and ``logit_scale``, its size and how long it took."""
        for key, value in numbers.items():
            self._sums[key] = self._sums.get(key, 0.0) + value
        self._steps += 1
        self._images += images
        self._seconds += seconds

    def note_validation(self, r_at_1: float) -> None:
        """Note the held-out recall that belongs to the row written next."""
        self._validation = f"{r_at_1:.4f}"

    def write(self, step: int) -> str:
        """Append the row that ends at ``step`` and return it as words for the progress bar."""
        mean = {key: value / self._steps for key, value in self._sums.items()}
        rate = self._images / self._seconds
        numbers = (f"{mean['loss']:.5f}", f"{mean['accuracy']:.4f}", f"{mean['lr']:.3e}", f"{mean['logit_scale']:.3f}")
        with self.path.open("a", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerow([step, *numbers, f"{rate:.1f}", self._validation])
        words = f"loss {mean['loss']:.3f}, accuracy {mean['accuracy']:.2f}, {rate:.0f} images/s"
        words += f", validation R@1 {self._validation}" if self._validation else ""
        self._reset()
        return words

    def _reset(self) -> None:
        self._sums: dict[str, float] = {}
        self._steps = self._images = 0
        self._seconds = 0.0
        self._validation = ""


def _rows_until(path: Path, done: int) -> list[list[str]]:
    if done == 0 or not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return [row for row in csv.reader(stream) if row and row[0].isdigit() and int(row[0]) <= done]
