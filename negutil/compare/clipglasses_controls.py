"""Controls of notebook 06: glasses with a part taken away or replaced after their training, and other images.

Each answers one question that CLIPGlasses' tables leave open: what does the mask do by itself, what would one without
errors do, what does the predicted object add to a random one, what does a lambda of every pair add to a constant, what
is there before the Frame has learned anything, how much does the gold image give away in retrieval, and what did
pixels without CLIP's mean and standard deviation cost?
"""

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from negutil.captions import phrasing
from negutil.compare.evaluation import Evaluation, EvaluationData
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models import glasses_model, loader, scorer
from negutil.models.glasses import Glasses
from negutil.models.glasses_model import GlassesModel
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Features, Scorer
from negutil.statistics import Floats
from negutil.tasks import ccneg
from negutil.tasks.negbench import Rows
from negutil.train import glasses_sets

MASK, RANDOM, CONSTANT = "the mask alone", "random object vector", "constant lambda"
OBJECT, GOLD, PIXELS = "true object, untrained Frame", "lambda of the gold image", "without mean and std"
TRUE_MASK = "true mask"
AVERAGED = 500
"""Training items over which the constant penalty and the constant lambda are averaged."""


def load(evaluation: Evaluation, data: EvaluationData, settings: Profile) -> Scorer:
    """The model of an evaluation with its change, having read all texts; raises NegutilError for an unknown change."""
    if evaluation.change and evaluation.change not in CHANGES:
        raise NegutilError(f"There is no change '{evaluation.change}'; there are {', '.join(CHANGES)}.")
    model: GlassesModel | LoadedModel
    if glasses_model.is_name(evaluation.model):
        model = glasses(evaluation.model, settings)
        model.remember(data.texts)
    else:
        model = _clip(evaluation.model, settings)
    changed_model = CHANGES[evaluation.change](model, data, settings) if evaluation.change else model
    return scorer.of(changed_model, settings.encode.batch)


def changed(model: GlassesModel, **settings: object) -> GlassesModel:
    """The same glasses with other settings of their modules, which must have the same weights."""
    glasses = copy.deepcopy(model.glasses)
    config = dataclasses.replace(glasses.config, **settings)  # type: ignore[arg-type]
    glasses.config = glasses.lens.config = glasses.frame.config = config
    return dataclasses.replace(model, glasses=glasses)


@torch.inference_mode()
def averages(model: GlassesModel, settings: Profile) -> tuple[float, float]:
    """Mean lambda, and mean penalty in logits, that glasses give negated captions of CC-Neg with their images.

    They are AVERAGED training items, so that no constant is read off the evaluation's items.
    """
    texts, images = _training_pairs(model.tower.name, settings)
    last, levels = model.layers(texts)
    strength = lambdas(model, texts, images)
    toward, seen = (
        torch.nn.functional.normalize(each, dim=-1)
        for each in (model.glasses.absent(last, levels), torch.from_numpy(images))
    )
    near = (toward * seen).sum(dim=-1).clamp(min=0).numpy()
    return float(strength.mean()), float((strength * near).mean() * model.glasses.scale.item())


@torch.inference_mode()
def lambdas(model: GlassesModel, texts: Sequence[str], images: Features) -> Floats:
    """Lambda [N] of every text with the image of its row."""
    last, levels = model.layers(texts)
    found: torch.Tensor = model.glasses.frame(last, model.glasses.absent(last, levels), torch.from_numpy(images))
    return found.numpy().astype(float)


@torch.inference_mode()
def masked(model: GlassesModel, texts: Sequence[str], _images: Features | None = None) -> Floats:
    """Whether the classifier calls each text negated, 1 or 0 [N]; the images do not matter."""
    return model.glasses.masked(model.layers(texts)[0]).numpy().astype(float)


def negates(texts: Sequence[str]) -> NDArray[np.bool_]:
    """The true mask [T]: whether each text holds a cue of negation, as ``captions.phrasing`` reads it."""
    return (phrasing.table(texts)["cue"] != "").to_numpy(bool)


