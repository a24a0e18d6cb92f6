"""What notebook 03 shows: figures of NegBench's tables, and single questions and queries with their images.

Figures take tidy tables with a column ``model``, as ``negutil.tasks`` makes them, one model's below the other's.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from negutil.captions.exclusion import ALONE, BOTH
from negutil.captions.negbench_files import NEGBENCHS_OWN, PLAIN, VARIATIONS
from negutil.captions.statements import with_article
from negutil.compare import negation_beyond
from negutil.compare.negation_beyond import Gallery
from negutil.compare.negbench import BLIND
from negutil.config import Profile
from negutil.data import msrvtt
from negutil.errors import NegutilError
from negutil.models import encode, loader, scorer
from negutil.models.pictures import PictureFiles
from negutil.plots import figures
from negutil.tasks import exclusion as exclusion_task
from negutil.tasks import mcq
from negutil.tasks.affirmation_bias import DENIES, SAYS
from negutil.tasks.exclusion import ALL, HELD_OUT, TRAINED
from negutil.tasks.negbench import Items, Queries, Questions, encode_media

TYPES = ("positive", "hybrid", "negative")
"""Types of questions in the order in which they are shown."""

KINDS = {"affirmative": " on affirmative", "all": "", "negated": " on negated"}
"""Kinds of claims, and what follows a metric on them."""


@dataclass(frozen=True, slots=True)
class Card:
    """A question: its image, its options with their scores, the index of the right one, and the type of question."""

    picture: NDArray[np.uint8]
    options: Sequence[str]
    scores: Sequence[float]
    correct: int
    title: str = ""


def accuracy_by_type(table: pd.DataFrame, models: Sequence[str], rules: Sequence[str] = ()) -> Figure:
    """Accuracy by type of question, a panel per dataset: ``models`` and the blind baselines ``rules``.

    table: the records of notebook 03 (``tasks.csv``).
    """
    shown = {name: name for name in models} | {f"{BLIND}{rule}": f"without images: {rule}" for rule in rules}
    rows = table[table["task"].str.endswith(" MCQ, paraphrased") & table["metric"].str.startswith("accuracy on ")]
    parts = {"type": rows["metric"].str.removeprefix("accuracy on "), "dataset": rows["task"].str.partition(" MCQ")[0]}
    rows, datasets = rows.assign(**parts), list(dict.fromkeys(parts["dataset"]))
    for column, order in {"type": TYPES, "model": list(shown), "dataset": datasets}.items():
        rows = figures.ordered(rows, column, order)
    rows = rows.assign(model=rows["model"].map(shown))
    look: dict[str, Any] = {"label": "accuracy", "limits": (-0.03, 1.03), "across": 2}
    return figures.points(rows, "type", "model", "dataset", order=TYPES, chance=0.25, **look)


def recall_drop(table: pd.DataFrame, models: Sequence[str], k: int = 5) -> Figure:
    """Recall@k with plain and with negated captions, a row per dataset with the drop in points, a panel per model.

    table: the records of notebook 03 (``tasks.csv``).
    """
    rows = table[(table["metric"] == f"recall@{k}") & table["model"].isin(models)]
    rows = rows.join(rows["task"].str.extract(r"^(?P<dataset>.+) retrieval, (?P<captions>\w+)$"))
    rows = figures.ordered(rows, "captions", ("plain", "paraphrased"))
    rows = rows.replace({"captions": {"paraphrased": "negated"}})
    if rows.empty:
        return figures.nothing()
    wide = rows.pivot(index=["dataset", "model"], columns="captions", values="value")
    drop = (100 * (wide["negated"] - wide["plain"])).map("{:+.1f}".format).str.replace("-", "−")
    order = figures.names(rows, "dataset")
    figure = figures.points(rows, "dataset", "captions", "model", order=order, label=f"recall@{k}", limits=(0, 1.02))
    for axis, model in zip(figure.axes, figures.names(rows, "model"), strict=True):
        for place, name in enumerate(order):
            axis.text(0.03, place, f"{drop[name, model]} points", va="center", fontsize=9)
    return figure


@figures.or_nothing
def affirmation_bias(distributions: pd.DataFrame) -> Figure:
    """Densities of the standardised cosine for images with and without X; left sentences that say X, right denials.

    distributions: ``affirmation_bias.distributions`` of every model, with a column model. A model that understood would
    have the two curves change places on the right. Dotted lines are means.
    """
    models = figures.names(distributions, "model")
    kinds = {SAYS: "sentences that say X", DENIES: "sentences that deny X"}
    shown = {True: ("images with X", figures.BLUE), False: ("images without X", figures.VERMILION)}
    top, size = 1.06 * float(distributions["density"].max()), (figures.WIDTH, 1.75 * len(models) + 0.8)
    figure, axes = plt.subplots(len(models), 2, figsize=size, sharex=True, sharey=True, squeeze=False)
    for line, model in zip(axes, models, strict=True):
        for axis, (kind, title) in zip(line, kinds.items(), strict=True):
            own = distributions[(distributions["model"] == model) & (distributions["kind"] == kind)]
            for there, (label, colour) in shown.items():
                part = own[own["shown"] == there]
                axis.fill_between(part["centre"], part["density"], color=colour, alpha=0.35, linewidth=0)
                axis.plot(part["centre"], part["density"], color=colour, marker="", label=label)
                mean = float(np.average(part["centre"], weights=part["density"]))
                axis.axvline(mean, color=colour, linestyle=":", linewidth=1.2)
            axis.set(yticks=[], ylim=(0, top), title=title if model == models[0] else "")
        line[0].set_ylabel(f"{model}\ndensity")
    figure.supxlabel("cosine, in standard deviations (dotted: means)")
    figures.legend(figure, {label: (colour, "s") for label, colour in shown.values()})
    return figure


@figures.or_nothing
def exclusion(table: pd.DataFrame, metric: str = "AUC", chance: float | None = 0.5) -> Figure:
    """A metric of exclusion by wording with intervals: controls, means, usual wordings, and held-out ones.

    table: ``exclusion.summary`` of every model, with a column model.
    """
    rows = table[table["metric"] == metric]
    forms = rows.drop_duplicates("form").set_index("form")
    worded = forms[forms["cue"] != ""]
    groups = {
        "controls": [ALONE, BOTH],
        "means": [ALL, TRAINED, HELD_OUT],
        "usual phrasings": list(worded.index[~worded["held_out"]]),
        "held-out phrasings": list(worded.index[worded["held_out"]]),
    }
    kept = {title: [form for form in known if form in forms.index] for title, known in groups.items()}
    order = [name for title, known in kept.items() if known for name in (title, *known)]
    label = f"{metric} of images with X alone against images with X and Y" if metric == "AUC" else metric
    figure = figures.points(rows, "form", "model", label=label, order=order, limits=(0, 1), chance=chance)
    axis = figure.axes[0]
    for tick, name in zip(axis.get_yticklabels(), order, strict=True):
        tick.set_fontweight("bold" if name in kept else "normal")
    return figure


@figures.or_nothing
def question_cards(cards: Sequence[Card], width: int = 32) -> Figure:
    """Questions with their images and options; bars are scores, the right option is named, the answer is hatched.

    The longest bar is the model's answer; where several share it there is none. All questions have one scale.
    ``width`` wraps options, in letters.
    """
    heights = [0.42 * max(4, len(card.options)) + 0.3 for card in cards]
    look: dict[str, Any] = {"width_ratios": (1, 2.3), "height_ratios": heights}
    figure, axes = plt.subplots(len(cards), 2, figsize=(figures.WIDTH, sum(heights)), squeeze=False, **look)
    everything = np.concatenate([np.asarray(card.scores, dtype=float) for card in cards])
    limits = (min(0.0, 1.1 * everything.min()), 1.8 * max(everything.max(), 0.05))
    for (left, right), card in zip(axes, cards, strict=True):
        left.imshow(card.picture, interpolation="nearest")
        figures.frame(left, "#888888", 1)
        left.set_title(card.title)
        best = [place for place, score in enumerate(card.scores) if score == max(card.scores)]
        for place, score in enumerate(card.scores):
            is_right, chosen = place == card.correct, best == [place]
            colours = {"color": figures.GREEN, "edgecolor": "white"} if is_right else {"color": "#BBBBBB"}
            right.barh(place, score, height=0.62, hatch="///" if chosen else "", **colours)
            notes = [note for note, there in (("right", is_right), ("chosen", chosen)) if there]
            label = f" {score:.3f}".replace("-", "−") + (f"  ({', '.join(notes)})" if notes else "")
            weight = "bold" if notes else "normal"
            right.text(max(score, 0), place, label, va="center", fontsize=9, fontweight=weight)
        right.set_yticks(range(len(card.options)), [textwrap.fill(text, width) for text in card.options], fontsize=9)
        right.set(xlim=limits, ylim=(len(card.options) - 0.5, -0.5))
        right.axvline(0, color="#666666", linewidth=0.8)
        right.tick_params("x", labelbottom=card is cards[-1])
    figure.supxlabel("cosine with the image")
    return figure


@figures.or_nothing
def accuracy_by_cue(table: pd.DataFrame, factor: str = "cue", chance: float | None = 0.25) -> Figure:
    """Accuracy by how the right option negates, most frequent first, with the number of questions.

    table: ``phrasing.shares`` of every model, with a column model; ``factor`` is one of ``phrasing.FACTORS``. The empty
    level (no cue) is shown as "no negation".
    """
    rows = table[table["factor"] == factor]
    counts = rows.groupby("level", sort=False)["n"].max().sort_values(ascending=False, kind="stable")
    named = {level: f"{level or 'no negation'}  (n = {count})" for level, count in counts.items()}
    rows = rows.assign(level=rows["level"].map(named))
    look: dict[str, Any] = {"label": "accuracy", "order": list(named.values()), "limits": (-0.02, 1.02)}
    return figures.points(rows, "level", "model", chance=chance, **look)


@figures.or_nothing
def claims(table: pd.DataFrame, metrics: Sequence[str] = ("AUC", "calibrated accuracy", "same sentence")) -> Figure:
    """Claims true or false by domain: each metric over affirmative, all and negated claims, with intervals.

    table: ``true_false.summary`` of every model and domain, with columns model and domain.
    """
    known = {metric + ending: (metric, kind) for metric in metrics for kind, ending in KINDS.items()}
    rows = table[table["metric"].isin(known)]
    kinds = rows["metric"].map(lambda metric: known[metric][1])
    rows = rows.assign(row=rows["domain"] + ", " + kinds, panel=rows["metric"].map(lambda metric: known[metric][0]))
    rows = figures.ordered(rows, "panel", metrics)
    order = [f"{domain}, {kind}" for domain in figures.names(table, "domain") for kind in KINDS]
    look: dict[str, Any] = {"label": "AUC, or share of claims", "order": order, "limits": (-0.03, 1.03)}
    return figures.points(rows, "row", "model", "panel", chance=0.5, **look)


# --------------------------------------------------------------------------------------------------------------------
# Questions, queries and tables


def find(tasks: Sequence[Items], title: str) -> Items | None:
    """The variation called ``title``, None if its published file is missing.

    Raises NegutilError that lists the others where NegBench has none of that name.
    """
    for task in tasks:
        if task.variation.title == title:
            return task
    known = [variation.title for variation in (*PLAIN, *VARIATIONS, *NEGBENCHS_OWN)]
    if title in known:
        return None
    raise NegutilError(f"There is no variation {title!r} here: choose among {', '.join(known)}.")


def files(tasks: Sequence[Items]) -> pd.DataFrame:
    """What is asked: a row per variation with its numbers of items, of images or clips, and one sentence of it."""
    rows = []
    for task in tasks:
        count = len(task.captions) if isinstance(task, Queries) else len(task.options)
        sentence = task.texts[0]
        rows.append((task.variation.title, count, len(task.media), sentence))
    return pd.DataFrame(rows, columns=["variation", "items", "images or clips", "its first sentence"])


def cards(settings: Profile, task: Items | None, model: str) -> list[Card]:
    """The first question of each type with the scores that a model gives to its options; none without questions."""
    if not isinstance(task, Questions):
        return []
    types = task.types or [""] * len(task.options)
    chosen = [types.index(kind) for kind in ("positive", "negative", "hybrid") if kind in types]
    media, options = tuple(task.media[task.rows[row]] for row in chosen), [task.options[row] for row in chosen]
    clip, batch = loader.load(model), settings.encode.batch
    images = encode_media(clip, media, batch).of(media)
    scores = mcq.scores_by(scorer.of(clip, batch), options, images)
    return [
        Card(picture(path), task.options[row], list(values), int(task.correct[row]), types[row])
        for path, row, values in zip(media, chosen, scores, strict=True)
    ]


def picture(path: object) -> np.ndarray:
    """An image, or the first of a clip's sampled frames, uint8 [H, W, 3]."""
    name = str(path)
    return msrvtt.frames(name)[0] if name.endswith(".mp4") else np.asarray(PictureFiles([name])[0])


