r"""How often captions hold negation: the caption ratio and the word ratio of NegationCLIP Table 1.

    caption ratio = captions with at least one cue / captions
    word ratio    = cue words / words

A caption is a text that is neither null nor blank (those are counted apart).  A word is a maximal run of characters
that are not white space in the sense of Unicode, as in ``wc -w`` and Rust's ``\S+``; what a cue word is,
``negutil.captions.negation_terms`` defines.  The paper does not publish its list of cues, so everything is counted for
several declared lists at once.

Counting is a sum over files, each streamed by polars: memory does not grow with the number of captions, and the counts
of a finished file are kept in the cache, so that an interrupted run over many shards resumes where it stopped.
See docs/protocols.md#web-captions.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from negutil import code, paths
from negutil.cache import Cache
from negutil.captions import caption_files, negation_terms
from negutil.captions.negation_terms import TermList
from negutil.data import engines
from negutil.data.engines import LOCAL, Engine
from negutil.errors import NegutilError
from negutil.results import Record
from negutil.statistics import Interval, wilson
from negutil.tables import with_interval

PUBLISHED = paths.CONFIGS / "published" / "negationclip_table1.csv"
PAPER_SOURCE = "NegationCLIP Table 1"
BATCH = 100_000
# White space outside ASCII, in UTF-8: two bytes (next line, no-break space) or three.
WIDE_SPACES = "\x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"


@dataclass(frozen=True, slots=True)
class CueCounts:
    """Cues of one term list: captions with any, cue words, their sum of squares per caption, and words by cue."""

    captions: int = 0
    words: int = 0
    squares: int = 0
    cues: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: CueCounts) -> CueCounts:
        cues = dict(Counter(self.cues) + Counter(other.cues))
        totals = self.captions + other.captions, self.words + other.words, self.squares + other.squares
        return CueCounts(*totals, cues)


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows read, those that are null or blank, words, and the cues by name of the term list."""

    rows: int
    null: int
    empty: int
    words: int
    lists: Mapping[str, CueCounts]

    @property
    def captions(self) -> int:
        """Texts that are neither null nor blank."""
        return self.rows - self.null - self.empty

    def __add__(self, other: Counts) -> Counts:
        lists = {name: counts + other.lists[name] for name, counts in self.lists.items()}
        rows, null, empty = self.rows + other.rows, self.null + other.null, self.empty + other.empty
        return Counts(rows, null, empty, self.words + other.words, lists)


def count(texts: pl.LazyFrame, lists: Sequence[TermList]) -> Counts:
    """Count the one String column of a lazy frame, batch by batch."""
    total = Counts(0, 0, 0, 0, {terms.name: CueCounts() for terms in lists})
    for batch in texts.collect_batches(chunk_size=BATCH, engine="streaming"):
        column = batch.to_series()
        # The fast search for stems leaves few texts for the exact but slower patterns.
        likely = column.filter(column.str.contains("|".join(terms.stems for terms in lists))).str.to_lowercase()
        counts = {}
        for terms in lists:
            matches = likely.str.extract_all(terms.pattern)
            sizes = matches.list.len()
            cues: Counter[str] = Counter()
            for spelling, number in matches.explode(empty_as_null=False).value_counts().iter_rows():
                cues[negation_terms.normalise(spelling)] += number
            squares = int((sizes * sizes).sum())
            counts[terms.name] = CueCounts(int((sizes > 0).sum()), cues.total(), squares, dict(sorted(cues.items())))
        empty = int((~column.str.contains(r"\S")).sum())
        total += Counts(len(column), column.null_count(), empty, count_words(column), counts)
    return total


def count_texts(texts: Iterable[str | None], lists: Sequence[TermList]) -> Counts:
    """Count texts that are in memory."""
    return count(pl.LazyFrame({"text": list(texts)}, schema={"text": pl.String}), lists)