class TrulyMasked(Scorer):
    """Glasses with the true mask (``negates``) instead of the classifier's: what a classifier without errors gives."""

    def __init__(self, model: GlassesModel) -> None:
        self.name, self.tower = f"{model.name}|{TRUE_MASK}", model.tower
        self._worn, self._bare = changed(model, mask="always"), changed(model, constant_penalty=0.0)

    def paired(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the score [N] of each text with its image."""
        return np.where(negates(texts), self._worn.paired(texts, images), self._bare.paired(texts, images))

    def matrix(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the scores [T, M]."""
        masked = negates(texts)[:, None]
        return np.where(masked, self._worn.matrix(texts, images), self._bare.matrix(texts, images))


class Told(Scorer):
    """Glasses that do not look for what a text denies but get it from ``absent_of``: T_neg [T, D] of some texts."""

    def __init__(self, model: GlassesModel, what: str, absent_of: Callable[[Sequence[str]], torch.Tensor]) -> None:
        self.name, self.tower = f"{model.name}|{what}", model.tower
        self._model, self._absent_of = model, absent_of

    @torch.inference_mode()
    def paired(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the score [N] of each text with its image."""
        seen, absent = torch.from_numpy(images), self._absent_of(texts)
        return self._model.glasses.paired(*self._model.layers(texts), seen, negated=absent).numpy().astype(float)

    @torch.inference_mode()
    def matrix(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the scores [T, M]."""
        found: torch.Tensor = self._model.glasses(
            *self._model.layers(texts), torch.from_numpy(images), negated=self._absent_of(texts)
        )
        return found.numpy().astype(float)


def random_objects(width: int, seed: int = 0) -> Callable[[Sequence[str]], torch.Tensor]:
    """What gives every text a random direction [D] of its own, the same on every machine."""

    def directions(texts: Sequence[str]) -> torch.Tensor:
        drawn = [np.random.default_rng([seed, *text.encode()]).standard_normal(width) for text in texts]
        return torch.tensor(np.array(drawn), dtype=torch.float32)

    return directions


def true_objects(model: GlassesModel, objects: Mapping[str, str]) -> Callable[[Sequence[str]], torch.Tensor]:
    """What gives a text of ``objects`` the vector of the object that it denies, and any other text the Lens's."""

    def vectors(texts: Sequence[str]) -> torch.Tensor:
        absent = model.glasses.absent(*model.layers(texts))
        known = [row for row, text in enumerate(texts) if text in objects]
        if known:
            absent[known] = model.layers([glasses_sets.target(objects[texts[row]]) for row in known])[0]
        return absent

    return vectors


def with_untrained_frame(model: GlassesModel, seed: int = 0) -> GlassesModel:
    """The same Lens and classifier with a Frame that has learned nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        glasses = Glasses(model.glasses.config, model.glasses.scale.item()).eval()
    glasses.lens.load_state_dict(model.glasses.lens.state_dict())
    glasses.gate.load_state_dict(model.glasses.gate.state_dict())
    return dataclasses.replace(model, glasses=glasses)


class GoldPicture(Scorer):
    """Glasses with one lambda for each query, from the image that it looks for, as the released code has it."""

    def __init__(self, model: GlassesModel, captions: Sequence[str], rows: Rows) -> None:
        self.name, self.tower = f"{model.name}|{GOLD}", model.tower
        self._model, self._captions, self._rows = changed(model, lambda_from="row"), list(captions), rows

    def paired(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the score [N] of each text with its image."""
        return self._model.paired(texts, images)

    @torch.inference_mode()
    def matrix(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the scores [T, M] of the captions; raises NegutilError for other texts, whose image is not known."""
        if list(texts) != self._captions:
            raise NegutilError("Only the captions themselves have a gold image: ask for all of them in their order.")
        last, levels = self._model.layers(texts)
        partners = torch.from_numpy(self._rows)
        found: torch.Tensor = self._model.glasses(last, levels, torch.from_numpy(images), partners=partners)
        return found.numpy().astype(float)


def unnormalised(model: LoadedModel) -> LoadedModel:
    """The model with images scaled to [0, 1] and no more, as CLIPGlasses' released code has them.

    See docs/protocols.md#glasses-evaluation.
    """
    entry = dataclasses.replace(model.entry, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    fingerprint = model.fingerprint | {"preprocessing": entry.preprocessing}
    return dataclasses.replace(model, entry=entry, preprocess=loader.preprocessing(entry), fingerprint=fingerprint)


def _true_object(model: GlassesModel, data: EvaluationData, _settings: Profile) -> Scorer:
    objects: dict[str, str] = {}
    items = data.benchmarks.get(ccneg.TITLE)
    for rows in items.sides if items else []:
        texts = [pair[1] for pair in ccneg.pairs(rows)]
        objects |= {text: noun for text, noun in zip(texts, rows["negated_object"][:], strict=True) if noun}
    return Told(with_untrained_frame(model), OBJECT, true_objects(model, objects))


def _raw_pixels(model: GlassesModel | LoadedModel, *_: object) -> LoadedModel | Scorer:
    if isinstance(model, LoadedModel):
        return unnormalised(model)
    return dataclasses.replace(model, tower=unnormalised(model.tower))


CHANGES: dict[str, Callable[..., LoadedModel | Scorer]] = {
    MASK: lambda model, _, settings: changed(model, constant_penalty=averages(model, settings)[1]),
    RANDOM: lambda model, *_: Told(model, RANDOM, random_objects(model.glasses.config.width)),
    CONSTANT: lambda model, _, settings: changed(model, constant_lambda=averages(model, settings)[0]),
    OBJECT: _true_object,
    GOLD: lambda model, data, _: (
        GoldPicture(model, data.queries.captions, data.queries.rows) if data.queries else model
    ),
    PIXELS: _raw_pixels,
    TRUE_MASK: lambda model, *_: TrulyMasked(model),
}
"""Makes the changed model from a model, the data of the benchmarks, and the settings."""


@functools.lru_cache(maxsize=2)
def glasses(name: str, settings: Profile) -> GlassesModel:
    """The pair of glasses called ``name``; the last two stay loaded."""
    return glasses_model.load(name, settings.name)


@functools.lru_cache(maxsize=2)
def _clip(name: str, settings: Profile) -> LoadedModel:
    return loader.load(name, profile=settings.name)


@functools.lru_cache(maxsize=2)
def _training_pairs(base: str, settings: Profile) -> tuple[list[str], Features]:
    """Negated captions of CC-Neg's training items and the features of their images, for one CLIP."""
    found = glasses_sets.load(glasses_sets.CCNEG, loader.load(base, profile=settings.name), settings)
    chosen = found.take(np.sort(np.random.default_rng(0).permutation(len(found))[:AVERAGED]))
    return chosen.negated, chosen.images[chosen.rows]
