"""Notebook 05: text towers fine-tuned on negation, NegationCLIP's Tables 2 and 3, and controls that it lacks.

``train`` makes the models of ``train.recipes``, ``run`` evaluates them (``evaluation``) and writes all numbers; the
last part has what the controls show. The claims and their tests are in configs/claims.toml.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache

import pandas as pd
from datasets import Dataset

from negutil.compare import engine, evaluation
from negutil.compare.engine import CLIP, FEWEST, LEVEL, OVER_CLIP, Experiment, Findings, Flags, Group, Method, Printed
from negutil.compare.evaluation import Evaluation
from negutil.config import Profile
from negutil.data import coco, skipped, source
from negutil.data.skipped import Skip
from negutil.models import registry, trained
from negutil.models.trained import MARK, Trained
from negutil.tasks import ccneg, coco_retrieval, find, negrefcocog, pairwise, suite, valse, zero_shot
from negutil.train import recipes
from negutil.train.finetune import finetune_many

EXPERIMENT = "05_negationclip"
PAPER = "published, ViT-B/32"
"""The smallest model that the papers report; ours are small ones in a drawn world."""

OVER_PLAIN, OVER_NEGFULL = "gain over plain captions", "gain over NegFull"
_MORE_DIFFERENCES = {
    recipes.P1: ((recipes.RANDOM, "gain over Rand-P1"),),
    recipes.NEGATIONCLIP: ((recipes.P1, "gain over P1"), (recipes.P2, "gain over P2")),
    recipes.NEGFULL: ((recipes.NEGCAP, "gain over NegCap"),),
}

METRICS = {
    suite.VALSE: pairwise.METRIC,
    suite.REFERRING: negrefcocog.METRIC,
    suite.AFFIRMED: negrefcocog.METRIC,
    suite.BARE: negrefcocog.METRIC,
    evaluation.CLAUSE: "gain in accuracy",
    evaluation.NEGATION: "gain in accuracy",
    suite.IMAGENET: zero_shot.TOP_1,
    suite.CALTECH101: zero_shot.TOP_1,
    suite.CCNEG: pairwise.METRIC,
    ccneg.REVERSED: pairwise.METRIC,
    ccneg.BOTH: pairwise.METRIC,
    suite.COCO: f"recall@{coco_retrieval.K}",
    evaluation.MCQ: "accuracy",
    evaluation.NEGATED_RETRIEVAL: f"recall@{coco_retrieval.K}",
    evaluation.EXCLUSION: "AUC",
    evaluation.TEXT: evaluation.GAP,
    evaluation.TEXT_COSINE: evaluation.NEGATED,
    **{title: find()[title].metric for title in suite.names()},
}
"""Every benchmark and what its mean is called."""

ALL_ITEMS, VALIDATED = (f"{suite.VALSE}, {name}" for name in valse.SETS)
HELD_OUT = (
    ("held_out_noun", "held-out nouns", "familiar nouns"),
    ("held_out_form", "held-out phrasings", "familiar phrasings"),
)
BY_TYPE = (suite.VALSE, evaluation.MCQ)
SPLIT = (suite.VALSE, evaluation.MCQ, evaluation.NEGATED_RETRIEVAL, evaluation.EXCLUSION, evaluation.TEXT)
"""Benchmarks that are split by type of item, and by what is held out of training."""

TABLE_2 = (ALL_ITEMS, suite.REFERRING, suite.IMAGENET, suite.CALTECH101, suite.COCO, suite.CCNEG)
TABLE_3 = (ALL_ITEMS, suite.REFERRING)
NEGBENCH = (evaluation.MCQ, evaluation.NEGATED_RETRIEVAL, evaluation.EXCLUSION)
METHODS = (recipes.PLAIN, "con-clip", "negclip", "clip-bnl", recipes.NEGCAP, recipes.NEGFULL, recipes.NEGATIONCLIP)
CAPTIONS = (recipes.RANDOM, recipes.P1, recipes.P2, recipes.NEGATIONCLIP)


def training_images(settings: Profile, count: int) -> Dataset:
    """The first ``count`` training images of COCO that show a labelled thing, with captions and categories.

    Where the annotations of train2014 are missing, images of val2017 take their place. Raises NegutilError if
    neither is there.
    """
    folder = source.folder(settings, "coco")
    releases = ("train2014", "val2017")
    there = [name for name in releases if (folder / "annotations" / f"captions_{name}.json").is_file()]
    release = (*there, releases[0])[0]
    captions, instances = (folder / "annotations" / f"{kind}_{release}.json" for kind in ("captions", "instances"))
    with skipped.reading(settings, f"images of {release} for the worked example", "coco2014"):
        rows = coco.load(captions, instances, folder / release)
    labelled = [row for row, categories in enumerate(rows["categories"][:]) if categories]
    return rows.select(labelled[:count])


def train(settings: Profile) -> list[Trained]:
    """Fine-tune every model of the profile that is not finished; raises NegutilError as ``finetune_many`` does."""
    jobs = [job for base in settings.models for job in recipes.jobs(settings, base, _trained_on(settings, base))]
    return finetune_many(jobs, settings.finetuning.processes)


def _trained_on(settings: Profile, base: str) -> tuple[str, ...]:
    """The recipes of ``base``: rows of the tables, controls, and what the curves have beside these."""
    plan = settings.finetuning
    controls = plan.controls if base in plan.control_models else ()
    names = (*recipes.rows(settings, base), *recipes.possible(settings, controls), *recipes.on_curves(settings, base))
    return tuple(dict.fromkeys(names))


def methods_of(settings: Profile, base: str) -> list[Method]:
    """CLIP, every recipe on ``base``, weights that authors give out, and WiSE-FT's weights between CLIP and
    NegationCLIP (first seed) where controls are."""
    plan, methods = settings.finetuning, [Method(CLIP, (base,))]
    names = _trained_on(settings, base)
    points = {name: point for name, point in recipes.curve(settings).items() if name not in recipes.RECIPES}
    alphas = [name for name in recipes.alphas(settings) if name != recipes.NEGFULL]
    plain = {point[1:]: name for name, point in points.items() if point[0] == recipes.PLAIN}
    for name in names:
        as_long = plain.get(points[name][1:], "") if name in points else recipes.PLAIN
        over = [(CLIP, OVER_CLIP)] + [(as_long, OVER_PLAIN)] * (as_long not in ("", name))
        over += _MORE_DIFFERENCES.get(name, ())
        over += [(recipes.NEGFULL, OVER_NEGFULL)] * (name in alphas)
        rival = recipes.find(name).rival
        if name in plan.controls and rival != recipes.PLAIN:  # that difference is there already
            over.append((rival, f"gain over {recipes.find(rival).title}"))
        seeds = recipes.seeds(settings, name)
        methods.append(Method(name, tuple(recipes.model_name(base, name, seed) for seed in seeds), seeds, tuple(over)))
    methods += [Method(name, (name,), over=((CLIP, OVER_CLIP),)) for name in released(settings, base)]
    if base in plan.control_models and recipes.NEGATIONCLIP in names:
        tuned = recipes.model_name(base, recipes.NEGATIONCLIP, recipes.seeds(settings, recipes.NEGATIONCLIP)[0])
        for share in plan.shares:
            at = f"{evaluation.AT}{share:g}"
            model = {0.0: base, 1.0: tuned}.get(share, tuned + at)
            methods.append(Method(recipes.NEGATIONCLIP + at, (model,), over=((CLIP, OVER_CLIP),)))
    return methods


def released(settings: Profile, base: str) -> tuple[str, ...]:
    """Weights of the registry that authors give out for the architecture of ``base``; where a file is missing, the
    weights are left out (``skipped``)."""
    entries = [registry.find(name) for name in settings.finetuning.released]
    alike = [entry for entry in entries if entry.architecture == registry.find(base).architecture]
    for entry in alike:
        if not (entry.file and entry.file.exists()):
            skipped.note(settings, Skip(entry.name, f"{entry.file} is missing: docs/data.md says how to get it."))
    return tuple(entry.name for entry in alike if entry.file and entry.file.exists())


def groups(items: pd.DataFrame) -> list[Group]:
    """Every benchmark as a whole, by type of item, and by what is held out of training; small parts are left out.

    ``items`` are those of ``evaluation.items``.
    """
    found: list[Group] = []
    cues, kinds = items["cue"].to_numpy(), items["type"].to_numpy()
    for task, metric in METRICS.items():
        rows = (items["task"] == task).to_numpy()
        parts: dict[str, Flags] = {ALL_ITEMS if task == suite.VALSE else task: rows}
        if task in BY_TYPE:
            parts |= {f"{task}, {kind}": rows & (kinds == kind) for kind in sorted(set(kinds[rows])) if kind}
        if task in SPLIT:
            negates = rows & ((cues != "") | (task == evaluation.TEXT))
            for flag, held_out, familiar in HELD_OUT:
                is_new = items[flag].to_numpy(bool)
                if (negates & is_new).any():
                    parts |= {f"{task}, {held_out}": negates & is_new, f"{task}, {familiar}": negates & ~is_new}
        if task == suite.VALSE:
            parts[VALIDATED] = rows & items["valid"].to_numpy(bool)
        sizes = {title: (part.sum(), 1 if part is rows else FEWEST) for title, part in parts.items()}
        found += [Group(title, metric, part) for title, part in parts.items() if sizes[title][0] >= sizes[title][1]]
    return found


@cache
def published() -> Printed:
    """NegationCLIP's Tables 2 and 3 and NegBench's Table 1, of CLIP ViT-B/32."""
    titles = {
        "VALSE existence": ALL_ITEMS,
        "NegRefCOCOg": suite.REFERRING,
        "ImageNet": suite.IMAGENET,
        "COCO": suite.COCO,
    }
    methods = {
        **{"CLIP": CLIP, "CLIP-bnl": "clip-bnl", "CoN-CLIP": "con-clip", "NegationCLIP": recipes.NEGATIONCLIP},
        **{"Original": CLIP, "Rand-P1": recipes.RANDOM, "P1": recipes.P1, "P2": recipes.P2},
        "P1+P2": recipes.NEGATIONCLIP,
    }
    named = {f"ViT-B/32 | {row}": method for row, method in methods.items()}
    negbench_titles = {
        "COCO R@5": suite.COCO,
        "COCO R-Neg@5": evaluation.NEGATED_RETRIEVAL,
        "COCO MCQ": evaluation.MCQ,
    }
    negbench_methods = {
        "CLIP | fine-tuned on None": CLIP,
        "CLIP | fine-tuned on CC12M": recipes.PLAIN,
        "CLIP | fine-tuned on CC12M-NegCap": recipes.NEGCAP,
        "CLIP | fine-tuned on CC12M-NegFull": recipes.NEGFULL,
        "NegCLIP | fine-tuned on None": "negclip",
    }
    found = engine.published("negbench_table1.csv", "NegBench", negbench_titles, negbench_methods)
    for number in (3, 2):
        found |= engine.published(f"negationclip_table{number}.csv", "NegationCLIP", titles, named)
    return found


def title_of(method: str) -> str:
    """A method as tables call it."""
    name, at, share = method.partition(evaluation.AT)
    if name and not recipes.is_recipe(name):
        return f"{name}, released"
    return "CLIP" if not method else f"{recipes.find(name).title}{f' ({share})' if at else ''}"


def run(settings: Profile, seed: int = 0) -> Findings:
    """Evaluate every model that ``train`` made; writes ``levels``, ``seeds``, ``gains``, and all items.

    What only the profile's curves have goes into a table of its own, ``curves``.
    ``seed`` moves the resamples. Raises NegutilError if a model is missing.
    """
    methods = {base: methods_of(settings, base) for base in settings.models}
    names = dict.fromkeys(name for own in methods.values() for method in own for name in method.values)
    items = evaluation.items(settings, [Evaluation(name) for name in names])
    wanted = [column for base, own in methods.items() for column in engine.columns(base, own)]
    table = engine.table(items, wanted, groups(items), settings.bootstrap.moved(seed), over_seeds=settings.over_seeds)
    found = Findings(Experiment(EXPERIMENT, title_of, {PAPER: published()}), table, items)
    curves = {**recipes.curve(settings), **recipes.alphas(settings)}
    is_curve = table["method"].isin([name for name in curves if name not in recipes.RECIPES]).to_numpy()
    found.save(settings, {"curves": is_curve}, seed=seed)
    engine.save_items(items, settings, EXPERIMENT)
    skipped.save(settings, EXPERIMENT)
    return found


def learned_from(settings: Profile, models: Sequence[Trained]) -> pd.DataFrame:
    """What each method of the tables is trained on: model, training set, loss, epochs, steps, kept epoch, seconds."""
    rows = []
    for model in models:
        recipe, config = _recipe_of(model), model.identity["config"]
        is_first = model.name.endswith(f"seed{settings.finetuning.seeds[0]}")
        if model.base == settings.models[-1] and is_first and recipe in recipes.RECIPES:
            about = {"model": recipe, "training set": recipes.find(recipe).set, "loss": config["method"]}
            about |= {"epochs": config["epochs"], "steps": int(_curve(model)["step"].max())}
            kept = {"kept epoch": model.about["epoch"], "validation loss": model.about["validation_loss"]}
            rows.append(about | kept)
    return pd.DataFrame(rows)


def validation(models: Sequence[Trained], names: Sequence[str]) -> pd.DataFrame:
    """The validation loss of every seed of the recipes ``names``: base, recipe, model, epoch, loss_on_validation."""
    columns = ["base", "recipe", "model", "epoch", "loss_on_validation"]
    parts = [pd.DataFrame(columns=columns)]
    for model in (model for model in models if _recipe_of(model) in names):
        curve = _curve(model).dropna(subset="validation_loss")
        curve = curve.rename(columns={"validation_loss": "loss_on_validation"})
        parts.append(curve.assign(recipe=_recipe_of(model), model=model.name, base=model.base)[columns])
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _recipe_of(model: Trained) -> str:
    return model.name.partition(MARK)[2].partition("/")[0]


def _curve(model: Trained) -> pd.DataFrame:
    """The learning curve of a model: step, epoch, loss, lr, logit_scale, validation_loss."""
    return pd.read_csv(model.folder / trained.CURVE)


# --------------------------------------------------------------------------------------------------------------------
# The controls as tables: text-only rules, held-out words, noise, amount of data, WiSE-FT's curve


RULE = "rule: "
TASKS = (suite.VALSE, suite.CCNEG, ccneg.REVERSED, ccneg.BOTH)
NOISE = {recipes.NEGATIONCLIP: 0.0, "negationclip-noise5": 5.0, "negationclip-noise20": 20.0}


def rules(settings: Profile, seed: int = 0) -> pd.DataFrame:
    """How far rules get that read the two sentences alone: rule, title, value, low, high, n, over.

    Writes the table ``rules``.
    """
    columns = ["rule", "title", *engine.INTERVAL]
    data = suite.prepare(settings, (suite.VALSE, suite.CCNEG))
    rows = []
    for rule, frames in suite.rules(data).items():
        for task in (task for task in TASKS if task in frames):
            right, clusters = frames[task]["right"].to_numpy(float)[:, None], frames[task]["cluster"].to_numpy()
            (share,) = engine.means(right, clusters, settings.bootstrap.moved(seed))
            title = ALL_ITEMS if task == suite.VALSE else task
            rows.append({"rule": rule, "title": title, **dataclasses.asdict(share)})
    table = pd.DataFrame(rows, columns=columns)
    named = table.assign(model=RULE + table["rule"], task=table["title"], metric=pairwise.METRIC)
    engine.save_numbers(named, settings, EXPERIMENT, "rules")
    return table


def rules_beside(found: Findings, rule_table: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """The rules above the models, in the shape of ``Findings.levels``, for VALSE and the three ways of CC-Neg."""
    titles = (ALL_ITEMS, suite.CCNEG, ccneg.REVERSED, ccneg.BOTH)
    wide = rule_table.pivot(index="rule", columns="title", values="value").reindex(rule_table["rule"].unique())
    shown = wide.map(lambda value: "" if pd.isna(value) else f"{value:.3f}").reset_index()
    shown = shown.rename(columns={"rule": "model"}).assign(architecture="rule, no image").rename_axis(columns=None)
    models = found.levels(titles, ("", *methods), published=False)
    return pd.concat([shown, models], ignore_index=True)[models.columns].fillna("")


def held_out(table: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Gains over plain captions on items with familiar and with held-out nouns and phrasings.

    Columns: base, method, task, factor ("nouns", "phrasings"), held_out, value, low, high, n.
    """
    rows = table[(table["kind"] == OVER_PLAIN) & table["method"].isin(methods)]
    parts = rows["title"].str.extract(r"^(?P<task>.*), (?P<which>held-out|familiar) (?P<factor>nouns|phrasings)$")
    found = pd.concat([rows, parts], axis=1).dropna(subset="factor")
    found = found.assign(held_out=found["which"] == "held-out")
    return found[["base", "method", "task", "factor", "held_out", "value", "low", "high", "n"]].reset_index(drop=True)


