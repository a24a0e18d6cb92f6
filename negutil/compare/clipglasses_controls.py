"""Controls of notebook 06: glasses with a part taken away or replaced after their training, and other pictures.

Each answers one question that CLIPGlasses' tables leave open: what does the mask do by itself, what does the predicted
object add to a random one, what does a lambda of every pair add to a constant, what is there before the Frame has
learned anything, how much does the gold picture give away in retrieval, and what did pixels without CLIP's mean and
standard deviation cost?
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from negutil.compare.negationclip_items import Asked
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models import glasses_model, loader, registry, scorer
from negutil.models.glasses import Glasses
from negutil.models.glasses_model import GlassesModel
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Features, Scorer
from negutil.statistics import Floats
from negutil.tasks import ccneg
from negutil.tasks.negbench import Queries, Questions, Rows
from negutil.train import glasses_sets

TaskKind = TypeVar("TaskKind", Queries, Questions)
MASK, RANDOM, CONSTANT = "the mask alone", "random object vector", "constant lambda"
OBJECT, GOLD, PIXELS = "true object, untrained Frame", "lambda of the gold picture", "without mean and std"
AVERAGED = 500
"""Training items over which the constant penalty and the constant lambda are averaged."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A model that is asked some part of ``clipglasses_items``, after a ``change`` of CHANGES ("": as it is)."""

    model: str
    part: str
    change: str = ""

    @property
    def name(self) -> str:
        """What its answers are called."""
        return f"{self.model}|{self.change}" if self.change else self.model


def load(asking: Asking, everything: Asked, settings: Profile) -> Scorer:
    """The model with its change, having read all texts; raises NegutilError for an unknown change or model."""
    is_pair = glasses_model.is_name(asking.model)
    model = glasses(asking.model, settings) if is_pair else _clip(asking.model, settings)
    if isinstance(model, GlassesModel):
        model.remember(everything.texts)
    if not asking.change:
        return scorer.of(model, settings.encode.batch)
    if asking.change not in CHANGES:
        raise NegutilError(f"There is no change '{asking.change}'; there are {', '.join(CHANGES)}.")
    return CHANGES[asking.change](model, everything, settings)


def identity(asking: Asking, settings: Profile) -> str:
    """What identifies the model's weights, without loading it."""
    if glasses_model.is_name(asking.model):
        return glasses_model.sha256(asking.model, settings.name)
    entry = registry.find(asking.model)
    return f"{loader.locate(entry)[1]} {entry.architecture} {entry.activation} {sorted(entry.preprocessing.items())}"


def logits_per_unit(model: Scorer) -> float:
    """How many logits one unit of ``model``'s scores is: glasses give logits, CLIPs cosines."""
    return model.tower.model.logit_scale.exp().item() if isinstance(model, scorer.Cosine) else 1.0


def changed(model: GlassesModel, **settings: object) -> GlassesModel:
    """The same glasses with other settings of their modules, which must have the same weights."""
    glasses = copy.deepcopy(model.glasses)
    config = dataclasses.replace(glasses.config, **settings)  # type: ignore[arg-type]
    glasses.config = glasses.lens.config = glasses.frame.config = config
    return dataclasses.replace(model, glasses=glasses)


@torch.inference_mode()
def averages(model: GlassesModel, settings: Profile) -> tuple[float, float]:
    """Mean lambda, and mean penalty in logits, that glasses give negated captions of CC-Neg with their pictures.

    They are AVERAGED training items, so that no constant is read off what is asked.
    """
    texts, images = _training_pairs(model.tower.name, settings)
    last, levels = model.layers(texts)
    glasses, seen = model.glasses, torch.from_numpy(images)
    strength = lambdas(model, texts, images)
    toward = torch.nn.functional.normalize(glasses.absent(last, levels), dim=-1)
    near = (toward * torch.nn.functional.normalize(seen, dim=-1)).sum(dim=-1).clamp(min=0).numpy()
    return float(strength.mean()), float((strength * near).mean() * glasses.scale.item())


@torch.inference_mode()
def lambdas(model: GlassesModel, texts: Sequence[str], images: Features) -> Floats:
    """Lambda [N] of every text with the picture of its row."""
    last, levels = model.layers(texts)
    found: torch.Tensor = model.glasses.frame(last, model.glasses.absent(last, levels), torch.from_numpy(images))
    return found.numpy().astype(float)


@torch.inference_mode()
def masked(model: GlassesModel, texts: Sequence[str], _images: Features | None = None) -> Floats:
    """Whether the classifier calls each text negated, 1 or 0 [N]; the pictures do not matter."""
    return model.glasses.masked(model.layers(texts)[0]).numpy().astype(float)


