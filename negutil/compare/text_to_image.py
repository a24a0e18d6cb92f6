"""Notebook 07: text encoders fine-tuned on negation in a text-to-image pipeline, NegationCLIP's Table 4, and controls.

``train`` makes the encoders, ``run`` draws and judges all images and writes the numbers: Neg Score (``neg_score``),
TIFA (``tifa``), the judge's errors (``picture_judge``) and what the pipeline can do at all. The claims and their tests
are in configs/claims.toml.

Every way to draw an image has the same noise for the same prompt and seed, and differences are between such pairs.
Encoders from several seeds share the images of a prompt evenly among them.
"""

import dataclasses
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from negutil import results, tables
from negutil.captions import english, picture_facts, t2i_prompts
from negutil.captions.english import COLOURS, NOUNS, PLACES, SUPERCATEGORY
from negutil.captions.picture_facts import ACTION, COLOUR, FACE, OBJECT, WORN, Fact
from negutil.compare import engine
from negutil.compare.engine import OVER_CLIP, Column, Experiment, Group, Printed
from negutil.config import Bootstrap, Profile
from negutil.data import source
from negutil.data import tifa as tifa_files
from negutil.models import generation
from negutil.models.generation import Order
from negutil.models.trained import Trained
from negutil.tasks import neg_score, picture_judge, tifa
from negutil.tasks.picture_judge import ALL, Judge, Pictures, Rates
from negutil.train import recipes
from negutil.train.finetune import finetune_many

EXPERIMENT = "07_text_to_image"
DESCRIBED = "pictures.npy"
"""The images that TIFA's captions of the mini world describe."""

CLIP, DELETED, NEGATIVE = "CLIP", "deleted", "negative-prompt"
REAL = "the real images"
CONTROLS = (DELETED, NEGATIVE)
"""Ways without another encoder: the negated thing left out of the prompt; and named in the negative prompt besides."""

TITLES = {DELETED: "CLIP, negated thing deleted", NEGATIVE: "CLIP, negative prompt"}
ENCODED = "autoencoded"
"""The condition of images that went through the pipeline's autoencoder."""

METRIC = "mean over prompts"
PICTURES_OF_A_PROMPT = 1000
"""Seeds of noise that are set apart for each prompt."""

TIFA_NOISE, FLOOR_NOISE = 1_000_000, 2_000_000
"""Where the noise of the other prompts begins."""


@dataclass(frozen=True, slots=True)
class Findings(engine.Findings):
    """What ``run`` leaves for the notebook; items are the judged images of negated prompts.

    Attributes:
        pictures: uint8 [N, H, W, 3], an image for each row of ``items``.
        judge: what the judge gets wrong on images whose truth is known (``picture_judge.summary``).
        exam: the single answers behind it (``picture_judge.exam``).
        floor: how often affirmative prompts are fulfilled: kind, metric, value, low, high, n, over.
        floor_items, floor_pictures: every affirmative prompt with 1 or 0, and its image.
    """

    pictures: Pictures
    judge: pd.DataFrame
    exam: pd.DataFrame
    floor: pd.DataFrame
    floor_items: pd.DataFrame
    floor_pictures: Pictures


@cache
def published() -> dict[str, Printed]:
    """NegationCLIP's Table 4 by pipeline, Stable Diffusion 1.4 first and SDXL; ours is a small one in a drawn world."""
    named = {"": CLIP, "CoN-CLIP": "con-clip", "NegationCLIP": recipes.NEGATIONCLIP}
    found: dict[str, dict[tuple[str, str], engine.Number]] = {}
    for row in results.published_rows("negationclip_table4.csv"):
        pipeline, _, swapped = row["row"].partition(" w/ ")
        method = named[swapped.removesuffix(" text encoder")]
        number = (float(row["value"]), f"NegationCLIP, Table 4: {pipeline}")
        found.setdefault(f"published, {pipeline}", {})[row["column"], method] = number
    return dict(found)


def title_of(method: str) -> str:
    """A way to draw as tables call it."""
    return recipes.find(method).title if method in recipes.RECIPES else TITLES.get(method, method)