def exclusions(settings: Profile, asked: Gallery | None, model: str, form: str, count: int = 3) -> list[figures.Ranked]:
    """The top five images for the first ``count`` queries of a wording, about different things, right ones marked.

    Right are the images with X and without Y; what is wrong with another is written below it. Empty without gallery.
    """
    if asked is None:
        return []
    queries = list({query.wanted: query for query in reversed(asked.queries) if query.form == form}.values())[-count:]
    loaded, batch = loader.load(model), settings.encode.batch
    texts = encode.texts(loaded, [query.text for query in queries], batch=batch)
    best = exclusion_task.best(texts, encode.images(loaded, asked.pictures, batch=batch))
    found = []
    for query, rows in zip(queries, best, strict=True):
        wanted, excluded = asked.there[query.wanted][rows], asked.there[query.excluded][rows]
        wrong = np.where(excluded, f"has a {query.excluded}", f"has no {query.wanted}")
        titles = np.where(wanted & ~excluded, "", wrong).tolist()
        pictures = [np.asarray(asked.pictures[int(row)]) for row in rows]
        found.append(figures.Ranked(query.text, pictures, (wanted & ~excluded).tolist(), titles))
    return found


def with_and_without_no(settings: Profile, gallery: Gallery | None, model: str) -> list[figures.Ranked]:
    """The top five images for "an X" and for "no X", right ones marked; X is the first of ``top_nouns``.

    Empty without a gallery, or where no noun has enough images.
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
        found.append(
            figures.Ranked(query, pictures, right.tolist(), titles, f"{shown.sum()} of {len(rows)} show {named}")
        )
    return found


def ways(phrasings: pd.DataFrame, group: str, metric: str = "accuracy") -> pd.DataFrame:
    """How the right option negates, for the questions of ``group`` ("COCO MCQ, paraphrased/negative").

    Columns model, factor, level, value, low, high, n.
    """
    rows = phrasings[phrasings["task"].str.startswith(f"{group}/") & (phrasings["metric"] == metric)]
    way = rows["task"].str.removeprefix(f"{group}/")
    known = way.str.extract(r"^(?P<factor>cue|position|held out noun|held out form) (?P<level>.+)$")
    return pd.concat([rows, known], axis=1).rename(columns={"ci_low": "low", "ci_high": "high"})
