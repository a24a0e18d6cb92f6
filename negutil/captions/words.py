"""Counting words by white space, fast: on the bytes of a whole column instead of text by text.

A word is a maximal run of characters that are not white space in the sense of Unicode (its property White_Space), so
the count is that of the matches of ``\\S+`` in Rust's ``regex``, of ``str.split()`` in Python save for the separators
U+001C to U+001F, and of ``wc -w`` in a UTF-8 locale.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
# White space outside ASCII, in UTF-8: two bytes (next line, no-break space) or three.
WIDE_SPACES = "\x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"


def count(texts: pl.Series) -> int:
    """Words in all texts of a String series; null has none."""
    data, starts = _buffers(texts)
    space = _is_space(data)
    begins = np.empty_like(space)  # a word can begin after white space, and where a text begins
    begins[1:] = space[:-1]
    begins[starts] = True
    return int(np.count_nonzero(begins & ~space))


def _buffers(texts: pl.Series) -> tuple[Bytes, NDArray[np.int64]]:
    """The UTF-8 bytes of all texts in a row, and where each text that is not empty starts in them."""
    # A null may keep bytes of another text, so nulls go first.
    column = texts.drop_nulls().rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
    if not len(column):
        return np.empty(0, np.uint8), np.empty(0, np.int64)
    _, offset_buffer, data_buffer = column.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[column.offset : column.offset + len(column) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)[offsets[0] : offsets[-1]]
    return data, (offsets[:-1] - offsets[0])[offsets[1:] > offsets[:-1]]


def _is_space(data: Bytes) -> NDArray[np.bool_]:
    """For each byte whether it belongs to white space."""
    space = (data == ord(" ")) | (data - np.uint8(ord("\t")) <= ord("\r") - ord("\t"))
    for width in (2, 3):
        spellings = np.array([list(char.encode()) for char in WIDE_SPACES if len(char.encode()) == width], np.uint8)
        inner = data[: max(len(data) - width + 1, 0)]
        likely = np.flatnonzero((inner >= spellings[:, 0].min()) & (inner <= spellings[:, 0].max()))
        spelt = np.stack([data[likely + place] for place in range(width)], axis=1)
        found = likely[np.isin(_numbers(spelt), _numbers(spellings))]
        for place in range(width):
            space[found + place] = True
    return space


def _numbers(spellings: Bytes) -> NDArray[np.uint32]:
    """Each row of bytes [n, 2 or 3] as one number."""
    return spellings.astype(np.uint32) @ np.uint32(256) ** np.arange(spellings.shape[1], dtype=np.uint32)