def along(table: pd.DataFrame, titles: Sequence[str], places: Mapping[str, float]) -> pd.DataFrame:
    """The first seed's numbers of the methods in NOISE, where all are: base, title, at, value, low, high."""
    return _along(table[table["seed"] == table["seed"].min()], titles, places)


def wise_ft(table: pd.DataFrame, titles: Sequence[str]) -> pd.DataFrame:
    """Weights between CLIP (0) and NegationCLIP (1), first seed: base, title, at, value, low, high."""
    start = f"{recipes.NEGATIONCLIP}{evaluation.AT}"
    names = [name for name in table["method"].unique() if name.startswith(start)]
    return _along(table[table["seed"].isna()], titles, {name: float(name.removeprefix(start)) for name in names})


def _along(table: pd.DataFrame, titles: Sequence[str], places: Mapping[str, float]) -> pd.DataFrame:
    rows = table[(table["kind"] == LEVEL) & table["title"].isin(titles) & table["method"].isin(list(places))]
    rows = rows[rows.groupby("base")["method"].transform("nunique") == rows["method"].nunique()]
    shown = rows.assign(at=rows["method"].map(dict(places)).astype(float)).sort_values(["base", "title", "at"])
    return shown[["base", "title", "at", "value", "low", "high"]].reset_index(drop=True)


def text_tower(items: pd.DataFrame, settings: Profile, base: str, methods: Sequence[str]) -> pd.DataFrame:
    """For every noun, how far "no X" is from "X" in the text tower, means over seeds: model, noun, held_out, value."""
    rows = items[items["task"] == evaluation.TEXT]
    about = rows[["item", "held_out_noun"]].rename(columns={"item": "noun", "held_out_noun": "held_out"})
    models = {method.label: list(method.values) for method in methods_of(settings, base)}
    parts = [
        about.assign(model=title_of(method), value=rows[models[method]].mean(axis=1))
        for method in (CLIP, *methods)
        if method in models
    ]
    return pd.concat(parts, ignore_index=True)[["model", "noun", "held_out", "value"]]
