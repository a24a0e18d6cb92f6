"""Notebook 09: models pretrained on captions of which more or fewer negate, on everything that other notebooks ask.

``configs/doses.toml`` names models and doses; docs/protocols.md#doses says how their captions are made. Every number is
a mean over items, so that models are compared in pairs. The floors of notebook 00 and the probe of notebook 02 are
means over nouns or attributes here, which their intervals resample; those notebooks resample images.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from negutil import files, paths
from negutil.captions import probe_prompts
from negutil.captions.probe_prompts import ALONE, ANTONYM
from negutil.compare import affirmative, binary_probe, engine, evaluation, without_training
from negutil.compare.affirmative import FACES, PRESENCE, RETRIEVAL
from negutil.compare.engine import Experiment, Findings, Group, Method
from negutil.compare.evaluation import JUDGED, WHOLE, Evaluation
from negutil.compare.negationclip import OVER_PLAIN
from negutil.config import Profile
from negutil.errors import no_such
from negutil.files import Settings
from negutil.models import encode, loader
from negutil.models.loader import LoadedModel
from negutil.models.trained import Trained
from negutil.tasks import exclusion, probe, retrieval
from negutil.train import recipes
from negutil.train.finetune import finetune_many

Flags = NDArray[np.bool_]
Rows = list[tuple[str, str, str, str, float]]
FILE = paths.CONFIGS / "doses.toml"
EXPERIMENT = "09_root_cause"
ARCHITECTURE = "MiniCLIP-S-16"
"""What records call the model: all that are compared have the same architecture."""

ABSENCE, PROBE, PROBE_AUC = "absence AUC", "binary probe", "binary probe, AUC"
BASICS = {**affirmative.METRICS, ABSENCE: "AUC", PROBE: "balanced accuracy", PROBE_AUC: "AUC"}
"""What notebooks 00 and 02 measure, and what its mean is called."""


@dataclass(frozen=True, slots=True)
class Model(Settings):
    """A model of the registry and its ``dose``: the percentage of its captions that negate.

    They truly deny something of the image, or have ``asides`` that say nothing about it.
    """

    name: str
    dose: float
    asides: bool = False


@dataclass(frozen=True, slots=True)
class Later(Settings):
    """Fine-tuning in place of negation in pretraining.

    Attributes:
        base: the model that is fine-tuned, and ``as_many_as`` the one that met as many captions with a negation.
        method, control: recipes (``train.recipes``); the control's captions are those before they were negated.
        examples: how many captions are used (0: all), and ``seeds``: from which each recipe is trained.
    """

    base: str
    as_many_as: str
    method: str
    control: str
    examples: int
    seeds: tuple[int, ...]

    @property
    def titles(self) -> dict[str, str]:
        """The labels of the fine-tuned models and what tables call them: method and control."""
        kinds = {self.method: "with", self.control: "without"}
        return {f"{self.base}+{name}": f"{self.base}, fine-tuned {kind} negation" for name, kind in kinds.items()}


@dataclass(frozen=True, slots=True)
class Plan(Settings):
    """What a ``profile`` compares: models, the first of which met no negation, and its fine-tuning, if any."""

    profile: str
    models: tuple[str, ...]
    finetuning: Later | None = None


@dataclass(frozen=True, slots=True)
class Doses(Settings):
    """The file: how many ``captions`` each model met in pretraining, all models, and the plans."""

    captions: int
    model: tuple[Model, ...]
    plan: tuple[Plan, ...]

    def find(self, name: str) -> Model:
        """The model called ``name``; raises NegutilError if there is none."""
        known = {model.name: model for model in self.model}
        if name not in known:
            raise no_such("model", name, known, f" in {FILE}")
        return known[name]


def read(path: Path = FILE) -> Doses:
    """What the file says; raises NegutilError if a setting is wrong, or a plan names a model that is not there."""
    found = files.checked(Doses, files.read_toml(path), str(path))
    _ = [found.find(name) for plan in found.plan for name in plan.models]
    return found


def plan_of(profile: str) -> Plan:
    """The plan of a profile; raises NegutilError if it has none."""
    plans = {plan.profile: plan for plan in read().plan}
    if profile not in plans:
        raise no_such("profile", profile, plans, f" in {FILE}")
    return plans[profile]


def by_cue(cue: str) -> str:
    """What tables call absence in sentences with this cue."""
    return f"{ABSENCE}, {cue}"


def over(label: str) -> str:
    """What the difference from a model is called."""
    return f"gain over {label}"


def methods(plan: Plan) -> list[Method]:
    """Every model of the plan, compared with the first one and with those of asides; then the fine-tuned ones."""
    first, *others = plan.models
    asides = [name for name in others if read().find(name).asides]
    found = [Method(first, (first,))]
    for name in others:
        rivals = [(rival, over(rival)) for rival in (first, *asides) if rival != name]
        found.append(Method(name, (name,), over=tuple(rivals)))
    if own := plan.finetuning:
        control = f"{own.base}+{own.control}"
        for label in own.titles:
            values = tuple(f"{label}/seed{seed}" for seed in own.seeds)
            rivals = [(name, over(name)) for name in (own.base, own.as_many_as)]
            rivals += [(control, OVER_PLAIN)] * (label != control)
            found.append(Method(label, values, own.seeds, tuple(rivals)))
    return found


def train(settings: Profile, plan: Plan) -> list[Trained]:
    """Fine-tune what the plan wants and is not finished; raises NegutilError as ``finetune_many`` does."""
    if (own := plan.finetuning) is None:
        return []
    wanted = replace(settings, finetuning=replace(settings.finetuning, examples=own.examples))
    jobs = recipes.jobs(wanted, own.base, (own.method, own.control), own.seeds)
    return finetune_many(jobs, settings.finetuning.processes)


def met(plan: Plan, trained: Sequence[Trained]) -> pd.DataFrame:
    """How many captions each model met: model (its label), captions, with negation, with asides.

    Of ``trained`` models those of the fine-tuning count: all of them negate, or none (control).
    """
    count, rows = read().captions, list[tuple[str, int, int, int]]()
    for model in map(read().find, plan.models):
        negated = round(count * model.dose / 100)
        rows.append((model.name, count, negated * (not model.asides), negated * model.asides))
    for tuned in trained:
        label, captions = tuned.name.partition("/")[0], tuned.about["steps"] * tuned.identity["config"]["batch"]
        negates = plan.finetuning is not None and label.endswith(f"+{plan.finetuning.method}")
        rows.append((label, captions, captions * negates, 0))
    found = pd.DataFrame(rows, columns=["model", "captions", "with negation", "with asides"])
    return found.drop_duplicates("model", ignore_index=True)  # seeds take the same steps


# --------------------------------------------------------------------------------------------------------------------
# What notebooks 00 and 02 ask


def basics(name: str, settings: Profile) -> pd.DataFrame:
    """What notebooks 00 and 02 ask, of the model called ``name``: task (of BASICS), item, cluster, type and value.

    An item is a noun (PRESENCE), a sentence without a noun (ABSENCE), a scene (RETRIEVAL), or an attribute with a
    phrasing (FACES, PROBE, PROBE_AUC); a value is an area under the curve, 1 or 0, or a balanced accuracy.
    """
    model, scenes = loader.load(name, profile=settings.name), affirmative.scenes_of(settings, seed=0)
    nouns, flags = zip(*affirmative.presence_truth(scenes.truth).items(), strict=True)
    there = np.stack(flags)  # [nouns, images]
    texts = functools.partial(encode.texts, model, batch=settings.encode.batch)
    images = encode.images(model, scenes.pictures, batch=settings.encode.batch)

    def areas(sentences: list[str], right: Flags) -> Iterable[tuple[str, float]]:
        return zip(nouns, exclusion.auc(texts(sentences) @ images.T, right, ~right), strict=True)

    rows: Rows = [(PRESENCE, noun, noun, "", area) for noun, area in areas(probe.prompts(nouns), there)]
    for form in affirmative.absence_forms():
        found = areas(affirmative.sentences(form, nouns), ~there)
        rows += [(ABSENCE, f"{form.text}/{noun}", noun, form.cue, area) for noun, area in found]
    ranks = retrieval.ranks(texts(scenes.captions), images, range(len(images)))
    rows += [(RETRIEVAL, str(row), str(row), "", float(rank <= 1)) for row, rank in enumerate(ranks)]
    return pd.DataFrame(rows + _faces(model, settings), columns=["task", "item", "cluster", "type", "value"])


def _faces(model: LoadedModel, settings: Profile) -> Rows:
    faces, pairs = binary_probe.load_faces(settings), probe_prompts.read_prompts()
    images, texts = binary_probe.features(model, faces, probe_prompts.texts(pairs), settings)
    found = probe.evaluate(pairs, binary_probe.labels_of(faces), images, texts, resamples=1).table  # without intervals
    rows: Rows = []
    kept = found[~found["attribute"].isin((probe.MEAN, probe.MEAN_WITH_ANTONYM)) & (found["phrasing"] != ANTONYM)]
    columns = (kept[name].tolist() for name in ("attribute", "phrasing", "metric", "value"))
    for attribute, phrasing, metric, value in zip(*columns, strict=True):
        task = {"auc": FACES if phrasing == ALONE else PROBE_AUC, "balanced_accuracy": PROBE}.get(metric)
        rows += [(task, f"{attribute}/{phrasing}", attribute, phrasing, value)] if task else []
    return rows


# --------------------------------------------------------------------------------------------------------------------
# The run


def items(settings: Profile, compared: Sequence[Method]) -> pd.DataFrame:
    """Every item of every benchmark (``evaluation.COLUMNS``) with a column of values for each model."""
    names = [name for method in compared for name in method.values]
    found = evaluation.items(settings, [Evaluation(name, part) for name in names for part in (WHOLE, JUDGED)])
    parts = {name: basics(name, settings) for name in names}
    more = parts[names[0]].assign(valid=True, cue="", held_out_noun=False, held_out_form=False)
    more = more.assign(**{name: part["value"] for name, part in parts.items()})
    return pd.concat([found, more[found.columns]], ignore_index=True)


def groups(rows: pd.DataFrame) -> list[Group]:
    """Those of notebook 10, what negation moves in the text tower, and BASICS; absence also by cue."""
    tasks, cues = rows["task"].to_numpy(), rows["type"].to_numpy()
    more = {evaluation.TEXT: evaluation.GAP, **BASICS}
    found = [Group(title, metric, tasks == title) for title, metric in more.items() if (tasks == title).any()]
    absent = tasks == ABSENCE
    found += [Group(by_cue(cue), BASICS[ABSENCE], absent & (cues == cue)) for cue in sorted(set(cues[absent]))]
    return without_training.groups(rows) + found


def run(settings: Profile, plan: Plan, seed: int = 0) -> Findings:
    """Evaluate every model of the plan; writes ``levels``, ``seeds``, ``gains`` and all items.

    ``seed`` moves the resamples. Raises NegutilError if a model is missing.
    """
    compared = methods(plan)
    rows, wanted = items(settings, compared), engine.columns(ARCHITECTURE, compared)
    table = engine.table(rows, wanted, groups(rows), settings.bootstrap.moved(seed), over_seeds=settings.over_seeds)
    titles = plan.finetuning.titles if plan.finetuning else {}
    found = Findings(Experiment(EXPERIMENT, lambda label: titles.get(label, label), {"": {}}), table, rows)
    found.save(settings, seed=seed)
    engine.save_items(rows, settings, EXPERIMENT)
    return found
