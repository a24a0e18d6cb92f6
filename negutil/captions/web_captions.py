"""Notebook 01: how rare negation is in what CLIP reads, and what it is about (NegationCLIP Table 1 and Fig. 2).

The counting is in ``caption_statistics``, the labelled sample in ``caption_sample``
(docs/protocols.md#web-captions).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

from negutil import results
from negutil.captions import caption_files, caption_sample, caption_statistics, english, negation_terms
from negutil.captions.caption_sample import Judgement
from negutil.captions.caption_statistics import Counts
from negutil.captions.negation_terms import TermList
from negutil.config import Profile
from negutil.data import source
from negutil.data.source import Example
from negutil.models.pictures import read_rgb
from negutil.statistics import wilson
from negutil.tables import with_interval

EXPERIMENT = "01_web_captions"
READ_FOR_EXAMPLES = 200_000
NUMBERS = ("No. 5: {text}", "{text} - no 12 of our series")
KINDS = {
    english.ABOUT_PICTURE: "about the picture",
    "aside": "an aside of the web",
    "number": "a number (“No. 5”)",
    "language": "another language",
}


@dataclass(frozen=True, slots=True)
class Findings:
    """What ``run`` leaves for the notebook: the counts of all lists, and each list judged on the labelled sample."""

    counts: Counts
    judgements: list[Judgement]


def run(settings: Profile) -> Findings:
    """Count all lists over all shards, judge them on the labelled sample, and save both with the per-item flags.

    Raises NegutilError where the shards cannot be read.
    """
    lists = negation_terms.load()
    counts = caption_statistics.count_files([source.folder(settings, "laion")], lists)
    judgements = caption_sample.judge_sample(lists)
    results.save(caption_statistics.records(counts, EXPERIMENT), settings.name, EXPERIMENT, "statistics")
    results.save(caption_sample.records(judgements, EXPERIMENT), settings.name, EXPERIMENT, "sample")
    sample = caption_sample.load()
    flagged = caption_sample.flags(sample["caption"].tolist(), lists)
    results.save_items(pd.concat([sample, flagged], axis=1), settings.name, EXPERIMENT, "sample")
    return Findings(counts, judgements)


def shards(settings: Profile) -> pd.DataFrame:
    """The files that are counted: name, rows, megabytes."""
    files = caption_files.find([source.folder(settings, "laion")])
    rows = [pl.scan_parquet(file).select(pl.len()).collect().item() for file in files]
    sizes = [file.stat().st_size / 1e6 for file in files]
    return pd.DataFrame({"file": [file.name for file in files], "rows": rows, "MB": sizes})


def examples(settings: Profile, terms: TermList, seed: int, count: int = 12) -> list[Example]:
    """``count`` captions with a cue, each with its picture: as many kinds as there are, one about the picture if any.

    Only rows whose URL is a file of the folder have a picture (the published shards have none: blank then).
    """
    folder = source.folder(settings, "laion")
    rows = list(_flagged(folder, terms).sample(fraction=1, shuffle=True, seed=seed).iter_rows())
    rows = [row for row in rows if (folder / row[0]).is_file()] or rows
    turns: Counter[str] = Counter()
    ordered = []
    for place, (url, text) in enumerate(rows):
        kind = english.kind_of_cue(text)
        ordered.append((turns[kind], kind != english.ABOUT_PICTURE, place, url, text))
        turns[kind] += 1
    chosen = sorted(sorted(ordered)[:count], key=lambda row: row[2])
    blank = np.full((64, 64, 3), 245, dtype=np.uint8)
    files = [(folder / url, text) for *_, url, text in chosen]
    return [Example(np.asarray(read_rgb(file)) if file.is_file() else blank, text) for file, text in files]


def kinds_of_cues(settings: Profile, terms: TermList) -> pd.DataFrame:
    """What the flagged captions of the mini world say, by the truth of its generator: kind, captions, share.

    Empty for shards that were not made here, of which nobody knows it.
    """
    folder = source.folder(settings, "laion")
    if not source.is_drawn(folder):
        return pd.DataFrame({"kind": [], "captions": [], "share": []})
    foreign, counts = frozenset(source.world().foreign_texts()), Counter[str]()
    for text in _flagged(folder, terms, None)["TEXT"]:
        kind = english.kind_of_cue(text)
        other = kind if kind == english.ABOUT_PICTURE else "number" if kind in NUMBERS else "aside"
        counts["language" if text in foreign else other] += 1
    rows = []
    for kind, label in KINDS.items():
        share = wilson(counts[kind], counts.total())
        rows.append((label, counts[kind], with_interval(share.value, share.low, share.high)))
    return pd.DataFrame(rows, columns=["kind", "captions", "share"])


def beside_the_paper(counts: Counts) -> pd.DataFrame:
    """Every list and the paper's row: captions, both ratios in percent with intervals, and what follows from them."""
    paper = caption_statistics.published()
    rows = caption_statistics.table(counts)
    rows["words per caption"] = counts.words / counts.captions
    rows["cue words per caption with a cue"] = rows["cue words"] / rows["with a cue"]
    last = {
        "terms": "NegationCLIP (list not published)",
        "captions": int(paper["captions"]),
        "with a cue": int(paper["captions_with_cue"]),
        "caption ratio %": f"{100 * paper['caption_ratio']:.2f}",
        "words": int(paper["words"]),
        "cue words": int(paper["cue_words"]),
        "word ratio %": f"{100 * paper['word_ratio']:.2f}",
        "words per caption": paper["words"] / paper["captions"],
        "cue words per caption with a cue": paper["cue_words"] / paper["captions_with_cue"],
    }
    return pd.concat([rows, pd.DataFrame([last])], ignore_index=True)


def _flagged(folder: Path, terms: TermList, most: int | None = READ_FOR_EXAMPLES) -> pl.DataFrame:
    """Rows (URL, TEXT) with a cue of the list, among the first ``most`` rows of all shards (None: among all)."""
    frame = pl.scan_parquet(caption_files.find([folder]))
    frame = frame if most is None else frame.head(most)
    cue = pl.col("TEXT").str.to_lowercase().str.contains(terms.pattern)
    return frame.filter(cue).select("URL", "TEXT").collect(engine="streaming")