def model_name(settings: Profile) -> str:
    """The pipeline as records call it: the last part of its name."""
    return settings.generation.pipeline.rstrip("/").rpartition("/")[2]


def train(settings: Profile) -> list[Trained]:
    """Fine-tune the text encoders that are not finished; raises NegutilError as ``finetune_many`` does."""
    plan = settings.generation
    return finetune_many(recipes.jobs(settings, plan.base, plan.methods, plan.seeds), plan.processes)


def run(settings: Profile, seed: int = 0) -> Findings:
    """Draw and judge every image; writes the tables levels, gains, seeds, kinds, floor, judge, and all items.

    ``seed`` moves the resamples. Raises NegutilError if an encoder, the pipeline or the judge is missing.
    """
    bootstrap, look = settings.bootstrap.moved(seed), picture_judge.load(settings)
    exam = _exam(settings, look)
    rates = picture_judge.rates(exam[exam["condition"] == picture_judge.MIXED]) if len(exam) else None
    items, pictures = negated(settings, look, rates)
    faithfulness = faithful(settings, look)
    prompts = floor_prompts(settings.generation.floor)
    order = Order("", tuple(each.prompt for each in prompts), tuple(FLOOR_NOISE + row for row in range(len(prompts))))
    (drawn,) = generation.draw_orders(settings, [order])
    fulfilled = judge_floor(look, prompts, drawn, rates)
    shares = []
    for kind, rows in ((EVERY, fulfilled), *fulfilled.groupby("kind", sort=False)):
        for metric in (name for name in (SHOWN, CORRECTED) if name in rows):
            values = rows[[metric]].to_numpy(float)
            (share,) = engine.means(values, rows["prompt"].to_numpy(), bootstrap, np.array([True]))
            shares.append({"kind": kind, "metric": metric, **dataclasses.asdict(share)})
    floor = pd.DataFrame(shares)
    summary = picture_judge.summary(exam, bootstrap) if len(exam) else pd.DataFrame()
    table = numbers_of(items, faithfulness, settings, bootstrap)
    experiment = Experiment(EXPERIMENT, title_of, published())
    found = Findings(experiment, table, items, pictures, summary, exam, floor, fulfilled, drawn)
    details: dict[str, Any] = {"seed": seed, "judge": picture_judge.name_of(settings)}
    found.save(settings, **details)
    named = floor.assign(task="affirmative prompts, " + floor["kind"], model=model_name(settings))
    engine.save_numbers(named, settings, EXPERIMENT, "floor", **details)
    if len(summary):
        tasks = summary["kind"] + ", " + summary["condition"] + " images"
        named = summary.assign(task=tasks, model=details["judge"])
        engine.save_numbers(named, settings, EXPERIMENT, "judge", **details)
    results.save_items(items, settings.name, EXPERIMENT, "items")
    results.save_items(faithfulness, settings.name, EXPERIMENT, "tifa_items")
    return found


def _exam(settings: Profile, look: Judge) -> pd.DataFrame:
    """The judge's answers on held-out images in every condition; none where the truth is not known."""
    if not settings.generation.judge_pictures:
        return pd.DataFrame()
    known = picture_judge.held_out(settings.generation.judge_pictures)
    parts = [picture_judge.exam(look, known, name) for name in picture_judge.CONDITIONS]
    parts.append(picture_judge.exam(look, known, ENCODED, pictures=generation.reconstructed(settings, known.pictures)))
    return pd.concat(parts, ignore_index=True)


def methods(settings: Profile) -> tuple[str, ...]:
    """All ways to draw a negated prompt: CLIP's own encoder, the fine-tuned ones, and the controls."""
    return (CLIP, *settings.generation.methods, *CONTROLS)


def encoder(settings: Profile, method: str, encoder_seed: int) -> str:
    """The model whose text tower draws by ``method``; "" for the pipeline's own."""
    plan = settings.generation
    return recipes.model_name(plan.base, method, encoder_seed) if method in plan.methods else ""


