"""Profiles: the settings of a run, read from ``configs/<name>.toml`` and checked key by key.

A profile is a file of settings, never an ``if`` in the code.  To add a setting, add a field to the dataclass below and
the key to every file in ``configs/``: a missing or unknown key is an error.
"""

import functools
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from negutil import files, paths
from negutil.errors import NegutilError, no_such
from negutil.files import Settings

Missing = Literal["stop", "drop"]
"""What to do about images that are not on disk: stop, or leave out and count their rows."""


@dataclass(frozen=True, slots=True)
class Splits(Settings):
    """How many items one part of the world has in each split."""

    train: int
    val: int
    test: int


FULL_CAPTIONS = 0.3
"""COCO's captions leave things out, and so do those of the world."""


@dataclass(frozen=True, slots=True)
class World(Settings):
    """Sizes of the mini world's parts, and the seed that determines it.

    ``full_captions`` is the share of the captions of COCO's training images that name everything in the image. Such a
    caption makes its negation redundant; human captions, which do not, teach more. (If an image shows a single kind of
    thing, its other captions also name it.)
    """

    seed: int
    scenes: Splits
    voc: Splits
    refcocog: Splits
    phrasecut: Splits
    imagenet: Splits
    caltech101: Splits
    faces: Splits
    clips: Splits
    radiographs: Splits
    shapes: Splits
    ccneg: Splits
    alttexts: Splits
    full_captions: float = FULL_CAPTIONS


@dataclass(frozen=True, slots=True)
class Encode(Settings):
    """How models are run: ``batch`` items at a time (fixed, because batch size moves CLIP features slightly)."""

    batch: int


@dataclass(frozen=True, slots=True)
class Bootstrap(Settings):
    """Number of bootstrap resamples, and their seed."""

    resamples: int
    seed: int

    def moved(self, by: int) -> "Bootstrap":
        """The same with another seed, for another run."""
        return Bootstrap(self.resamples, self.seed + by)


@dataclass(frozen=True, slots=True)
class Curves(Settings):
    """Trainings of notebook 05 that vary the length, the number of captions, or the weight of a loss.

    Attributes:
        models: the profile's models to train.
        seeds: the seeds of each training, a subset of those of ``finetuning``.
        budgets: numbers of passes over the profile's captions (of the contrastive loss; all methods take the same
            number of steps), for ``methods``.
        shares: shares of the captions, each with the steps of ``share_budgets`` passes over all (none given: of all
            ``budgets``), for ``share_methods``.
        alphas: weights of the contrastive loss in NegFull (NegBench's alpha).
    """

    models: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    budgets: tuple[int, ...] = ()
    methods: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    share_budgets: tuple[int, ...] = ()
    share_methods: tuple[str, ...] = ()
    alphas: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Finetuning(Settings):
    """What notebook 05 fine-tunes: names are those of ``train.recipes``.

    Attributes:
        source: the settings to use in ``configs/finetune.toml``.
        examples: number of captions for the contrastive loss (0: all); the other methods take the same number of
            steps.
        seeds: a model of ``methods`` is trained from each.
        methods: the main rows of the tables, on every model of the profile.
        more_methods: further rows, only on ``control_models`` and from ``more_seeds``.
        controls: variants that are trained on ``control_models`` alone, from ``control_seeds`` alone.
        shares: shares of the fine-tuned weights in WiSE-FT's curve.
        processes: how many trainings run side by side.
        released: weights of ``configs/models.toml`` that authors give out, as rows beside the model of the same
            architecture.
        curves: further trainings, for figures of what longer training, more captions, or another loss would do.
    """

    source: str
    examples: int
    seeds: tuple[int, ...]
    methods: tuple[str, ...]
    more_methods: tuple[str, ...]
    more_seeds: tuple[int, ...]
    controls: tuple[str, ...]
    control_models: tuple[str, ...]
    control_seeds: tuple[int, ...]
    shares: tuple[float, ...]
    processes: int
    released: tuple[str, ...] = ()
    curves: Curves = Curves()


@dataclass(frozen=True, slots=True)
class Glasses(Settings):
    """What notebook 06 trains and evaluates: names are those of ``train.recipes``.

    Attributes:
        source: the settings to use in ``configs/glasses.toml``.
        examples: number of items used from a large training set (0: all).
        small: number of items in the small training set.
        seeds: glasses are trained from each.
        rivals: the fine-tuned models (recipes) to compare with, on every model of the profile.
        control_models: models on which ablations and controls are trained.
        strengths: how many items of CC-Neg are said in four strengths of negation.
        probe_nouns: how many nouns the sentences are about in which layers are probed for negation (0: all).
        processes: how many trainings run side by side.
    """

    source: str
    examples: int
    small: int
    seeds: tuple[int, ...]
    rivals: tuple[str, ...]
    control_models: tuple[str, ...]
    strengths: int
    probe_nouns: int
    processes: int


