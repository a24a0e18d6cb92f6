"""Notebook 00: is MiniCLIP good at affirmative language, and what does it do with a first "no"?

The floors and the test of the failure are in configs/claims.toml; they were fixed before any model was run.
"""

import dataclasses
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from negutil import files, paths, results, statistics
from negutil.captions import english, probe_prompts
from negutil.captions.english import NOUNS, PLACES, Form
from negutil.compare import binary_probe, engine
from negutil.config import Profile
from negutil.data import coco, source
from negutil.models import architectures, encode, loader, registry
from negutil.models.loader import LoadedModel
from negutil.statistics import Interval
from negutil.tasks import probe, retrieval

EXPERIMENT = "00_mini_world"
GALLERY = 1000
PRESENCE, RETRIEVAL, FACES = "presence AUC", "recall@1", "face attribute AUC"
METRICS = {PRESENCE: "AUC", RETRIEVAL: "recall@1", FACES: "AUC"}

Truth = dict[str, np.ndarray]
"""For every noun, of which images it is true (bool [N])."""


@dataclass(frozen=True, slots=True)
class Scenes:
    """Held-out scenes: ``pictures`` uint8 [N, 64, 64, 3], a full affirmative caption of each, and the truth."""

    pictures: np.ndarray
    captions: list[str]
    truth: list[Any]


def scenes_of(settings: Profile, seed: int) -> Scenes:
    """At most 1,000 test scenes, each with its first caption, which says everything.

    ``seed`` other than 0 takes another sample of the test split.
    """
    folder = source.world().build("coco", settings)
    names = folder / "annotations"
    rows = coco.load(names / "captions_test2017.json", pictures=folder / "test2017")
    known = {entry.image_id: entry.scene for entry in source.world().truth(folder) if entry.split == "test"}
    order = list(range(len(rows)))
    if seed:
        random.Random(seed).shuffle(order)
    chosen = rows.select(order[:GALLERY])
    pictures = np.stack([np.asarray(picture) for picture in chosen["image"]])
    return Scenes(pictures, [captions[0] for captions in chosen["captions"]], [known[i] for i in chosen["image_id"]])


def presence_truth(scenes: Iterable[Any]) -> Truth:
    """For every noun, which scenes show it (bool [N]); a woman or a baby is a person too.

    Nouns that every scene shows or none does are left out: they have no AUC.
    """
    seen = [source.world().sayable(scene.nouns) for scene in scenes]
    labels = {noun: np.array([noun in names for names in seen]) for noun in NOUNS}
    return {noun: there for noun, there in labels.items() if 0 < there.sum() < len(there)}


def absence_forms() -> list[Form]:
    """The forms of the grammar that say only that something is missing and do not name a place."""
    return [form for form in english.NEGATED if form.order == "only" and "{place}" not in form.text]


def sentences(form: Form, nouns: Iterable[str]) -> list[str]:
    """The sentence of ``form`` about every noun."""
    names = ((noun, english.with_article(noun), english.plural(noun)) for noun in nouns)
    return [form.text.format(bare=bare, absent=absent, plural=plural) for bare, absent, plural in names]


def run(settings: Profile, seed: int) -> pd.DataFrame:
    """Examine every model of the profile; writes the tables ``floors`` and ``absence`` and per-item scores.

    Returns a row per model and noun: noun, auc, low, high, n, positives, model.
    """
    scenes = scenes_of(settings, seed)
    there, resamples = presence_truth(scenes.truth), settings.bootstrap.resamples
    rows: dict[str, list[dict[str, Any]]] = {"floors": [], "absence": []}
    tables: list[pd.DataFrame] = []
    items: list[pd.DataFrame] = []
    for name in settings.models:
        model = loader.load(name)
        images = encode.images(model, scenes.pictures)
        scores = probe.cosines(encode.texts(model, probe.prompts(list(there))), images)
        by_noun = probe.presence(scores, there, resamples=resamples)
        ranks = retrieval.ranks(encode.texts(model, scenes.captions), images, range(len(images)))
        recall = statistics.wilson(int((ranks <= 1).sum()), len(ranks))
        for task, interval in {PRESENCE: by_noun.mean, RETRIEVAL: recall, FACES: face_auc(settings, model)}.items():
            about = {"task": task, "model": name, "metric": METRICS[task]}
            rows["floors"].append(about | dataclasses.asdict(interval))
        for form in absence_forms():
            scores = probe.cosines(encode.texts(model, sentences(form, there)), images)
            mean = probe.presence(scores, there, absence=True, resamples=resamples).mean
            about = {"task": form.text.format(bare="X", absent="an X", plural="Xs"), "model": name, "metric": "AUC"}
            rows["absence"].append(about | dataclasses.asdict(mean))
        tables.append(by_noun.table.assign(model=name))
        items.append(pd.DataFrame({"model": name, "picture": np.arange(len(ranks)), "rank": ranks}))
    for table, numbers in rows.items():
        engine.save_numbers(pd.DataFrame(numbers), settings, EXPERIMENT, table, seed=seed)
    results.save_items(pd.concat(items), settings.name, EXPERIMENT, "ranks")
    return pd.concat(tables, ignore_index=True)


