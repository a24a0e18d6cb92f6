"""Notebook 03, more than the paper: exclusion, claims true or false, and the affirmation bias, for every model.

The galleries are the test splits with exact labels; thresholds of claims come from the validation splits.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from numpy.typing import NDArray

from negutil import results, statistics, tables
from negutil.captions import claim_items
from negutil.captions import exclusion as exclusion_queries
from negutil.captions.claim_items import ClaimSet
from negutil.captions.exclusion import ExclusionQuery
from negutil.captions.statements import with_article
from negutil.compare import binary_probe, engine, negbench
from negutil.compare.negbench import EXPERIMENT, PUBLISHED
from negutil.config import Profile
from negutil.data import chexpert, coco, skipped, source
from negutil.errors import NegutilError
from negutil.models import encode, loader
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Features
from negutil.statistics import Interval
from negutil.tasks import affirmation_bias, exclusion, true_false

Flags = NDArray[np.bool_]
PAIRS, FEWEST_PICTURES = 60, 8
"""Pairs (X, Y) that exclusion asks about, and images of X with Y and without Y that each needs."""

MOST = 5000
"""Images of one split that are used: all of val2017, and as many for thresholds where there are more."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Images of scenes, which of them show each noun (bool [N]), and the queries and sentences about them."""

    pictures: PictureFiles
    there: Mapping[str, Flags]
    queries: list[ExclusionQuery]
    sentences: list[affirmation_bias.Sentence]


ClaimData = tuple[ClaimSet, PictureFiles]
"""Claims and the images that they are about."""


@dataclass(frozen=True, slots=True)
class Domain:
    """Claims about validation and test images of one domain, with those images."""

    val: ClaimData
    test: ClaimData


@dataclass(frozen=True, slots=True)
class Findings:
    """What ``run`` leaves: tables of numbers, per-item frames, and densities of the bias, each with a column model."""

    exclusion: pd.DataFrame
    bias: pd.DataFrame
    claims: pd.DataFrame
    exclusion_items: pd.DataFrame
    claim_items: pd.DataFrame
    densities: pd.DataFrame


KINDS = tuple(field.name for field in dataclasses.fields(Findings))
EMPTY = pd.DataFrame(columns=["model", "form", "domain", "kind", "metric", "value", "low", "high", "n", "over"])
"""The placeholder in a table without a number."""