def negated(settings: Profile, look: Judge, rates: Mapping[str, Rates] | None) -> tuple[pd.DataFrame, Pictures]:
    """Every negated prompt drawn in every way and judged: a row per image, and the images.

    Where the profile wants fewer prompts, they are as many of each kind as there are in proportion.
    """
    prompts = t2i_prompts.load(settings)
    count = min(settings.generation.prompts or len(prompts), len(prompts))
    prompts = prompts.select(sorted({int(row) for row in np.linspace(0, len(prompts) - 1, count)}))
    texts, ids = prompts["prompt"][:], prompts["prompt_id"][:]
    kept, denied = zip(*(t2i_prompts.parts(text) for text in texts), strict=True)
    jobs: list[tuple[str, int, list[int], Order]] = []
    for method in methods(settings):
        for encoder_seed, picture_seeds in shares(settings, method).items():
            rows = [row for row in range(len(texts)) for _ in picture_seeds]
            noise = tuple(ids[row] * PICTURES_OF_A_PROMPT + seed for row in range(len(texts)) for seed in picture_seeds)
            worded = tuple((kept if method in CONTROLS else texts)[row] for row in rows)
            negatives = tuple(denied[row] for row in rows) if method == NEGATIVE else ()
            jobs.append(
                (method, encoder_seed, rows, Order(encoder(settings, method, encoder_seed), worded, noise, negatives))
            )
    drawn = generation.draw_orders(settings, [order for *_, order in jobs])
    parts = []
    for (method, encoder_seed, rows, order), made in zip(jobs, drawn, strict=True):
        judged = neg_score.judge(look, prompts, made, rows, [seed % PICTURES_OF_A_PROMPT for seed in order.seeds])
        parts.append(judged.assign(method=method, encoder_seed=encoder_seed))
    items = pd.concat(parts, ignore_index=True)
    return neg_score.with_corrections(items, rates) if rates else items, np.concatenate(drawn)


def shares(settings: Profile, method: str) -> dict[int, list[int]]:
    """Which images of a prompt the encoder from each seed draws: all by the only one, or dealt out in turn."""
    plan = settings.generation
    everything = list(range(plan.picture_seeds))
    if method not in plan.methods:
        return {plan.seeds[0]: everything}
    return {seed: everything[place :: len(plan.seeds)] for place, seed in enumerate(plan.seeds)}


def faithful(settings: Profile, look: Judge) -> pd.DataFrame:
    """TIFA of every encoder: a row per image with id, picture_seed, method, encoder_seed, TIFA and TIFA corrected.

    In the mini world the method REAL is what the judge says of the images that were described.
    """
    plan, folder = settings.generation, source.folder(settings, "tifa")
    captions = tifa_files.captions(folder / tifa_files.TEXTS)
    questions = tifa_files.load(folder / tifa_files.QUESTIONS)
    whole = np.load(folder / DESCRIBED) if source.is_drawn(folder) else None
    rates = tifa.error_rates(look, questions, whole, captions["id"][:]) if whole is not None else None
    count = min(plan.captions or len(captions), len(captions))
    ids, texts = captions["id"][:count], captions["caption"][:count]
    jobs = []
    for method in (CLIP, *plan.methods):
        for place, seed in enumerate(plan.seeds):
            noise = tuple(TIFA_NOISE + row * PICTURES_OF_A_PROMPT + place for row in range(count))
            jobs.append((method, seed, Order(encoder(settings, method, seed), tuple(texts), noise)))
    judged = [(REAL, 0, whole[:count])] if whole is not None else []
    drawn = generation.draw_orders(settings, [order for *_, order in jobs])
    judged += [(method, seed, made) for (method, seed, _), made in zip(jobs, drawn, strict=True)]
    parts = []
    for method, seed, made in judged:
        answers = tifa.judge(look, questions, made, ids, [0] * len(ids))
        parts.append(tifa.by_picture(answers, rates).assign(method=method, encoder_seed=seed))
    return pd.concat(parts, ignore_index=True)


