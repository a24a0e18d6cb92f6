"""Who looks at generated images and answers questions about them, and how often that judge is wrong.

In the mini world it is a small network of its own (``JudgeNetwork``), which is trained on images and labels alone
(``miniworld.pretrain.judge``) and shares nothing with MiniCLIP, so that it does not have the defect that is measured;
with published data a vision-language model of ``configs/annotators.toml`` ("vision"). Every score is reported with the
judge's accuracy and calibration on held-out images, and also corrected for its error rates, by the estimator of Rogan
and Gladen (1978).
"""

import dataclasses
import difflib
import random
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dct
from torch import nn
from torch.nn import functional

from negutil import files, paths, statistics
from negutil.captions import annotators, caption_sets, picture_facts
from negutil.captions.annotators import VisionAnnotator
from negutil.captions.english import COLOURS
from negutil.config import Bootstrap, Profile
from negutil.data import source
from negutil.errors import NegutilError
from negutil.statistics import Floats, Interval

FILE = "judge.safetensors"
WEIGHTS = paths.WEIGHTS / FILE
BATCH = 256
BINS = 10
ALL = "all questions"
Pictures = NDArray[np.uint8]
CELLS = 8
"""The network looks at cells of 8 x 8 pixels, 8 in a row."""

CLEAN, BLURRED, NOISY, COARSE, BLOTCHED, MIXED = CONDITIONS = (
    *("clean", "blurred", "noisy", "coarse patches", "blotched", "mixed"),
)
"""Ways in which generated images are wrong: the judge learns from such images and is tested on them."""

_THERE, _RELATIONS, _OVERALL = map(len, (picture_facts.THERE, picture_facts.RELATIONS, picture_facts.OVERALL))


class Judge(Protocol):
    """Answers questions about images uint8 [N, H, W, 3], one question for each image."""

    name: str

    def yes(self, pictures: Pictures, questions: Sequence[str]) -> Floats:
        """How sure it is of "yes", [N] in 0..1; above 1/2 the answer is yes."""
        ...

    def choose(self, pictures: Pictures, questions: Sequence[str], choices: Sequence[Sequence[str]]) -> list[str]:
        """Which of its choices answers each question."""
        ...


# --------------------------------------------------------------------------------------------------------------------
# Judges


class JudgeNetwork(nn.Module):
    """Images [B, 3, 64, 64] in 0..1 to a logit for every fact, [B, F] in the order of ``picture_facts.FACTS``.

    What is there is looked for in every cell, and the cells are pooled by the logarithm of their summed odds. The odds
    of a coloured thing are those of the thing times the share of the colour in the same cell. Places and features of a
    face are read off the whole image.
    """

    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_block(3, 32, 5, 2),
            *_block(32, 64, 3, 2),
            *_block(64, 96, 3, 1),
            *_block(96, width, 3, 2),
            *_block(width, width, 3, 1),
        )
        self.cell = nn.Conv2d(width, _THERE + len(COLOURS) + _RELATIONS, 1)
        self.whole = nn.Sequential(
            nn.Conv2d(width, 32, 1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * CELLS * CELLS, 64), nn.ReLU()
        )
        self.overall = nn.Linear(64, _OVERALL)
        nn.init.constant_(self.cell.get_parameter("bias"), -8.0)
        self.register_buffer("scale", torch.ones(len(picture_facts.FACTS)))
        self.register_buffer("offset", torch.zeros(len(picture_facts.FACTS)))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits [B, F] before they are calibrated."""
        features = self.trunk(2 * pictures - 1)
        return self.pooled(*self.cells(features), self.overall(self.whole(features)))

    def cells(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return for every cell the logits of nouns, the logarithms of colours' shares, and the logits of relations.

        All are [B, ., cells]; ``features`` are those of the trunk.
        """
        nouns, colours, relations = (
            self.cell(features).float().flatten(2).split([_THERE, len(COLOURS), _RELATIONS], dim=1)
        )
        return nouns, functional.log_softmax(colours, dim=1), relations

    @staticmethod
    def pooled(
        nouns: torch.Tensor, colours: torch.Tensor, relations: torch.Tensor, overall: torch.Tensor
    ) -> torch.Tensor:
        """Return logits [B, F] of the image from those of its cells [B, ., cells] and of the whole [B, .]."""
        top = nouns.amax(dim=2, keepdim=True)
        # The logarithm of a sum over cells of products is a matrix product: nouns by colours.
        pairs = torch.einsum("bnp,bcp->bnc", (nouns - top).exp(), colours.exp()).clamp_min(1e-9).log() + top
        return torch.cat([nouns.logsumexp(2), relations.logsumexp(2), overall.float(), pairs.flatten(1)], dim=1)


