"""Search images with models in your own words, and compare what each of them ranks first.

Whether an image is right is read off its labels: every thing that the query names has to be there, but those in the
part that it negates must not be (``phrasing.negated_part``, a rule of thumb for sentences with one negation).
"""

import functools
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from negutil import progress
from negutil.bench import world_words
from negutil.bench.model import with_method
from negutil.captions import english, phrasing
from negutil.config import Profile
from negutil.data import source
from negutil.errors import NegutilError
from negutil.models import encode, loader, trained
from negutil.models.scorer import Scorer
from negutil.plots import figures

if TYPE_CHECKING:
    from negutil.compare.negation_beyond import Gallery

QUERIES = ("a cat", "no cat", "a dog and no cat")
"""The queries of the figure for readers without a kernel."""

COUNT, MOST_MODELS = 6, 4
"""Number of images shown per model, and number of models chosen at first."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Named:
    """Things that a query wants in the image, and things that it does not want."""

    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The top images of a model for a query, best first.

    ``rows`` are their numbers in the gallery, ``scores`` those of the model; ``wrong`` says for each what is wrong with
    it ("" for nothing), and is empty where the query names nothing that the gallery has labels for, or something that
    is not in the mini world (``unknown``).
    """

    query: str
    model: str
    rows: tuple[int, ...]
    scores: tuple[float, ...]
    wrong: tuple[str, ...]
    unknown: tuple[str, ...] = ()

    @property
    def right(self) -> int | None:
        """How many of the images are right, or None if that is unknown."""
        return self.wrong.count("") if self.wrong else None


def named(query: str, nouns: Sequence[str]) -> Named:
    """Return which of ``nouns`` the query wants and does not want; a noun that it names twice is wanted."""
    negated = phrasing.negated_part(query)
    rest = query.lower().replace(negated, " ", 1) if negated else query.lower()
    wanted = _mentioned(rest, nouns)
    return Named(wanted, tuple(noun for noun in _mentioned(negated, nouns) if noun not in wanted))


def _mentioned(text: str, nouns: Sequence[str]) -> tuple[str, ...]:
    """The nouns in ``text``, in singular, plural, or under another name that the mini world has for them."""
    others = english.mentions(text)
    return tuple(noun for noun in nouns if noun in others or re.search(rf"\b{re.escape(noun)}(?:e?s)?\b", text))


def mistakes(rows: Sequence[int], asked: Named, there: Mapping[str, Flags]) -> tuple[str, ...]:
    """Return what is wrong with each image of ``rows``: "no dog", "has a cat", or "" for nothing.

    ``there`` says for every noun which images show it. Without anything named the answer is empty.
    """
    if not asked.wanted and not asked.unwanted:
        return ()
    told = []
    for row in rows:
        lacks = [f"no {noun}" for noun in asked.wanted if not there[noun][row]]
        has = [f"has {'an' if noun[0] in 'aeiou' else 'a'} {noun}" for noun in asked.unwanted if there[noun][row]]
        told.append(", ".join([*lacks, *has]))
    return tuple(told)


def models(settings: Profile) -> tuple[str, ...]:
    """Return the models of the profile and, of each, the fine-tuned ones that are in the cache already.

    Of those the methods that the profile compares, from the first seed of each. Nothing is trained.
    """
    names = trained.names(settings.name)
    starts = (f"{base}{trained.MARK}{method}/" for base in settings.models for method in settings.finetuning.methods)
    first = (next((name for name in names if name.startswith(start)), "") for start in starts)
    return (*settings.models, *filter(None, first))