def numbers_of(
    items: pd.DataFrame, faithfulness: pd.DataFrame, settings: Profile, bootstrap: Bootstrap
) -> pd.DataFrame:
    """Every level and every difference, over all prompts, by kind of prompt, and by seed of the encoder.

    ``items`` are those of ``negated``, ``faithfulness`` those of ``faithful``.
    """
    kinds = items.drop_duplicates("prompt_id").set_index("prompt_id")["kind"]
    pairs = faithfulness.rename(columns={"id": "prompt_id"}).assign(picture_seed=faithfulness["encoder_seed"])
    names = [str(name) for name in items if str(name).removesuffix(neg_score.CORRECTED) in neg_score.MEASURES]
    measures = dict.fromkeys(names, items) | {name: pairs for name in (tifa.SCORE, tifa.CORRECTED) if name in pairs}
    parts = []
    for measure, rows in measures.items():
        by_noise = ["prompt_id", "picture_seed"]
        wide = rows.pivot(index=by_noise, columns="method", values=measure).rename_axis(columns=None)
        encoders = rows.pivot(index=by_noise, columns="method", values="encoder_seed")
        seed_of = {name: encoders[name].to_numpy() for name in settings.generation.methods if name in wide}
        for method in (name for name in settings.generation.methods if name in wide):
            for seed in settings.generation.seeds:
                wide[f"{method}/{seed}"] = wide[method].where(encoders[method] == seed)
        wide = wide.reset_index("prompt_id", names="cluster").reset_index(drop=True)
        groups = [Group(measure, METRIC, np.full(len(wide), True))]
        if measure == neg_score.SCORE:
            of_prompt = wide["cluster"].map(kinds)
            groups += [
                Group(f"{measure}, {kind}", METRIC, (of_prompt == kind).to_numpy()) for kind in sorted(set(of_prompt))
            ]
        ways: dict[str, Any] = {"zeros": True, "over_seeds": settings.over_seeds, "seed_of": seed_of}
        found = engine.table(wide, _columns(settings, list(wide)), groups, bootstrap, **ways)
        parts.append(found[found["seed"].isna() | found["title"].isin((neg_score.SCORE, tifa.SCORE))])
    return pd.concat(parts, ignore_index=True)


def _columns(settings: Profile, names: Sequence[Any]) -> list[Column]:
    """Every method, its differences from CLIP, from the other encoders and from the controls, and every encoder."""
    plan, base = settings.generation, model_name(settings)
    there = [name for name in (*methods(settings), REAL) if name in names]
    found = [Column(base, name, (name,)) for name in there]
    others = {CLIP: OVER_CLIP} | {name: f"gain over {title_of(name)}" for name in (*plan.methods, *CONTROLS)}
    for other, kind in ((other, kind) for other, kind in others.items() if other in there):
        found += [Column(base, name, (name,), (other,), kind) for name in there if name not in (other, CLIP, REAL)]
    trained = [(name, seed) for name in sorted(plan.methods) for seed in plan.seeds if f"{name}/{seed}" in names]
    return found + [Column(base, name, (f"{name}/{seed}",), seed=seed) for name, seed in trained]


# --------------------------------------------------------------------------------------------------------------------
# Affirmative prompts for one thing, for two things, and for a face with a feature: a pipeline that fails here cannot
# show anything about negation


SINGLE, PAIR, COLOURED, ACTING, BEARING, PORTRAIT = KINDS = (
    "one thing",
    "two things",
    "a coloured thing",
    "somebody acting",
    "something worn or held",
    "face",
)
"""Kinds of affirmative prompts: one for each kind of thing that the negated prompts deny, and two things together."""

EVERY = "all kinds"
SHOWN, CORRECTED = "all asked things shown", "all asked things shown, corrected"


@dataclass(frozen=True, slots=True)
class FloorPrompt:
    """An affirmative prompt and the facts that an image of it shows."""

    kind: str
    prompt: str
    facts: tuple[Fact, ...]


def floor_prompts(count: int, seed: int = 0) -> list[FloorPrompt]:
    """``count`` different prompts of each kind."""
    found: list[FloorPrompt] = []
    for kind in KINDS:
        rng = random.Random(f"t2i/floor/{seed}/{kind}")
        different: dict[str, FloorPrompt] = {}
        while len(different) < count:
            prompt, facts = _face(rng) if kind == PORTRAIT else _scene(rng, kind)
            different.setdefault(prompt, FloorPrompt(kind, prompt, facts))
        found += different.values()
    return found