def face_auc(settings: Profile, model: LoadedModel) -> Interval:
    """Mean AUC over attributes of the affirmative prompt alone, on the test faces; prompts as in notebook 02."""
    rows = binary_probe.load_faces(settings)
    labels = binary_probe.labels_of(rows)
    pairs = [pair for pair in probe_prompts.read_prompts() if pair.phrasing == probe_prompts.ALONE]
    kept, _ = probe_prompts.usable(pairs, labels)
    prompts = probe_prompts.texts(kept)
    features = dict(zip(prompts, encode.texts(model, prompts), strict=True))
    scores, _ = probe.scores(kept, encode.images(model, rows["image"][:]), features)
    flags = dict(zip((pair.attribute for pair in kept), probe.right(kept, labels).T, strict=True))
    return probe.presence(scores.astype(float), flags, resamples=settings.bootstrap.resamples).mean


def cooccurrence(settings: Profile, most: int = 40) -> tuple[np.ndarray, list[str]]:
    """Share of the training images with one noun that also have another ([n, n], diagonal NaN), grouped by place.

    The ``most`` commonest nouns are taken.
    """
    folder = source.world().build("coco", settings)
    known = [entry.scene for entry in source.world().truth(folder) if entry.split == "train"]
    there = np.array([[noun in scene.nouns for noun in NOUNS] for scene in known], dtype=float)
    common = set(np.argsort(-there.sum(axis=0))[:most].tolist())
    by_place = dict.fromkeys(noun for place in PLACES.values() for noun in place.nouns)
    order = [NOUNS.index(noun) for noun in by_place if NOUNS.index(noun) in common]
    counts = there[:, order].T @ there[:, order]
    shares = counts / np.maximum(1, np.diag(counts))[:, None]
    np.fill_diagonal(shares, np.nan)
    return shares, [NOUNS[index] for index in order]


def forms_table() -> pd.DataFrame:
    """Every form of the grammar (columns kind, cue, order, form, kept for testing)."""
    return pd.DataFrame(
        {
            "kind": "negated" if form.cue else "affirmative",
            "cue": form.cue or "–",
            "order": form.order or "–",
            "form": form.text,
            "kept for testing": "yes" if form.held_out else "no",
        }
        for form in (*english.AFFIRMATIVE, *english.NEGATED)
    )


Row = tuple[str, list[np.ndarray], list[bool]]


def top_pictures(settings: Profile, seed: int, nouns: Sequence[str], model: str, count: int = 8) -> list[Row]:
    """For each noun the best images for its presence and for its absence: (query, images, is it there?)."""
    scenes, loaded = scenes_of(settings, seed), loader.load(model)
    images = encode.images(loaded, scenes.pictures)
    rows: list[Row] = []
    for noun in nouns:
        for query in (f"a photo of {english.with_article(noun)}", f"a photo with no {noun}"):
            best = np.argsort(-(images @ encode.texts(loaded, [query])[0]), kind="stable")[:count]
            there = [noun in scenes.truth[index].nouns for index in best]
            rows.append((query, [scenes.pictures[index] for index in best], there))
    return rows


def models_table(settings: Profile) -> pd.DataFrame:
    """Size, training and checksum of every model of the profile that ships with the package."""
    rows = []
    for entry in (entry for entry in map(registry.find, settings.models) if entry.package):
        about = _about(entry)
        vision, text = (architectures.config(entry.architecture)[tower] for tower in ("vision_cfg", "text_cfg"))
        rows.append(
            {
                "model": entry.name,
                "patch (pixels)": vision["patch_size"],
                "image width": vision["width"],
                "text width": text["width"],
                "steps": about["config"]["steps"],
                "batch": about["config"]["batch"],
                "images in the corpus": about["pool"]["pictures"],
                "minutes on two cores": round(about["seconds"] / 60),
                "weights sha256": entry.sha256[:12],
            }
        )
    return pd.DataFrame(rows)


def learning_curves(settings: Profile) -> dict[str, pd.DataFrame]:
    """The learning curve of every shipped model, with the batch size as a column."""
    curves = {}
    for entry in map(registry.find, settings.models):
        curve = pd.read_csv((paths.WEIGHTS / entry.package).with_suffix(".curve.csv"))
        curves[entry.name] = curve.assign(batch=_about(entry)["config"]["batch"])
    return curves


def _about(entry: registry.Entry) -> dict[str, Any]:
    return dict(files.read_json((paths.WEIGHTS / entry.package).with_suffix(".json")))