@dataclass(frozen=True, slots=True)
class Generation(Settings):
    """What notebook 07 draws: names of methods are those of ``train.recipes``.

    Attributes:
        pipeline: "minisd", or the folder or repository of a diffusers pipeline.
        base: the model whose text tower that pipeline has.
        methods: the fine-tuned text towers that replace it.
        seeds: towers from each of these seeds, which have to be among those of ``finetuning``.
        prompts: number of negated prompts (0: all).
        picture_seeds: images of each negated prompt and method; encoders from several seeds share them.
        captions: how many captions of TIFA (0: all).
        floor: how many affirmative prompts of each kind.
        steps, guidance, batch: of the sampler.
        judge: what looks at the images: "world", the mini world's judge, or "annotators", the vision model of
            ``configs/annotators.toml``.
        judge_pictures: on how many held-out images the judge is tested.
        processes: how many encoders draw side by side.
    """

    pipeline: str
    base: str
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    prompts: int
    picture_seeds: int
    captions: int
    floor: int
    steps: int
    guidance: float
    batch: int
    judge: Literal["world", "annotators"]
    judge_pictures: int
    processes: int


@dataclass(frozen=True, slots=True)
class Segmentation(Settings):
    """What notebook 08 segments with: names of methods are those of ``train.recipes``.

    Attributes:
        model: of ``configs/segmenters.toml``, which also says whose text towers fit.
        methods: the fine-tuned text towers that replace its own.
        seeds: towers from each of these seeds, which have to be among those of ``finetuning``.
        batch: number of images or phrases per batch.
        processes: number of parallel trainings of towers that are not trained yet.
    """

    model: str
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    batch: int
    processes: int


@dataclass(frozen=True, slots=True)
class Profile(Settings):
    """All settings of a run; ``models`` are names of the model registry.

    If ``published``, the data are the published ones, which the user puts under NEGUTIL_DATA; otherwise the mini
    world's, which are built in the cache if missing. ``missing`` says what loaders do about missing images.
    ``intervals`` says what intervals of trained models cover in the tables of notebooks 05 and 06: only the items, or
    also the training seeds (``statistics.two_way_bootstrap``); the numbers of every seed are listed either way.

    With ``photographs`` Flickr8k replaces COCO, LAION, CC-Neg and NegBench's images: how many photographs of its
    training, dev and test part are used (0: all). ``beside`` names models that notebook 03 also evaluates, if their
    weights are available.
    """

    name: str
    published: bool
    models: tuple[str, ...]
    world: World
    encode: Encode
    bootstrap: Bootstrap
    finetuning: Finetuning
    glasses: Glasses
    generation: Generation
    segmentation: Segmentation
    missing: Missing = "stop"
    photographs: Splits | None = None
    beside: tuple[str, ...] = ()
    intervals: Literal["items", "seeds and items"] = "items"

    @property
    def over_seeds(self) -> bool:
        """Whether intervals of trained models cover their training seeds."""
        return self.intervals != "items"

    @property
    def built(self) -> Path:
        """Folder of the datasets that negutil builds: the mini world, and datasets derived from other data."""
        share = self.world.full_captions
        return paths.built(self.name, self.world.seed, f"captions-{share:g}" if share != FULL_CAPTIONS else "")

    def with_full_captions(self, share: float) -> "Profile":
        """The same profile with another share of captions that name everything; its data have their own folder."""
        return replace(self, world=replace(self.world, full_captions=share))

    @property
    def data(self) -> Path:
        """Folder of the datasets: the published ones, or ``built``."""
        return paths.published() if self.published and self.photographs is None else self.built


def names() -> list[str]:
    """Names of the profiles that exist, sorted: of the files in ``configs/`` that say so in their ``name``."""
    files = paths.CONFIGS.glob("*.toml")
    return sorted(path.stem for path in files if f'name = "{path.stem}"'.encode() in path.read_bytes())


def resolve(name: str | None = None) -> str:
    """Name of the profile to use: ``name``, else the environment variable NEGUTIL_PROFILE, else ``mini``.

    Raises NegutilError if there is no such profile.
    """
    chosen = name or os.environ.get("NEGUTIL_PROFILE") or "mini"
    if chosen not in names():
        raise no_such("profile", chosen, names())
    return chosen


def load(name: str | None = None) -> Profile:
    """The profile ``name`` (None or "": NEGUTIL_PROFILE, or ``mini``); raises NegutilError if its file is wrong."""
    return read(paths.CONFIGS / f"{resolve(name)}.toml")


def read(path: Path) -> Profile:
    """The profile in the TOML file ``path``; raises NegutilError that names the file and the setting to fix."""
    return _read(path, path.stat().st_mtime_ns if path.exists() else 0)


@functools.lru_cache(maxsize=16)
def _read(path: Path, changed: int) -> Profile:
    """A profile, checked once until its file changes."""
    profile = files.checked(Profile, files.read_toml(path), str(path))
    if profile.name != path.stem:
        raise NegutilError(f"{path}: name is {profile.name!r} but the file is called {path.stem}: make them agree.")
    return profile