def _scene(rng: random.Random, kind: str) -> tuple[str, tuple[Fact, ...]]:
    """What the kind is about, in a place."""
    place = rng.choice(list(PLACES.values())).phrase
    if kind == PAIR:
        prompt, facts = _pair(rng)
    elif kind == ACTING:
        action = rng.choice(picture_facts.DOING)
        prompt, facts = f"a person {action}", (Fact(OBJECT, "person"), Fact(ACTION, "person", action))
    elif kind == BEARING:
        fact = rng.choice([fact for fact in picture_facts.RELATIONS if fact.kind == WORN])
        relation, _, gear = fact.value.partition(" ")
        prompt, facts = f"a {fact.subject} {relation} {english.with_article(gear)}", (Fact(OBJECT, fact.subject), fact)
    else:
        things = [noun for noun in NOUNS if kind == SINGLE or SUPERCATEGORY[noun] != "person"]
        noun, colour = rng.choice(things), rng.choice(tuple(COLOURS))
        named = f"{colour} {noun}" if kind == COLOURED else noun
        prompt, facts = english.with_article(named), (Fact(OBJECT, noun),)
        facts += (Fact(COLOUR, noun, colour),) if kind == COLOURED else ()
    return f"{prompt} {place}", facts


def _pair(rng: random.Random) -> tuple[str, tuple[Fact, ...]]:
    """Two objects that are not both people."""
    nouns = rng.sample(NOUNS, 2)
    if {SUPERCATEGORY[noun] for noun in nouns} == {"person"}:
        return _pair(rng)
    return " and ".join(map(english.with_article, nouns)), tuple(Fact(OBJECT, noun) for noun in nouns)


def _face(rng: random.Random) -> tuple[str, tuple[Fact, ...]]:
    features = rng.sample(sorted(picture_facts.DENIED_FEATURES), rng.choice((1, 2)))
    if not possible(features):
        return _face(rng)
    prompt = f"a person {' and '.join(picture_facts.FEATURES[name] for name in features)}"
    return prompt, tuple(Fact(FACE, "person", name) for name in features)


_ONE_OF = (
    {"Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Bald"},
    {"Straight_Hair", "Wavy_Hair", "Bald"},
    {"5_o_Clock_Shadow", "Goatee", "Mustache", picture_facts.BEARD},
    {"Arched_Eyebrows", "Bushy_Eyebrows"},
    {"Bald", "Bangs"},
    {"Wearing_Necklace", "Wearing_Necktie"},
)


def possible(features: Sequence[str]) -> bool:
    """Whether one face of the mini world can have both features."""
    return len(features) < 2 or not any(set(features) <= group for group in _ONE_OF)


def judge_floor(
    look: Judge, prompts: Sequence[FloorPrompt], pictures: Pictures, rates: Mapping[str, Rates] | None
) -> pd.DataFrame:
    """Whether images [N, H, W, 3] show all facts of their prompts: a row each with kind, prompt, and 1 or 0.

    With ``rates``, also corrected for the judge's errors (taken to be independent, given the truth).
    """
    place = [row for row, each in enumerate(prompts) for _ in each.facts]
    facts = [fact for each in prompts for fact in each.facts]
    yes = look.yes(pictures[place], [picture_facts.question(fact) for fact in facts]) > 0.5
    answers = {SHOWN: yes.astype(float)}
    if rates:
        sensitivity, specificity = (
            np.array([getattr(rates[fact.kind], name) for fact in facts]) for name in ("sensitivity", "specificity")
        )
        answers[CORRECTED] = picture_judge.corrected(yes, sensitivity, specificity)
    table = pd.DataFrame({"kind": [each.kind for each in prompts], "prompt": [each.prompt for each in prompts]})
    return table.assign(**pd.DataFrame(answers).groupby(place, sort=False).prod())


MEASURES = (neg_score.SCORE, f"{neg_score.SCORE}{neg_score.CORRECTED}", tifa.SCORE, tifa.CORRECTED)
ANSWERS = (neg_score.SUBJECT, neg_score.DENIED)
BY_KIND = tuple(f"{neg_score.SCORE}, {kind}" for kind in t2i_prompts.KINDS)
Shown = tuple[str, Pictures, tuple[str, ...]]
"""A line of a grid: its title, its images, and a caption under each."""


