"""The same query with and without "no": how many of a model's top five pictures show the thing that the query names.

Every noun that enough pictures show, and enough do not, makes one query of each kind, so a perfect answer to both is
possible. The figure on the front page shows the alphabetically first of them; the table has the mean over all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negutil import results, statistics
from negutil.captions.statements import with_article
from negutil.compare.negation_beyond import Gallery
from negutil.compare.negbench import EXPERIMENT
from negutil.config import Profile
from negutil.models import encode, loader
from negutil.results import Record
from negutil.tasks import exclusion

TABLE, FIGURE = "top_five", "with_and_without_no"
COUNT = 5
WITH, WITHOUT = "X", "no X"
ALL = "mean over nouns"
METRIC = "pictures of the top five that show X"

Flags = NDArray[np.bool_]


def nouns(there: Mapping[str, Flags]) -> list[str]:
    """The nouns that at least COUNT pictures show and at least COUNT do not, in alphabetical order."""
    return sorted(noun for noun, flags in there.items() if min(flags.sum(), (~flags).sum()) >= COUNT)


def queries(noun: str) -> dict[str, str]:
    """The query for ``noun`` and the same with "no", by kind (WITH and WITHOUT)."""
    return {WITH: with_article(noun), WITHOUT: f"no {noun}"}


def top(settings: Profile, gallery: Gallery, model: str, chosen: list[str]) -> dict[str, NDArray[np.int64]]:
    """For each kind of query the rows [nouns, COUNT] of the pictures that ``model`` ranks first, best first."""
    loaded, batch = loader.load(model), settings.encode.batch
    images = encode.images(loaded, gallery.pictures, batch=batch)
    texts = {kind: [queries(noun)[kind] for noun in chosen] for kind in (WITH, WITHOUT)}
    return {kind: exclusion.best(encode.texts(loaded, own, batch=batch), images, COUNT) for kind, own in texts.items()}


def run(settings: Profile, gallery: Gallery | None, seed: int = 0) -> pd.DataFrame:
    """Write the table ``top_five`` and return it: the mean count over nouns, and that of the noun in the figure.

    Without rows, and without a file, where there is no gallery or no noun that enough pictures show.
    """
    chosen = nouns(gallery.there) if gallery else []
    if gallery is None or not chosen:
        return pd.DataFrame(columns=list(results.COLUMNS))
    drawn = {"resamples": settings.bootstrap.resamples, "seed": settings.bootstrap.seed + seed}
    records = []
    for model in settings.models:
        for kind, ranked in top(settings, gallery, model, chosen).items():
            counts = [int(gallery.there[noun][best].sum()) for noun, best in zip(chosen, ranked, strict=True)]
            first = f"{kind}/{chosen[0]}"
            records.append(Record(EXPERIMENT, first, model, METRIC, float(counts[0]), COUNT))
            about = {"experiment": EXPERIMENT, "task": f"{kind}/{ALL}", "model": model, "metric": METRIC}
            records.append(Record.of(statistics.bootstrap_mean(counts, **drawn), **about))
    results.save(records, settings.name, EXPERIMENT, TABLE, seed=seed)
    return pd.DataFrame([dataclasses.asdict(record) for record in records])
