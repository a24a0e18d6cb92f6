"""SimpleNeg: do the first images for "a desk with no lamp" show a desk, and no lamp? (arXiv 2603.20554)

No image is the gold one: whatever satisfies the query is right. Of published queries a vision-language model judges
the first images in two steps (``by_annotator``); where it is known what images show, that decides. The benchmark's
argument against recall is tested by ``satisfying``: how many images besides the gold one a negated query of a
retrieval benchmark is true of, and what recall is where they count as right. See docs/protocols.md#simpleneg.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset
from numpy.typing import NDArray

from negutil import statistics
from negutil.captions import annotators, exclusion, sentence_forms, statements
from negutil.captions.annotators import VisionAnnotator
from negutil.config import Profile
from negutil.data import coco, source
from negutil.errors import NegutilError
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Features, Scorer
from negutil.results import Record
from negutil.statistics import Floats
from negutil.tasks import Frames, Report, Task

Flags = NDArray[np.bool_]
TITLE = "SimpleNeg"
TOP_1, TOP_5, KNOWING_X = "top-1", "top-5", "top-1 knowing X alone"
FIRST = 5
MOST = 300
"""Queries in the mini world, one for each pair (X, Y); the published file has 900."""


@dataclass(frozen=True, slots=True)
class Query:
    """A text that wants a context and denies a thing."""

    text: str
    context: str
    denied: str
    cue: str


@dataclass(frozen=True, slots=True)
class Items:
    """Queries, the gallery, and which of its images show each noun (bool [N])."""

    queries: tuple[Query, ...]
    pictures: PictureFiles
    there: Mapping[str, Flags]

    def right(self) -> Flags:
        """Return which images satisfy each query, bool [Q, N]: the context is there and the denied thing is not."""
        return np.stack([self.there[each.context] & ~self.there[each.denied] for each in self.queries])


class SimpleNeg(Task):
    """Queries of the mini world, judged by its truth, or of Flickr8k, judged by what captions name."""

    title, metric, counts, guess = TITLE, TOP_1, "queries", "share of images"
    in_suite = False

    def read(self, settings: Profile) -> Items:
        """Return the queries and the test images; raises NegutilError for published data, which need a judge."""
        folder = source.folder(settings, "coco")
        if not source.is_built(folder):
            raise NegutilError("What published photographs show is not known: judge them with an annotator.")
        captions, instances = (folder / "annotations" / f"{kind}_test2017.json" for kind in ("captions", "instances"))
        rows = coco.load(captions, instances, folder / "test2017")
        there = exclusion.labels(rows["categories"][:], rows["supercategories"][:], rows["implied"][:])
        return Items(queries(there, seed=settings.world.seed), PictureFiles.of(rows), there)

    def texts(self, rows: Items) -> list[str]:
        """Return the queries."""
        return [query.text for query in rows.queries]

    def pictures(self, rows: Items) -> list[PictureFiles]:
        """Return the gallery."""
        return [rows.pictures]

    def score(self, scorer: Scorer, rows: Items, *images: Features) -> Frames:
        """Return the rows of ``answers``."""
        scorer.remember(self.texts(rows))
        return {TITLE: answers(rows, scorer.matrix(self.texts(rows), images[0]))}

    def chance(self, rows: Items) -> dict[tuple[str, str], float]:
        """Return the mean share of images that satisfy a query."""
        share = float(rows.right().mean())
        return {(TITLE, TOP_1): share, (TITLE, TOP_5): share}

    def shares(self, title: str, frame: pd.DataFrame, report: Report) -> list[Record]:
        """Return the share of first images that satisfy their query, and the mean share of the first five.

        They are compared with the expectation of a ranking that puts all images with X first and ignores Y.
        """
        metrics = {TOP_5: "share", KNOWING_X: "context_share"}
        means = {
            metric: statistics.bootstrap_mean(frame[column], resamples=report.resamples, seed=report.seed)
            for metric, column in metrics.items()
        }
        return [*report.shares(frame, title, TOP_1), *(report.record(title, *each) for each in means.items())]

    def count(self, rows: Items) -> int:
        """Return the number of queries."""
        return len(rows.queries)

    def facts(self, rows: Items) -> list[list[str]]:
        """Return every query with what it wants and denies."""
        return [[query.text, query.context, query.denied] for query in rows.queries]


def queries(there: Mapping[str, Flags], most: int = MOST, seed: int = 0) -> tuple[Query, ...]:
    """Queries "X without Y" for things that occur together and apart, a pair (X, Y) each, in wordings drawn at random.

    ``there`` says for each noun which of the N images show it. Raises NegutilError if no two things do.
    """
    rng = random.Random(f"simpleneg/{seed}")
    made = []
    for context, denied in exclusion.pairs(there, 1, most, seed):
        form = rng.choice(sentence_forms.EXCLUDING)
        text = sentence_forms.fill(form, statements.with_article(context), denied)
        made.append(Query(text, context, denied, form.cue))
    return tuple(made)


def answers(rows: Items, scores: Floats) -> pd.DataFrame:
    """Return one row per query for ``scores`` [Q, N] of all images; among equal ones the wrong images come first.

    Columns: item, cluster (the pair), type, cue, right (whether the first image is), share (of the first FIRST that
    are), context_share (of the images with the context that are).
    """
    right = rows.right()
    context = np.array([rows.there[query.context].sum() for query in rows.queries])
    first = np.lexsort((right, -scores), axis=1)[:, :FIRST]
    hits = np.take_along_axis(right, first, axis=1)
    about = {
        "item": [query.text for query in rows.queries],
        "cluster": [f"{query.context} without {query.denied}" for query in rows.queries],
        "type": "",
        "cue": [query.cue for query in rows.queries],
    }
    shares = {"share": hits.mean(axis=1), "context_share": right.sum(axis=1) / context}
    return pd.DataFrame(about).assign(right=hits[:, 0], **shares)


def by_annotator(judge: VisionAnnotator, entries: Dataset, first: Sequence[Sequence[Path]]) -> pd.DataFrame:
    """Judge the first images of published queries as the benchmark does, by a vision-language model in two steps.

    ``entries`` are those of ``negutil.data.simpleneg.load``, ``first`` the paths of the images that rank first for
    each, best first. An image is right where the answer to the question about the context is yes and then that about
    what is denied is no; one whose reply cannot be read is not. Columns: item, right (the first one), share, unread.
    """
    if len(first) != len(entries) or not all(first):
        raise NegutilError(f"{len(entries)} queries have the first images of {len(first)}: give one or more for each.")
    flat = [(row, path) for row, paths in enumerate(first) for path in paths]
    context = _replies(judge, entries["context_question"][:], flat)
    asked = [pair for pair, reply in zip(flat, context, strict=True) if reply]
    denied = dict(zip(asked, _replies(judge, entries["denied_question"][:], asked), strict=True))
    table = pd.DataFrame({"row": [row for row, _ in flat], "right": [denied.get(pair) is False for pair in flat]})
    table["unread"] = [
        reply is None or (reply and denied[pair] is None) for pair, reply in zip(flat, context, strict=True)
    ]
    by_query = table.groupby("row")
    judged = pd.DataFrame({"item": entries["query"][:], "right": by_query["right"].first()})
    return judged.assign(share=by_query["right"].mean(), unread=by_query["unread"].sum()).reset_index(drop=True)


def _replies(judge: VisionAnnotator, questions: Sequence[str], asked: Sequence[tuple[int, Path]]) -> list[bool | None]:
    texts = [f"{questions[row]} Reply with yes or no only." for row, _ in asked]
    return [annotators.yes_no(reply) for reply in judge.answer([path for _, path in asked], texts)] if asked else []


# --------------------------------------------------------------------------------------------------------------------
# The argument against recall


def satisfying(affirmed: Sequence[Sequence[str]], denied: Sequence[Sequence[str]], there: Mapping[str, Flags]) -> Flags:
    """Return which of the N images satisfy each query, bool [Q, N]: all that it affirms is there, nothing that it
    denies is.

    Things are nouns of ``there`` (bool [N]); a noun that is not known satisfies nothing. Colours, places and numbers do
    not count, so this is an upper bound.
    """
    count = len(next(iter(there.values())))
    flags = np.ones((len(affirmed), count), dtype=bool)
    for row, (wanted, unwanted) in enumerate(zip(affirmed, denied, strict=True)):
        for noun in wanted:
            flags[row] &= there.get(noun, np.zeros(count, dtype=bool))
        for noun in unwanted:
            flags[row] &= ~there.get(noun, np.zeros(count, dtype=bool))
    return flags


def recall_of_any(scores: Floats, gold: Sequence[int], satisfied: Flags, k: int = FIRST) -> pd.DataFrame:
    """Return for each query: others (how many images satisfy it besides its ``gold`` one), gold (whether that is
    among the first ``k`` of its ``scores`` [Q, N]), any (whether any image that satisfies it is, or the gold one).
    """
    rows = np.arange(len(gold))
    true = satisfied.copy()
    others = true.sum(axis=1) - true[rows, gold]
    true[rows, gold] = True
    first = np.lexsort((true, -scores), axis=1)[:, :k]
    found = np.take_along_axis(true, first, axis=1).any(axis=1)
    recalled = (scores >= scores[rows, gold][:, None]).sum(axis=1) <= k
    return pd.DataFrame({"others": others, "gold": recalled, "any": found})


TASKS = (SimpleNeg(),)