class FileCounter:
    """Counts one file after another: the work of either engine (``negutil.data.engines``)."""

    def __init__(self, lists: Sequence[TermList], column: str | None = None, fresh: bool = False) -> None:
        self._lists, self._column, self._fresh = lists, column, fresh

    def __call__(self, shard: Mapping[str, Any]) -> dict[str, Any]:
        """The counts of the file ``shard["file"]`` as plain values, from the cache where they are there."""
        path = Path(shard["file"])

        def compute() -> dict[str, np.ndarray]:
            texts = caption_files.scan(path, self._column)
            with caption_files.reading(path):
                counted = count(texts, self._lists)
            return {"json": np.frombuffer(json.dumps(asdict(counted)).encode(), dtype=np.uint8)}

        state = path.stat()
        fields = {
            "kind": "caption counts",
            "code_version": code.fingerprint(__name__),
            "file": str(path.resolve()),
            "bytes": state.st_size,
            "changed": state.st_mtime_ns,
            "column": self._column,
            "patterns": {terms.name: terms.pattern for terms in self._lists},
        }
        stored = compute() if self._fresh else Cache().get_or_compute(fields, compute)
        plain: dict[str, Any] = json.loads(stored["json"].tobytes())
        return plain


def count_files(
    given: Iterable[str | Path],
    lists: Sequence[TermList],
    column: str | None = None,
    fresh: bool = False,
    engine: Engine = LOCAL,
) -> Counts:
    """Count the captions of files, folders and patterns together, here or by the workers of ``engine``.

    A file counted before (same path, size and time of change, same column and terms) is taken from the cache unless
    ``fresh``. Raises NegutilError if a file cannot be read, or where there is no caption in any of them.
    """
    # Not where a link leads: in a hub's cache the files themselves have no endings.
    files = [file.absolute() for file in caption_files.find(given)]
    settings = {"lists": lists, "column": column, "fresh": fresh}
    shards = [{"file": str(file)} for file in files]
    sizes = [file.stat().st_size for file in files]
    counted = engines.each(engine, FileCounter, settings, shards, what="counting captions", sizes=sizes)
    for plain in counted:
        plain["lists"] = {name: CueCounts(**cues) for name, cues in plain["lists"].items()}
    total = reduce(Counts.__add__, (Counts(**plain) for plain in counted))
    if not total.captions:
        names = ", ".join(str(file) for file in files[:3])
        raise NegutilError(f"{names} has no captions ({total.rows} rows, none with text): check the column.")
    return total


def caption_ratio(counts: Counts, name: str) -> Interval:
    """Share of captions with a cue of the list ``name``, with its Wilson interval."""
    return wilson(counts.lists[name].captions, counts.captions)


def word_ratio(counts: Counts, name: str) -> Interval:
    """Share of cue words among all words, with a Wilson interval.

    Cue words come in clusters ("no ifs, no buts"), so the interval is that of n / d words, where d, the sum of squares
    of cue words per caption over their sum, is how much the clusters widen the variance of a rare count.
    """
    cues = counts.lists[name]
    spread = cues.squares / cues.words if cues.words else 1.0
    bounds = wilson(round(cues.words / spread), max(1, round(counts.words / spread)))
    return Interval(cues.words / counts.words, bounds.low, bounds.high, counts.words, "clusters")


def table(counts: Counts, digits: int = 3) -> pd.DataFrame:
    """One row per term list: counts, and both ratios in percent as texts with their 95 % intervals."""

    def percent(ratio: Interval) -> str:
        return with_interval(100 * ratio.value, 100 * ratio.low, 100 * ratio.high, digits)

    rows = [
        {
            "terms": name,
            "captions": counts.captions,
            "with a cue": cues.captions,
            "caption ratio %": percent(caption_ratio(counts, name)),
            "words": counts.words,
            "cue words": cues.words,
            "word ratio %": percent(word_ratio(counts, name)),
        }
        for name, cues in counts.lists.items()
    ]
    return pd.DataFrame(rows)


def cue_table(counts: Counts) -> pd.DataFrame:
    """Cue words by cue (rows, most frequent first) and term list (columns; missing where the list has no such cue)."""
    frame = pd.DataFrame({name: pd.Series(cues.cues, dtype="Int64") for name, cues in counts.lists.items()})
    frame = frame.rename_axis("cue").reset_index()
    return frame.sort_values([*reversed(list(counts.lists)), "cue"], ascending=False, ignore_index=True)