def _block(inputs: int, outputs: int, kernel: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU()


class WorldJudge:
    """The judge of the mini world: knows the questions of ``picture_facts`` and raises NegutilError for others."""

    def __init__(self, file: Path = WEIGHTS) -> None:
        self.name = "judge of the mini world"
        self.file = file
        self._network = load_network(file)

    def facts(self, pictures: Pictures) -> Floats:
        """Return the probability of every fact about every image, [N, F] in the order of ``picture_facts.FACTS``.

        It is calibrated for yes and no being equally likely beforehand.
        """
        network, parts = self._network, []
        with torch.inference_mode():
            for start in range(0, len(pictures), BATCH):
                logits = network(as_input(torch.from_numpy(pictures[start : start + BATCH])))
                parts.append(torch.sigmoid(logits * network.scale + network.offset).numpy())
        return np.concatenate(parts).astype(np.float64)

    def yes(self, pictures: Pictures, questions: Sequence[str]) -> Floats:
        """As ``Judge.yes``."""
        _same_length(pictures, questions)
        numbers = [picture_facts.INDEX[picture_facts.fact_of(question)] for question in questions]
        return self._facts_once(pictures)[np.arange(len(pictures)), numbers]

    def choose(self, pictures: Pictures, questions: Sequence[str], choices: Sequence[Sequence[str]]) -> list[str]:
        """As ``Judge.choose``; of "yes" and "no" the first where it is surer than 1/2."""
        _same_length(pictures, questions)
        answers = []
        for facts, question, options in zip(self._facts_once(pictures), questions, choices, strict=True):
            if set(options) == {"yes", "no"}:
                is_yes = facts[picture_facts.INDEX[picture_facts.fact_of(question)]] > 0.5
                answers.append("yes" if is_yes else "no")
            else:
                sure = [facts[picture_facts.INDEX[picture_facts.fact_chosen(question, option)]] for option in options]
                answers.append(options[int(np.argmax(sure))])
        return answers

    def _facts_once(self, pictures: Pictures) -> Floats:
        """The facts of images of which many may be the same array rows, looked at once each."""
        place, _ = pd.factorize(np.array([row.tobytes() for row in pictures], dtype=object))
        return self.facts(pictures[np.unique(place, return_index=True)[1]])[place]


def _same_length(pictures: Pictures, questions: Sequence[str]) -> None:
    if len(pictures) != len(questions):
        raise NegutilError(f"There are {len(pictures)} images for {len(questions)} questions: give one of each.")


class ModelJudge:
    """A vision-language model as the judge; ``unread`` counts the replies that were neither yes nor no.

    Such a reply counts as half sure, so as "no". A free answer counts as the choice that it is most like in letters
    (the published TIFA asks a sentence embedding).
    """

    def __init__(self, annotator: VisionAnnotator) -> None:
        self.name = annotator.name
        self.unread = 0
        self._annotator = annotator

    def yes(self, pictures: Pictures, questions: Sequence[str]) -> Floats:
        """As ``Judge.yes``: 1, 0, or 1/2 where the reply cannot be read."""
        answers = [annotators.yes_no(text) for text in self._ask(pictures, questions)]
        self.unread += sum(answer is None for answer in answers)
        return np.array([0.5 if answer is None else float(answer) for answer in answers])

    def choose(self, pictures: Pictures, questions: Sequence[str], choices: Sequence[Sequence[str]]) -> list[str]:
        """As ``Judge.choose``."""
        replied = self._ask(pictures, questions)
        return [nearest(text, options) for text, options in zip(replied, choices, strict=True)]

    def _ask(self, pictures: Pictures, questions: Sequence[str]) -> list[str]:
        _same_length(pictures, questions)
        with tempfile.TemporaryDirectory() as folder:
            named = [Path(folder) / f"{index}.png" for index in range(len(pictures))]
            for file, picture in zip(named, pictures, strict=True):
                Image.fromarray(picture).save(file)
            return self._annotator.answer(named, questions)


def nearest(reply: str, choices: Sequence[str]) -> str:
    """The choice that ``reply`` names, or else the one that is most like it in letters."""
    text = reply.strip().strip(".!").lower()
    named = [choice for choice in choices if choice.lower() in text.split() or choice.lower() == text]
    if len(named) == 1:
        return named[0]
    likeness = [difflib.SequenceMatcher(None, text, choice.lower()).ratio() for choice in choices]
    return choices[int(np.argmax(likeness))]


def load(settings: Profile) -> Judge:
    """The judge of a profile: the mini world's, or the vision model that configs/annotators.toml names.

    Raises NegutilError if weights or settings are missing.
    """
    if settings.generation.judge == "world":
        return WorldJudge()
    return ModelJudge(caption_sets.annotators_of(settings).vision)


def name_of(settings: Profile) -> str:
    """Return what records call the judge of a profile, with the beginning of its weights' sha256 if it has a file."""
    judge = load(settings)
    return f"{judge.name} ({files.sha256(judge.file)[:12]})" if isinstance(judge, WorldJudge) else judge.name


def load_network(file: Path = WEIGHTS) -> JudgeNetwork:
    """The judge's network with the weights in ``file``; raises NegutilError if they are missing or do not fit."""
    again = "restore it, or run `negutil pretrain judge`"
    if not file.is_file():
        raise NegutilError(f"{file}, the weights of the judge, does not exist: {again}.")
    network = JudgeNetwork()
    try:
        network.load_state_dict(safetensors.torch.load(file.read_bytes()))
    except (safetensors.SafetensorError, RuntimeError) as problem:
        raise NegutilError(f"{file} does not hold the weights of the judge: {again}.") from problem
    return network.eval()


# --------------------------------------------------------------------------------------------------------------------
# How often it is wrong


@dataclass(frozen=True, slots=True)
class Rates:
    """How often a judge is right about one kind of question: where the truth is yes, and where it is no.

    ``yes`` and ``no`` are the numbers of questions behind ``sensitivity`` and ``specificity``.
    """

    sensitivity: float
    specificity: float
    yes: int
    no: int


def exam(
    judge: Judge, known: Any, condition: str = MIXED, seed: int = 0, pictures: Pictures | None = None
) -> pd.DataFrame:
    """What a judge says about images whose truth is known: image, kind, question, truth, sure, right, condition.

    Each image is asked, for every kind of question, one that is true and one that is not, where there are such. It is
    made worse by ``condition``, unless ``pictures`` are given that were made from the known ones in another way.
    """
    rows = [
        (row, fact.kind, picture_facts.question(fact), answer)
        for row, facts in enumerate(known.truths)
        for fact, answer in picture_facts.askable(facts, random.Random(f"exam/{seed}/{row}"))
    ]
    table = pd.DataFrame(rows, columns=["picture", "kind", "question", "truth"])
    shown = degraded(known.pictures, condition, seed) if pictures is None else pictures
    sure = judge.yes(shown[table["picture"]], table["question"].tolist())
    return table.assign(sure=sure, right=(sure > 0.5) == table["truth"], condition=condition)


def as_input(pictures: torch.Tensor) -> torch.Tensor:
    """Images uint8 [B, H, W, 3] as float32 [B, 3, H, W] in 0..1."""
    return pictures.permute(0, 3, 1, 2).float() / 255


def degraded(pictures: Pictures, condition: str, seed: int = 0) -> Pictures:
    """Images uint8 [N, 64, 64, 3] made worse in one of CONDITIONS."""
    source = torch.Generator().manual_seed(seed)
    parts = []
    for start in range(0, len(pictures), BATCH):
        worse = degrade(as_input(torch.from_numpy(pictures[start : start + BATCH])), condition, source)
        parts.append((worse * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())
    return np.concatenate(parts)


def rates(table: pd.DataFrame) -> dict[str, Rates]:
    """Return the error rates of every kind of question from the rows of ``exam``, and of all together under ALL.

    One error is added to each rate's errors and one right answer to its right ones, so that none is 0 or 1.
    """
    by_kind = {}
    for kind, part in (*table.groupby("kind", sort=False), (ALL, table)):
        count, right = Counter(part["truth"].tolist()), Counter(part.loc[part["right"], "truth"].tolist())
        sensitivity, specificity = ((right[truth] + 1) / (count[truth] + 2) for truth in (True, False))
        by_kind[str(kind)] = Rates(sensitivity, specificity, count[True], count[False])
    return by_kind


def summary(table: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """Return for every condition and kind of question: metric, value, low, high, n, over (images are resampled).

    The metrics are accuracy, sensitivity, specificity (with intervals) and calibration error.
    """
    rows = []
    for condition, answers in table.groupby("condition", sort=False):
        for kind, part in ((ALL, answers), *answers.groupby("kind", sort=False)):
            chosen = {"accuracy": part, "sensitivity": part[part["truth"]], "specificity": part[~part["truth"]]}
            metrics = {
                metric: statistics.bootstrap_share(each["right"], each["picture"], bootstrap.resamples, bootstrap.seed)
                for metric, each in chosen.items()
            }
            error = calibration_error(part["sure"].to_numpy(float), part["truth"].to_numpy(bool))
            metrics["calibration error"] = Interval(error, np.nan, np.nan, len(part), "")
            about = {"condition": condition, "kind": str(kind)}
            rows += [{**about, "metric": name, **dataclasses.asdict(interval)} for name, interval in metrics.items()]
    return pd.DataFrame(rows)


def calibration_error(sure: Floats, truth: NDArray[np.bool_]) -> float:
    """Expected calibration error over ten bins of equal width, with yes and no weighing the same.

    That is how far, on average, the share of true answers in a bin is from how sure the judge is there.
    """
    weights = np.where(truth, 0.5 / max(truth.sum(), 1), 0.5 / max((~truth).sum(), 1))
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    confidence, true = np.bincount(bins, weights * sure, BINS), np.bincount(bins, weights * truth, BINS)
    return float(np.abs(confidence - true).sum() / weights.sum())


def reliability(table: pd.DataFrame) -> pd.DataFrame:
    """Return for every condition and bin of how sure the judge is: the mean of that, the share of true answers, n."""
    yes = table.groupby("condition")["truth"].transform("mean")
    weight = np.where(table["truth"], 0.5 / yes, 0.5 / (1 - yes))
    bins = np.minimum((table["sure"] * BINS).astype(int), BINS - 1)
    weighted = table.assign(bin=bins, weight=weight, said=table["sure"] * weight, true=table["truth"] * weight, n=1)
    sums = weighted.groupby(["condition", "bin"], sort=False)[["weight", "said", "true", "n"]].sum()
    shares = {"sure": sums["said"] / sums["weight"], "true": sums["true"] / sums["weight"], "n": sums["n"]}
    return pd.DataFrame(shares).reset_index().sort_values(["condition", "bin"], kind="stable", ignore_index=True)


# --------------------------------------------------------------------------------------------------------------------
# Corrected answers


def corrected(answers: NDArray[np.bool_], sensitivity: Floats | float, specificity: Floats | float) -> Floats:
    """Answers as unbiased estimates of the truth: their mean is Rogan and Gladen's corrected share of "yes".

    A "yes" counts a little more than 1 and a "no" a little less than 0, so that errors cancel in the mean. Raises
    NegutilError where the judge does no better than a coin.
    """
    power = np.asarray(sensitivity) + np.asarray(specificity) - 1
    if (power <= 0).any():
        raise NegutilError("The judge's answers are no better than a coin's, so no score can be corrected: train it.")
    return (answers - (1 - np.asarray(specificity))) / power


def corrected_by_kind(answers: pd.Series, kinds: Iterable[str], rates: Mapping[str, Rates]) -> Floats:
    """Return answers as ``corrected``, each by the error rates of the kind of its question, else by those of all."""
    of_each = [rates.get(kind) or rates[ALL] for kind in kinds]
    sensitivity, specificity = (
        np.array([getattr(rate, name) for rate in of_each]) for name in ("sensitivity", "specificity")
    )
    return corrected(answers.to_numpy(bool), sensitivity, specificity)


def held_out(count: int, seed: int = 0) -> Any:
    """Held-out images of the mini world for ``exam``, with ``pictures`` and ``truths``."""
    return source.world().judge_pictures(count, seed)


# --------------------------------------------------------------------------------------------------------------------
# Images made worse in the ways in which generated ones are: the error rates on clean drawings would flatter the judge


def degrade(pictures: torch.Tensor, condition: str, source: torch.Generator) -> torch.Tensor:
    """Return images [B, 3, H, W] in 0..1 in one of CONDITIONS; "mixed" draws a condition for each image.

    How much each is made worse is drawn from ``source`` too.
    """
    if condition == MIXED:
        ways = CONDITIONS[:-1]
        drawn = torch.randint(len(ways), (len(pictures),), generator=source)
        mixed = pictures.clone()
        for index, name in enumerate(ways):
            chosen = drawn == index
            if chosen.any():
                mixed[chosen] = degrade(pictures[chosen], name, source)
        return mixed
    strength = torch.rand(len(pictures), 1, 1, 1, generator=source)
    batch, _, height, width = pictures.shape
    if condition == BLURRED:  # a mixture of the image with itself blurred by a Gaussian of 1.2 pixels
        line = torch.exp(-(torch.arange(-3, 4, dtype=torch.float32) ** 2) / (2 * 1.2**2))
        kernel = torch.outer(line, line)[None, None].repeat(3, 1, 1, 1) / line.sum() ** 2
        padded = functional.pad(pictures, (3, 3, 3, 3), mode="replicate")
        pictures = torch.lerp(pictures, functional.conv2d(padded, kernel, groups=3), 0.3 + 0.7 * strength)
    if condition == NOISY:  # up to 0.12 in every pixel
        pictures = pictures + 0.12 * strength * torch.randn(pictures.shape, generator=source)
    if condition in (COARSE, BLOTCHED):  # a quarter of the waves of every patch, as a small autoencoder keeps them
        patches = pictures.view(batch, 3, height // CELLS, CELLS, width // CELLS, CELLS).transpose(3, 4)
        rough = (patches.flatten(4) @ _slow_waves(CELLS**2 // 4).to(pictures)).view(patches.shape)
        pictures = torch.lerp(pictures, rough.transpose(3, 4).reshape(pictures.shape), 0.4 + 0.6 * strength)
    if condition == BLOTCHED:  # and smooth stains of up to 0.25
        stains = torch.randn(batch, 3, height // CELLS, width // CELLS, generator=source)
        spread = functional.interpolate(stains, size=(height, width), mode="bilinear", align_corners=False)
        pictures = pictures + 0.25 * strength * spread
    return pictures.clamp(0, 1)


@cache
def _slow_waves(count: int) -> torch.Tensor:
    """The projection [64, 64] of a patch onto its ``count`` slowest cosine waves."""
    waves = dct(np.eye(CELLS), axis=0, norm="ortho")
    order = np.argsort(np.add.outer(np.arange(CELLS), np.arange(CELLS)).ravel(), kind="stable")[:count]
    basis = np.einsum("ax,by->abxy", waves, waves).reshape(CELLS**2, CELLS**2)[order]
    return torch.from_numpy((basis.T @ basis).astype(np.float32))