def judge_table(summary: pd.DataFrame) -> pd.DataFrame:
    """The judge's accuracy, sensitivity, specificity and calibration error by kind of question and of image."""
    named = summary.rename(columns={"condition": "images", "kind": "questions about", **tables.BOUNDS})
    found = tables.pivot(named, ["images", "questions about"])
    counts = named[named["metric"] == "accuracy"].set_index(["images", "questions about"])["n"]
    found["questions"] = counts.reindex(pd.MultiIndex.from_frame(found[["images", "questions about"]])).to_numpy()
    mixed = found["images"] == picture_judge.MIXED
    others = found[~mixed & (found["questions about"] == ALL)]
    chosen = ["images", "questions about", "questions", "accuracy", "sensitivity", "specificity", "calibration error"]
    return pd.concat([found[mixed], others], ignore_index=True)[chosen]


def floor_table(found: pd.DataFrame) -> pd.DataFrame:
    """How often affirmative prompts are fulfilled, raw and corrected."""
    shown = tables.pivot(found.rename(columns={"kind": "prompts for", **tables.BOUNDS}), "prompts for")
    counts = found.drop_duplicates("kind").set_index("kind")["n"]
    shown.insert(1, "images", shown["prompts for"].map(counts))
    return shown


def affirmative_grid(found: Findings, columns: int = 8, seed: int = 0) -> list[Shown]:
    """What the pipeline draws for affirmative prompts of each kind, drawn at random, with what the judge says."""
    shown = []
    for kind, own in found.floor_items.groupby("kind", sort=False):
        rows = own.sample(min(columns, len(own)), random_state=seed).sort_index()
        verdicts = ["shown" if right else "not all shown" for right in rows[SHOWN]]
        captions = tuple(f"{prompt}: {verdict}" for prompt, verdict in zip(rows["prompt"], verdicts, strict=True))
        shown.append((f"Prompts for {kind}", found.floor_pictures[rows.index.to_numpy()], captions))
    return shown


def side_by_side(settings: Profile, found: Findings, count: int = 6, seed: int = 0) -> tuple[list[Shown], list[str]]:
    """The same prompts with the same noise, a line per way to draw, and the prompts; each image says what is shown.

    The prompts are drawn at random from all, as many of each kind as possible.
    """
    first = found.items[found.items["picture_seed"] == 0]
    prompts = first.drop_duplicates("prompt_id")
    rng = random.Random(f"t2i/grid/{seed}")
    groups = [rng.sample(list(rows["prompt_id"]), len(rows)) for _, rows in prompts.groupby("kind", sort=True)]
    turns = [prompt for turn in itertools.zip_longest(*groups) for prompt in turn if prompt is not None]
    chosen = turns[:count]
    shown = []
    for method in methods(settings):
        rows = first[first["method"] == method].drop_duplicates("prompt_id").reset_index(names="place")
        rows = rows.set_index("prompt_id").loc[chosen]
        captions = [
            f"{'subject' if row.subject else 'no subject'}, {'negated thing too' if row.denied else 'nothing denied'}"
            for row in rows.rename(columns={neg_score.SUBJECT: "subject", neg_score.DENIED: "denied"}).itertuples()
        ]
        shown.append((title_of(method), found.pictures[rows["place"].to_numpy()], tuple(captions)))
    return shown, [str(text) for text in prompts.set_index("prompt_id").loc[chosen, "prompt"]]


def judged_grid(settings: Profile, count: int = 8, seed: int = 0) -> list[Shown]:
    """Held-out images of which the truth is known, made worse, with a question each, the answer and the truth."""
    look = picture_judge.load(settings)
    known = picture_judge.held_out(count, seed + 1)
    exam = picture_judge.exam(look, known, picture_judge.MIXED, seed).groupby("picture").sample(1, random_state=seed)
    pictures = picture_judge.degraded(known.pictures, picture_judge.MIXED, seed)
    captions = tuple(
        f"{row['question']} {'yes' if row['sure'] > 0.5 else 'no'} ({'right' if row['right'] else 'wrong'})"
        for row in exam.to_dict("records")
    )
    return [("Held-out images, made worse", pictures[exam["picture"].to_numpy()], captions)]
