"""What notebook 03 shows: single questions and queries with their pictures, and tables in the shape of its figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from negutil.captions.negbench_files import PLAIN as PLAINLY
from negutil.captions.negbench_files import VARIATIONS
from negutil.captions.statements import with_article
from negutil.compare import negation_beyond
from negutil.compare.negation_beyond import Gallery
from negutil.compare.negbench import BLIND
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models import encode, loader, scorer, video
from negutil.models.pictures import PictureFiles
from negutil.plots.figures import Ranked
from negutil.plots.negbench import NEGATED, PLAIN, Card
from negutil.tasks import exclusion, mcq, negbench_items
from negutil.tasks.negbench_items import Queries, Questions, Task

SHOWN_TYPES = ("positive", "negative", "hybrid")


def find(tasks: Sequence[Task], title: str) -> Task | None:
    """The variation called ``title``, None where its published file is missing.

    Raises NegutilError that lists the others where NegBench has none of that name.
    """
    for task in tasks:
        if task.variation.title == title:
            return task
    known = [variation.title for variation in (*PLAINLY, *VARIATIONS)]
    if title in known:
        return None
    raise NegutilError(f"There is no variation {title!r} here: choose among {', '.join(known)}.")


def files(tasks: Sequence[Task]) -> pd.DataFrame:
    """What is asked: a row per variation with its numbers of items, of pictures or clips, and one sentence of it."""
    rows = []
    for task in tasks:
        count = len(task.captions) if isinstance(task, Queries) else len(task.options)
        sentence = task.texts[0]
        rows.append((task.variation.title, count, len(task.media), sentence))
    return pd.DataFrame(rows, columns=["variation", "items", "pictures or clips", "its first sentence"])


def cards(settings: Profile, task: Task | None, model: str, kinds: Sequence[str] = SHOWN_TYPES) -> list[Card]:
    """The first question of each type of ``kinds`` with the scores that a model gives to its options.

    None where there are no questions (``find``).
    """
    if not isinstance(task, Questions):
        return []
    types = task.types or [""] * len(task.options)
    rows = [types.index(kind) for kind in kinds if kind in types]
    asked = Questions(
        task.variation,
        tuple(task.media[task.rows[row]] for row in rows),
        tuple(task.names[task.rows[row]] for row in rows),
        np.arange(len(rows)),
        [task.options[row] for row in rows],
        task.correct[rows],
        [types[row] for row in rows],
    )
    clip, batch = loader.load(model), settings.encode.batch
    images = negbench_items.encode_media(clip, asked.media, batch).of(asked.media)
    scores = mcq.scores_by(scorer.of(clip, batch), asked.options, images)
    pictures = [picture(path) for path in asked.media]
    told = zip(pictures, asked.options, scores, asked.correct, asked.types or (), strict=True)
    return [Card(shown, texts, list(values), int(right), kind) for shown, texts, values, right, kind in told]


def picture(path: object) -> np.ndarray:
    """A picture, or the first of a clip's sampled frames, uint8 [H, W, 3]."""
    name = str(path)
    return video.frames(name)[0] if name.endswith(".mp4") else np.asarray(PictureFiles([name])[0])


def exclusions(settings: Profile, asked: Gallery | None, model: str, form: str, count: int = 3) -> list[Ranked]:
    """The top five pictures for the first ``count`` queries of a wording, about different things, right ones marked.

    Right are the pictures with X and without Y; what is wrong with another is written below it. Empty without gallery.
    """
    if asked is None:
        return []
    queries = list({query.wanted: query for query in reversed(asked.queries) if query.form == form}.values())[-count:]
    loaded, batch = loader.load(model), settings.encode.batch
    texts = encode.texts(loaded, [query.text for query in queries], batch=batch)
    best = exclusion.best(texts, encode.images(loaded, asked.pictures, batch=batch))
    found = []
    for query, rows in zip(queries, best, strict=True):
        wanted, excluded = asked.there[query.wanted][rows], asked.there[query.excluded][rows]
        wrong = np.where(excluded, f"has a {query.excluded}", f"has no {query.wanted}")
        titles = np.where(wanted & ~excluded, "", wrong).tolist()
        pictures = [np.asarray(asked.pictures[int(row)]) for row in rows]
        found.append(Ranked(query.text, pictures, (wanted & ~excluded).tolist(), titles))
    return found