def summary(counts: Counts) -> dict[str, Any]:
    """Everything as plain JSON values; ratios are shares, not percent."""
    lists = {}
    for name, cues in counts.lists.items():
        by_captions, by_words = caption_ratio(counts, name), word_ratio(counts, name)
        lists[name] = {
            "captions_with_cue": cues.captions,
            "caption_ratio": by_captions.value,
            "caption_ratio_ci": [by_captions.low, by_captions.high],
            "cue_words": cues.words,
            "word_ratio": by_words.value,
            "word_ratio_ci": [by_words.low, by_words.high],
            "cues": dict(sorted(cues.cues.items(), key=lambda item: (-item[1], item[0]))),
        }
    totals = {name: getattr(counts, name) for name in ("rows", "null", "empty", "captions", "words")}
    return {**totals, "lists": lists}


def report(counts: Counts) -> str:
    """The table, the cues and what was left out, as text for a terminal."""
    heading = f"{counts.captions:,} captions with {counts.words:,} words"
    left_out = f"left out: {counts.null:,} null and {counts.empty:,} empty texts of {counts.rows:,} rows"
    lists = table(counts).to_string(index=False)
    cues = cue_table(counts).astype(object).fillna("").to_string(index=False)
    return f"{heading} ({left_out}); 95 % intervals in brackets\n\n{lists}\n\nCue words by cue\n{cues}"


def published() -> dict[str, float]:
    """The numbers of NegationCLIP Table 1 by metric, ratios as shares."""
    frame = pd.read_csv(PUBLISHED)
    scale = frame["unit"].str.startswith("percent").map({True: 0.01, False: 1.0})
    return dict(zip(frame["metric"], frame["value"] * scale, strict=True))


def records(counts: Counts, experiment: str) -> list[Record]:
    """Both ratios of every term list as records, beside the paper's; the term list is the task, there is no model."""
    paper = published()
    ratios = {"caption_ratio": caption_ratio, "word_ratio": word_ratio}
    made = []
    for name in counts.lists:
        about = {"experiment": experiment, "task": name, "model": "", "paper_source": PAPER_SOURCE}
        for metric, ratio in ratios.items():
            made.append(Record.of(ratio(counts, name), metric=metric, paper_value=paper[metric], **about))
    return made


def count_words(texts: pl.Series) -> int:
    """Words in all texts of a String series, counted on the bytes of the whole column, which is fast; null has none."""
    # A null may keep bytes of another text, so nulls go first.
    column = texts.drop_nulls().rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
    if not len(column):
        return 0
    _, offset_buffer, data_buffer = column.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[column.offset : column.offset + len(column) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)[offsets[0] : offsets[-1]]
    # Where each text that is not empty starts in the UTF-8 bytes of all.
    starts = (offsets[:-1] - offsets[0])[offsets[1:] > offsets[:-1]]
    space = (data == ord(" ")) | (data - np.uint8(ord("\t")) <= ord("\r") - ord("\t"))
    for width in (2, 3):
        spellings = np.array([list(char.encode()) for char in WIDE_SPACES if len(char.encode()) == width], np.uint8)
        inner = data[: max(len(data) - width + 1, 0)]
        likely = np.flatnonzero((inner >= spellings[:, 0].min()) & (inner <= spellings[:, 0].max()))
        spelt = np.stack([data[likely + place] for place in range(width)], axis=1)
        wide = likely[np.isin(_numbers(spelt), _numbers(spellings))]
        for place in range(width):
            space[wide + place] = True
    begins = np.empty_like(space)  # a word can begin after white space, and where a text begins
    begins[1:] = space[:-1]
    begins[starts] = True
    return int(np.count_nonzero(begins & ~space))


def _numbers(spellings: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Each row of bytes [n, 2 or 3] as one number."""
    return spellings.astype(np.uint32) @ np.uint32(256) ** np.arange(spellings.shape[1], dtype=np.uint32)
