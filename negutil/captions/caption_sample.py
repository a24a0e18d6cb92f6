"""How well the term lists find negation: judged against captions that were labelled by hand.

``labelled_captions.csv`` beside this module holds captions in the manner of web alt texts, written and labelled by the
authors of this project (one labeller).  They were chosen for being hard, not drawn at random, so precision, recall and
shares here compare the lists with each other; they do not estimate how often anything occurs on the web.

    cue            1 where some word or affix negates, in any language, also in titles and in shop language ("NO
                   RESERVE"); 0 for look-alikes ("No. 5", "Dr. No", "Norway") and plain captions
    kind           word (no, never, ...), contraction (can't), lexical (lacks, sugar-free), affix (non-stick,
                   sleeveless), other language; or look-alike and plain, which are no cues
    about_picture  for cues: 1 where the negation says what is not to be seen in the picture, else 0
    note           why, where that is not plain
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import polars as pl

from negutil import files
from negutil.captions.negation_terms import TermList
from negutil.errors import NegutilError
from negutil.results import Record
from negutil.statistics import Interval, wilson
from negutil.tables import with_interval

SAMPLE = Path(__file__).with_name("labelled_captions.csv")
COLUMNS = ("caption", "cue", "kind", "about_picture", "note")
CUE_KINDS = ("word", "contraction", "lexical", "affix", "other language")


@dataclass(frozen=True, slots=True)
class Judgement:
    """One term list on labelled captions; the intervals are Wilson's over captions.

    ``precision``: captions with a cue, of those that the list flags; ``recall``: captions that it flags, of those with
    a cue; ``about_picture``: captions whose cue is about the picture, of those that it flags.
    """

    name: str
    precision: Interval
    recall: Interval
    about_picture: Interval


def load(path: Path = SAMPLE) -> pd.DataFrame:
    """The labelled captions [N] with COLUMNS; cue is bool, about_picture a nullable boolean (missing without a cue).

    Raises NegutilError where a column is missing or a label is not one of those allowed.
    """
    frame = files.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(frame.columns) != COLUMNS:
        raise NegutilError(f"{path} has the columns {list(frame.columns)}, not {list(COLUMNS)}: fix its first line.")
    cue, about = frame["cue"].eq("1"), frame["about_picture"]
    wrong = ~frame["cue"].isin(["0", "1"]) | (cue != about.isin(["0", "1"])) | (cue != frame["kind"].isin(CUE_KINDS))
    if wrong.any():
        line = int(wrong.to_numpy().argmax()) + 2
        raise NegutilError(f"{path}: the labels in line {line} contradict each other: fix cue, kind or about_picture.")
    return frame.assign(cue=cue, about_picture=about.map({"1": True, "0": False}).astype("boolean"))


def flags(captions: Sequence[str], lists: Sequence[TermList]) -> pd.DataFrame:
    """Whether each caption [N] holds a cue of each list: bool, one column per list."""
    texts = pl.Series(list(captions), dtype=pl.String).str.to_lowercase()
    return pd.DataFrame({terms.name: texts.str.contains(terms.pattern).to_numpy() for terms in lists})


def judge_sample(lists: Sequence[TermList]) -> list[Judgement]:
    """Precision, recall and share about the picture of every list; raises NegutilError where a list flags nothing."""
    labelled = load()
    flagged = flags(labelled["caption"].tolist(), lists)
    cue = labelled["cue"].to_numpy(dtype=bool)
    about = labelled["about_picture"].fillna(False).to_numpy(dtype=bool)
    judgements = []
    for name, hit in ((str(name), column.to_numpy(dtype=bool)) for name, column in flagged.items()):
        if not hit.any() or not cue.any():
            raise NegutilError(f"The term list {name} cannot be judged: no labelled caption has a cue or is flagged.")
        right, wanted = int((hit & cue).sum()), int((hit & about).sum())
        shares = wilson(right, int(hit.sum())), wilson(right, int(cue.sum())), wilson(wanted, int(hit.sum()))
        judgements.append(Judgement(name, *shares))
    return judgements


def table(judgements: Sequence[Judgement]) -> pd.DataFrame:
    """One row per list, with 95 % intervals and the number of captions behind each column."""

    def text(share: Interval) -> str:
        return with_interval(share.value, share.low, share.high, 2)

    rows = [
        {
            "terms": judged.name,
            "flagged": judged.precision.n,
            "precision": text(judged.precision),
            "captions with a cue": judged.recall.n,
            "recall": text(judged.recall),
            "about the picture, of the flagged": text(judged.about_picture),
        }
        for judged in judgements
    ]
    return pd.DataFrame(rows)


def found_by_kind(lists: Sequence[TermList]) -> pd.DataFrame:
    """Per kind of caption: how many there are (n), and how many each list flags."""
    labelled = load()
    flagged = flags(labelled["caption"].tolist(), lists).groupby(labelled["kind"], sort=False).sum()
    return pd.concat([labelled.groupby("kind", sort=False).size().rename("n"), flagged], axis=1).reset_index()


def mistakes(terms: TermList) -> pd.DataFrame:
    """The captions that the list flags without a cue ("false alarm") or passes over in spite of one ("missed")."""
    labelled = load()
    hit = flags(labelled["caption"].tolist(), [terms])[terms.name].to_numpy(dtype=bool)
    wrong = hit != labelled["cue"].to_numpy(dtype=bool)
    kinds = pd.Series(hit, labelled.index).map({True: "false alarm", False: "missed"})
    return labelled.assign(mistake=kinds)[wrong][["mistake", "caption", "kind", "note"]].reset_index(drop=True)


def records(judgements: Sequence[Judgement], experiment: str) -> list[Record]:
    """The judgements as records; the term list is the task, there is no model and no published number."""
    return [
        Record.of(getattr(judged, metric), experiment=experiment, task=judged.name, model="", metric=f"sample_{metric}")
        for judged in judgements
        for metric in ("precision", "recall", "about_picture")
    ]