class Told(Scorer):
    """Glasses that are told what a text denies, by ``absent_of``: T_neg [T, D] of some texts."""

    def __init__(self, model: GlassesModel, what: str, absent_of: Callable[[Sequence[str]], torch.Tensor]) -> None:
        self.name, self.tower = f"{model.name}|{what}", model.tower
        self._model, self._absent_of = model, absent_of

    @torch.inference_mode()
    def paired(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the score [N] of each text with its picture."""
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
    """Glasses with one lambda for each query, from the picture that it looks for, as the released code has it."""

    def __init__(self, model: GlassesModel, captions: Sequence[str], rows: Rows) -> None:
        self.name, self.tower = f"{model.name}|{GOLD}", model.tower
        self._model, self._captions, self._rows = changed(model, lambda_from="row"), list(captions), rows

    def paired(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the score [N] of each text with its picture."""
        return self._model.paired(texts, images)

    @torch.inference_mode()
    def matrix(self, texts: Sequence[str], images: Features) -> Floats:
        """Return the scores [T, M] of the captions; raises NegutilError for other texts, whose picture is not known."""
        if list(texts) != self._captions:
            raise NegutilError("Only the captions themselves have a gold picture: ask for all of them in their order.")
        last, levels = self._model.layers(texts)
        partners = torch.from_numpy(self._rows)
        found: torch.Tensor = self._model.glasses(last, levels, torch.from_numpy(images), partners=partners)
        return found.numpy().astype(float)


# --------------------------------------------------------------------------------------------------------------------
# Changes


def negbench_task(everything: Asked, kind: type[TaskKind]) -> TaskKind | None:
    """NegBench's task of a kind (multiple choice or retrieval) among ``everything``; None where its files are not."""
    return next((task for task in everything.negbench if isinstance(task, kind)), None)


def unnormalised(model: LoadedModel) -> LoadedModel:
    """The model with pictures scaled to [0, 1] and no more, as CLIPGlasses' released code has them.

    See docs/protocols.md#glasses-evaluation.
    """
    entry = dataclasses.replace(model.entry, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    fingerprint = model.fingerprint | {"preprocessing": entry.preprocessing}
    return dataclasses.replace(model, entry=entry, preprocess=loader.preprocessing(entry), fingerprint=fingerprint)


def _true_object(model: GlassesModel, everything: Asked, _settings: Profile) -> Scorer:
    objects: dict[str, str] = {}
    items = everything.data.get(ccneg.TITLE)
    for rows in items.sides if items else []:
        texts = [pair[1] for pair in ccneg.pairs(rows)]
        objects |= {text: noun for text, noun in zip(texts, rows["negated_object"][:], strict=True) if noun}
    return Told(with_untrained_frame(model), OBJECT, true_objects(model, objects))


def _gold(model: GlassesModel, everything: Asked, _settings: Profile) -> Scorer:
    task = negbench_task(everything, Queries)
    return model if task is None else GoldPicture(model, task.captions, task.rows)


def _raw_pixels(model: GlassesModel | LoadedModel, _everything: Asked, settings: Profile) -> Scorer:
    if isinstance(model, LoadedModel):
        return scorer.of(unnormalised(model), settings.encode.batch)
    return dataclasses.replace(model, tower=unnormalised(model.tower))


CHANGES: dict[str, Callable[..., Scorer]] = {
    MASK: lambda model, _, settings: changed(model, constant_penalty=averages(model, settings)[1]),
    RANDOM: lambda model, *_: Told(model, RANDOM, random_objects(model.glasses.config.width)),
    CONSTANT: lambda model, _, settings: changed(model, constant_lambda=averages(model, settings)[0]),
    OBJECT: _true_object,
    GOLD: _gold,
    PIXELS: _raw_pixels,
}
"""What makes the scorer of a change from a model, everything that is asked, and the settings."""


@functools.lru_cache(maxsize=2)
def glasses(name: str, settings: Profile) -> GlassesModel:
    """The pair of glasses called ``name``; the last two stay loaded."""
    return glasses_model.load(name, settings.name)


@functools.lru_cache(maxsize=2)
def _clip(name: str, settings: Profile) -> LoadedModel:
    return loader.load(name, profile=settings.name)


@functools.lru_cache(maxsize=2)
def _training_pairs(base: str, settings: Profile) -> tuple[list[str], Features]:
    """Negated captions of CC-Neg's training items and the features of their pictures, for one CLIP."""
    found = glasses_sets.load(glasses_sets.CCNEG, loader.load(base, profile=settings.name), settings)
    chosen = np.random.default_rng(0).permutation(len(found))[:AVERAGED]
    own = found.take(np.sort(chosen))
    return own.negated, own.images[own.rows]