def gallery(settings: Profile, seed: int = 0, *, validation: bool = False) -> Gallery | None:
    """The test scenes with the queries about them; None if published ones are missing (``negutil.data.skipped``).

    With ``validation`` those that thresholds are chosen on.

    Raises NegutilError if too few images share two things.
    """

    def read() -> Gallery:
        rows = _coco(settings, _scenes(settings)[0 if validation else 1])
        there = exclusion_queries.labels(rows["categories"][:], rows["supercategories"][:], rows["implied"][:])
        fewest = min(FEWEST_PICTURES, max(2, len(rows) // 100))
        queries = exclusion_queries.queries(there, fewest, PAIRS, seed)
        return Gallery(PictureFiles.of(rows), there, queries, affirmation_bias.sentences(there))

    return skipped.attempt(settings, "exclusion and affirmation bias", read, "coco2017")


def domains(settings: Profile, seed: int = 0) -> dict[str, Domain]:
    """The claims about scenes (objects and colours), faces and radiographs, validation and test.

    Published ones that are missing are left out (``negutil.data.skipped``). Wordings that are kept for testing are only
    in the test claims.
    """
    scenes = _scenes(settings)
    wanted: dict[str, tuple[Callable[..., ClaimData], tuple[str, str], str]] = {
        claim_items.OBJECTS: (_objects, scenes, "coco2014"),
        claim_items.ATTRIBUTES: (_attributes, scenes, ""),
        claim_items.FACES: (_faces, ("valid", "test"), "celeba"),
        claim_items.RADIOGRAPHS: (_radiographs, ("train", "valid"), "chexpert"),
    }

    def read(make: Callable[..., ClaimData], splits: tuple[str, str]) -> Domain:
        parts = zip(splits, (False, True), strict=True)
        return Domain(*(make(settings, split, held_out=held_out, seed=seed) for split, held_out in parts))

    found = {
        name: skipped.attempt(settings, f"claims about {name}", partial(read, make, splits), get)
        for name, (make, splits, get) in wanted.items()
    }
    return {name: domain for name, domain in found.items() if domain is not None}


def _scenes(settings: Profile) -> tuple[str, str]:
    """COCO's split for thresholds and that for testing.

    The published test split has no public labels, and val2017 is a part of val2014.
    """
    return ("val2017", "test2017") if source.is_built(source.folder(settings, "coco")) else ("train2014", "val2017")


def _coco(settings: Profile, split: str) -> Dataset:
    folder = source.folder(settings, "coco")
    names = folder / "annotations"
    rows = coco.load(names / f"captions_{split}.json", names / f"instances_{split}.json", pictures=folder / split)
    return _first(rows)


def _first(rows: Dataset) -> Dataset:
    return rows.select(range(min(MOST, len(rows))))


def _objects(settings: Profile, split: str, **options: Any) -> ClaimData:
    rows = _coco(settings, split)
    labels = rows["categories"][:], rows["supercategories"][:]
    there, perhaps = exclusion_queries.labels(*labels), exclusion_queries.labels(*labels, rows["implied"][:])
    return claim_items.objects(there, perhaps, **options), PictureFiles.of(rows)


def _attributes(settings: Profile, split: str, **options: Any) -> ClaimData:
    folder = source.folder(settings, "coco")
    if not source.is_drawn(folder):
        raise NegutilError("The colours of things are known in the mini world alone.")
    rows = _coco(settings, split)
    known = {entry.image_id: list(entry.scene.named()) for entry in source.world().truth(folder)}
    coloured = [known[number] for number in rows["image_id"]]
    return claim_items.attributes(coloured, **options), PictureFiles.of(rows)


def _faces(settings: Profile, split: str, **options: Any) -> ClaimData:
    rows = _first(binary_probe.load_faces(settings, split))
    return claim_items.faces(binary_probe.labels_of(rows), **options), PictureFiles.of(rows)


def _radiographs(settings: Profile, split: str, **options: Any) -> ClaimData:
    folder = source.folder(settings, "chexpert")
    rows = _first(chexpert.load(folder / "CheXpert-v1.0-small" / f"{split}.csv", pictures=folder))
    findings = rows.select_columns(list(chexpert.FINDINGS)).with_format("pandas")[:]
    return claim_items.radiographs(findings, **options), PictureFiles.of(rows)


def run(settings: Profile, gallery: Gallery | None, claims: Mapping[str, Domain], seed: int = 0) -> Findings:
    """Examine the models of ``negbench.models``; writes the tables ``exclusion``, ``bias`` and ``claims``, with items.

    Without a gallery, or claims, their frames are empty, and what was left out is written as ``skipped.csv``.
    """
    resampling, batch = dataclasses.asdict(settings.bootstrap.moved(seed)), settings.encode.batch
    parts: dict[str, list[pd.DataFrame]] = defaultdict(list)

    def encoded(model: LoadedModel, part: ClaimData) -> tuple[ClaimSet, Features, Features]:
        texts = encode.texts(model, part[0].claims["text"].tolist(), batch=batch)
        return part[0], texts, encode.images(model, part[1], batch=batch)

    for name in negbench.models(settings):
        model, frames = loader.load(name), {}
        if gallery:
            images, there = encode.images(model, gallery.pictures, batch=batch), gallery.there
            queries = encode.texts(model, [query.text for query in gallery.queries], batch=batch)
            sentences = encode.texts(model, [sentence.text for sentence in gallery.sentences], batch=batch)
            frames["exclusion_items"] = exclusion.items(gallery.queries, queries, images, there)
            frames["exclusion"] = exclusion.summary(frames["exclusion_items"], **resampling)
            biases = affirmation_bias.items(gallery.sentences, sentences, images, there)
            frames["bias"] = affirmation_bias.summary(biases, **resampling)
            frames["densities"] = affirmation_bias.distributions(gallery.sentences, sentences, images, there)
        for kind, frame in frames.items():
            parts[kind].append(frame.assign(model=name))
        for domain, claim_sets in claims.items():
            val, test = encoded(model, claim_sets.val), encoded(model, claim_sets.test)
            judged = true_false.items(true_false.score(*test), true_false.thresholds(true_false.score(*val)))
            recall = true_false.recall_summary(true_false.recall(*test), **resampling)
            summary = true_false.summary(judged, **resampling).assign(kind="all claims")
            about = {"domain": domain, "model": name}
            parts["claims"].append(pd.concat([summary, recall], ignore_index=True).assign(**about))
            parts["claim_items"].append(judged.assign(model=name))
    found = Findings(**{k: pd.concat(parts[k], ignore_index=True) if k in parts else EMPTY for k in KINDS})
    by_claims = found.claims.assign(task=found.claims["domain"] + "/" + found.claims["kind"])
    numbers = {name: getattr(found, name).assign(task=getattr(found, name)["form"]) for name in ("exclusion", "bias")}
    for name, table in {**numbers, "claims": by_claims}.items():
        engine.save_numbers(table, settings, EXPERIMENT, name, seed=seed)
    for name in ("exclusion_items", "claim_items"):
        if len(items := getattr(found, name)):
            engine.save_items(items, settings, EXPERIMENT, name)
    skipped.save(settings, EXPERIMENT)
    return found


def one_table(tasks: pd.DataFrame, found: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """``negbench.overview`` of ``tasks`` with exclusion (``Findings.exclusion``) as two more rows of the same columns.

    A scorer that never sees an image gives all of them the same score: in exclusion it has exactly the chance level.
    """
    wanted = found[found["form"] == exclusion.ALL]
    shown = negbench.overview(tasks, models)
    if wanted.empty:
        return shown
    chance = {"AUC": 0.5, "mAP": float(wanted.loc[wanted["metric"] == "chance of mAP", "value"].iloc[0])}
    rows = []
    for metric, level in chance.items():
        own = wanted[wanted["metric"] == metric].set_index("model")
        cells = {name: tables.with_interval(*own.loc[name, ["value", "low", "high"]]) for name in models}
        row = {"variation": f"Exclusion, {exclusion.ALL}", "metric": metric, "n": int(own["n"].iloc[0]), **cells}
        rows.append(row | {"chance": level, "best blind rule": f"{level:.3f} (none can do more)", PUBLISHED: ""})
    return pd.concat([shown, pd.DataFrame(rows)], ignore_index=True)


def metrics(table: pd.DataFrame, rows: str, chosen: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Numbers with intervals: a row per model and value of column ``rows``, a column per metric.

    ``chosen`` names the wanted values of ``rows`` and of "metric", in their order.
    """
    part = table[table[rows].isin(chosen[rows]) & table["metric"].isin(chosen["metric"])]
    if part.empty:
        return pd.DataFrame(columns=[rows, "model", *chosen["metric"]])
    order = {name: place for place, name in enumerate((*chosen[rows], *chosen["metric"]))}
    part = part.sort_values([rows, "metric"], key=lambda column: column.map(order), kind="stable")
    return tables.pivot(part.rename(columns=tables.BOUNDS), [rows, "model"]).fillna("")


# --------------------------------------------------------------------------------------------------------------------
# The same query with and without "no": how many of a model's top five images show the thing that the query names.
# Every noun that enough images show, and enough do not, makes one query of each kind, so a perfect answer to both is
# possible.


FIGURE, TOP = "with_and_without_no", 5
WITH, WITHOUT = "X", "no X"
ALL_NOUNS = "mean over nouns"
TOP_METRIC = "pictures of the top five that show X"


def top_nouns(there: Mapping[str, Flags]) -> list[str]:
    """The nouns that at least TOP images show and at least TOP do not, in alphabetical order."""
    return sorted(noun for noun, flags in there.items() if min(flags.sum(), (~flags).sum()) >= TOP)


def with_and_without(noun: str) -> dict[str, str]:
    """The query for ``noun`` and the same with "no", by kind (WITH and WITHOUT)."""
    return {WITH: with_article(noun), WITHOUT: f"no {noun}"}


def top_pictures(settings: Profile, gallery: Gallery, model: str, chosen: list[str]) -> dict[str, NDArray[np.int64]]:
    """For each kind of query the rows [nouns, TOP] of the images that ``model`` ranks first, best first."""
    loaded, batch = loader.load(model), settings.encode.batch
    images = encode.images(loaded, gallery.pictures, batch=batch)
    texts = {kind: [with_and_without(noun)[kind] for noun in chosen] for kind in (WITH, WITHOUT)}
    return {kind: exclusion.best(encode.texts(loaded, own, batch=batch), images, TOP) for kind, own in texts.items()}


def top_five(settings: Profile, gallery: Gallery | None, seed: int = 0) -> pd.DataFrame:
    """Write the table ``top_five`` and return it: the mean count over nouns, and that of the noun in the figure.

    Without rows, and without a file, where there is no gallery or no noun that enough images show.
    """
    chosen = top_nouns(gallery.there) if gallery else []
    if gallery is None or not chosen:
        return pd.DataFrame(columns=list(results.COLUMNS))
    rows = []
    for model in settings.models:
        for kind, ranked in top_pictures(settings, gallery, model, chosen).items():
            counts = [int(gallery.there[noun][best].sum()) for noun, best in zip(chosen, ranked, strict=True)]
            mean = statistics.bootstrap_mean(counts, **dataclasses.asdict(settings.bootstrap.moved(seed)))
            of_first = Interval(counts[0], np.nan, np.nan, TOP, "")
            for nouns, number in ((chosen[0], of_first), (ALL_NOUNS, mean)):
                about = {"task": f"{kind}/{nouns}", "model": model, "metric": TOP_METRIC}
                rows.append(about | dataclasses.asdict(number))
    records = engine.records(pd.DataFrame(rows), EXPERIMENT)
    results.save(records, settings.name, EXPERIMENT, "top_five", seed=seed)
    return pd.DataFrame([dataclasses.asdict(record) for record in records])