def with_and_without_no(settings: Profile, gallery: Gallery | None, model: str) -> list[Ranked]:
    """The top five pictures for "an X" and for "no X", right ones marked; X is the first of ``top_nouns``.

    Empty without a gallery, or where no noun has enough pictures.
    """
    chosen = negation_beyond.top_nouns(gallery.there)[:1] if gallery else []
    if gallery is None or not chosen:
        return []
    (noun,), ranked = chosen, negation_beyond.top_pictures(settings, gallery, model, chosen)
    named, found = with_article(noun), []
    for kind, query in negation_beyond.with_and_without(noun).items():
        (rows,) = ranked[kind]
        shown = gallery.there[noun][rows]
        right = shown if kind == negation_beyond.WITH else ~shown
        titles = np.where(right, "", f"has {named}" if kind == negation_beyond.WITHOUT else f"has no {noun}").tolist()
        pictures = [np.asarray(gallery.pictures[int(row)]) for row in rows]
        found.append(Ranked(query, pictures, right.tolist(), titles, f"{shown.sum()} of {len(rows)} show {named}"))
    return found


# --------------------------------------------------------------------------------------------------------------------
# Tables in the shape of the figures


def by_type(table: pd.DataFrame, models: Sequence[str], wording: str = "paraphrased") -> pd.DataFrame:
    """Accuracy by type with columns dataset, model, type, value, low, high, in the order of the paper's figure."""
    rows = _accuracies(table, wording)
    return rows[rows["model"].isin(models)]


def blind_by_type(table: pd.DataFrame, wording: str = "paraphrased", rules: Sequence[str] = ()) -> pd.DataFrame:
    """The blind baselines in the same shape, with a column baseline; ``rules`` chooses among them."""
    rows = _accuracies(table, wording)
    rows = rows[rows["model"].str.startswith(BLIND)]
    named = rows.assign(baseline=rows["model"].str.removeprefix(BLIND))
    return named[named["baseline"].isin(rules)] if rules else named


def _accuracies(table: pd.DataFrame, wording: str) -> pd.DataFrame:
    """Rows in the order of the datasets in ``table``, and of SHOWN_TYPES within each."""
    rows = table[table["metric"].str.startswith("accuracy on ") & table["task"].str.endswith(f" MCQ, {wording}")]
    datasets, kinds = rows["task"].str.removesuffix(f" MCQ, {wording}"), rows["metric"].str.removeprefix("accuracy on ")
    order = pd.DataFrame({"dataset": pd.factorize(datasets)[0], "type": kinds.map(SHOWN_TYPES.index)}, rows.index)
    shown = rows.assign(dataset=datasets, type=kinds).loc[order.sort_values(["dataset", "type"], kind="stable").index]
    return shown.rename(columns={"ci_low": "low", "ci_high": "high"})


def recalls(table: pd.DataFrame, models: Sequence[str], wording: str = "paraphrased", k: int = 5) -> pd.DataFrame:
    """Recall@k with plain and with negated captions: columns dataset, model, captions, value, low, high."""
    rows = table[(table["metric"] == f"recall@{k}") & table["model"].isin(models)]
    parts = rows["task"].str.extract(r"^(?P<dataset>.+) retrieval, (?P<wording>\w+)$")
    shown = pd.concat([rows, parts], axis=1)
    shown = shown[shown["wording"].isin(("plain", wording))]
    captions = np.where(shown["wording"] == "plain", PLAIN, NEGATED)
    return shown.assign(captions=captions).rename(columns={"ci_low": "low", "ci_high": "high"})


def ways(phrasings: pd.DataFrame, group: str, metric: str = "accuracy") -> pd.DataFrame:
    """How the right option negates, for the questions of ``group`` ("COCO MCQ, paraphrased/negative").

    Columns model, factor, level, value, low, high, n.
    """
    rows = phrasings[phrasings["task"].str.startswith(f"{group}/") & (phrasings["metric"] == metric)]
    way = rows["task"].str.removeprefix(f"{group}/")
    known = way.str.extract(r"^(?P<factor>cue|position|held out noun|held out form) (?P<level>.+)$")
    return pd.concat([rows, known], axis=1).rename(columns={"ci_low": "low", "ci_high": "high"})