class Explorer:
    """The images of a gallery and the models that search them; each model is loaded on first use.

    With ``method`` they are asked without training (``model.with_method``): "caps", "subtraction=0.4", ...
    """

    def __init__(self, settings: Profile, gallery: "Gallery | None", method: str = "") -> None:
        if gallery is None:
            raise NegutilError("There are no images to search: get COCO's (negutil data get coco2017).")
        self.settings, self.gallery, self.method = settings, gallery, method
        self._load = functools.lru_cache(maxsize=8)(self._model)

    def top(self, query: str, model: str, count: int = COUNT) -> Found:
        """Return the ``count`` images that score highest for ``query``, the earlier one among ties.

        Raises NegutilError for an empty query, for more images than there are, and as ``loader.load`` does.
        """
        if not query.strip():
            raise NegutilError("The query is empty: write what the image should show.")
        if not 1 <= count <= len(self.gallery.pictures):
            raise NegutilError(
                f"{count} images cannot be shown, because the gallery has {len(self.gallery.pictures)}: choose fewer."
            )
        who, images = self._load(model)
        with progress.quiet(), encode.without_text_cache():
            scores = who.matrix([query], images)[0]
        rows = tuple(int(row) for row in np.argsort(-scores, kind="stable")[:count])
        unknown = world_words.unknown(query) if source.is_world(self.settings) else ()
        asked = named(query, list(self.gallery.there))
        wrong = () if unknown else mistakes(rows, asked, self.gallery.there)
        return Found(query, model, rows, tuple(float(scores[row]) for row in rows), wrong, unknown)

    def picture(self, row: int, side: int = 160) -> NDArray[np.uint8]:
        """Return an image of the gallery, uint8 [H, W, 3], no side longer than ``side`` pixels."""
        shown = self.gallery.pictures[row].convert("RGB")
        shown.thumbnail((side, side))
        return np.asarray(shown)

    def _model(self, name: str) -> tuple[Scorer, NDArray[np.float32]]:
        """A model's scorer, with its features of all images, which are cached on disk."""
        loaded, batch = loader.load(name, profile=self.settings.name), self.settings.encode.batch
        return with_method(loaded, self.method, batch), encode.images(loaded, self.gallery.pictures, batch=batch)


def figure(
    explorer: Explorer, queries: Sequence[str] = QUERIES, names: Sequence[str] = (), count: int = COUNT
) -> Figure:
    """Return the top images for every query and model, a row for each.

    Without ``names`` the first models of the profile, which are there on every machine. Raises NegutilError as
    :meth:`Explorer.top` does, and where there is no query or no model.
    """
    chosen = tuple(names) or explorer.settings.models[:MOST_MODELS]
    if not queries:
        raise NegutilError("There is no query: write what the image should show.")
    rows = []
    for found in (explorer.top(query, name, count) for query in queries for name in chosen):
        summary = found.model if found.right is None else f"{found.model}, {found.right} of {len(found.rows)} right"
        summary += f", {' and '.join(found.unknown)} not in this world" if found.unknown else ""
        right = [not wrong for wrong in found.wrong]
        pictures = [explorer.picture(row) for row in found.rows]
        rows.append(figures.Ranked(found.query, pictures, right, found.wrong, summary))
    return figures.retrieved(rows)


def panel(explorer: Explorer, first: Sequence[str] = QUERIES[1:]) -> Any:
    """Return a widget: queries to type (as many as ``first``), models to choose, and their top images below.

    It answers on Enter or when a field is left. What cannot be answered is reported in one line.
    """
    import ipywidgets

    known = models(explorer.settings)
    words = [
        ipywidgets.Text(value=query, description=f"query {number}", continuous_update=False)
        for number, query in enumerate(first, start=1)
    ]
    chosen = ipywidgets.SelectMultiple(
        options=known, value=explorer.settings.models[:MOST_MODELS], description="models", rows=min(8, len(known))
    )
    shown, told = ipywidgets.Image(format="png"), ipywidgets.Label()

    def answer(_: object = None) -> None:
        try:
            buffer = io.BytesIO()
            plot = figure(explorer, [box.value for box in words if box.value.strip()], chosen.value)
            plot.savefig(buffer, format="png", bbox_inches="tight")
            plt.close(plot)  # or every query would leave one open
            shown.value, told.value = buffer.getvalue(), ""
        except NegutilError as problem:
            told.value = str(problem)

    for box in (*words, chosen):
        box.observe(answer, names="value")
    answer()
    return ipywidgets.VBox([*words, chosen, told, shown])
