"""Can a model read what it is asked? Every word of every evaluation text, and whether it means anything to the model.

A token that never occurs in pretraining keeps an embedding that means nothing: two sentences that differ in such words
are one sentence for the model, and whatever is asked about them is settled before the run. Three questions, in this
order: did pretraining meet every token (``meetings``), does every word move the embedding of a sentence (``moved``),
and does a linear probe on frozen features tell sentences with a cue from the same without (``layer_probe``)?
"""

import dataclasses
import random
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from negutil import files, statistics
from negutil.captions import english, probe_prompts, t2i_prompts
from negutil.compare import engine, evaluation, glasses_parts, layer_probe, negation_beyond, segmentation_items
from negutil.compare.affirmative import EXPERIMENT
from negutil.config import Profile
from negutil.data import skipped
from negutil.errors import NegutilError
from negutil.models import architectures, encode, loader, registry
from negutil.models.loader import LoadedModel
from negutil.statistics import Interval
from negutil.tasks import negbench

MEETINGS = ".tokens.csv"
"""The end of the table beside weights that says how often training met each token."""

FEWEST = 200
"""Meetings of a token below which a model is not expected to have learned it."""

LEAST = 1e-5
"""What a word must move at the least (1 minus the cosine): beyond rounding, which stays below 1e-6."""

ALL_CUES, PROBED = "all cues", "probe accuracy, new nouns"
MET, MOVED = f"tokens met {FEWEST} times in pretraining", "words that move their sentence"

WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


def texts(settings: Profile) -> dict[str, list[str]]:
    """Every different text that the profile's notebooks ask about, by where it is asked.

    Data of the mini world are built where they are missing; published ones that are missing are left out
    (``negutil.data.skipped``).
    """
    size = 16  # of masks that nobody looks at
    phrases = skipped.attempt(settings, "phrases", lambda: segmentation_items.load(settings, size), "phrasecut") or {}
    prompts = skipped.attempt(settings, "prompts", lambda: t2i_prompts.load(settings)["prompt"][:], "t2i_prompts") or []
    claims = negation_beyond.domains(settings).values()
    spoken = [{"bare": noun, "one": english.with_article(noun), "many": english.plural(noun)} for noun in english.NOUNS]
    asked: dict[str, Iterable[str]] = {
        "benchmarks": evaluation.prepare(settings).texts,
        "NegBench": (text for task in negbench.load_all(settings) for text in task.texts),
        "claims": (text for each in claims for part in (each.val, each.test) for text in part[0].claims["text"]),
        "binary probe": probe_prompts.texts(probe_prompts.read_prompts()),
        "layer probe": layer_probe.pairs().texts,
        "strengths of denial": (form.format(**named) for form in glasses_parts.STRENGTHS.values() for named in spoken),
        "text to image": prompts,
        "segmentation": (text for each in phrases.values() for text in each.texts),
    }
    return {where: list(dict.fromkeys(each)) for where, each in asked.items()}


def words(asked: Mapping[str, Iterable[str]]) -> pd.DataFrame:
    """Every word of the texts: word, texts (how many have it), where, and the shortest text with it as example."""
    found: dict[str, tuple[int, str, str]] = {}
    for where, each in asked.items():
        for text in each:
            for word in set(WORD.findall(text.lower())):
                count, place, shortest = found.get(word, (0, where, text))
                found[word] = (count + 1, place, min(shortest, text, key=len))
    rows = [(word, *about) for word, about in sorted(found.items())]
    return pd.DataFrame(rows, columns=["word", "texts", "where", "example"])


def tokens(asked: Mapping[str, Iterable[str]]) -> pd.DataFrame:
    """Every token of the texts once: token (its number) and text."""
    encoder = architectures.open_clip().SimpleTokenizer()
    # Joined, because cleaning a text costs more than its tokens, and a blank ends a token as the end of a text does.
    occurring = sorted({token for each in asked.values() for token in encoder.encode(" ".join(each))})
    return pd.DataFrame({"token": occurring, "text": [encoder.decode([token]).strip() for token in occurring]})


def meetings(occurring: pd.DataFrame, model: str) -> pd.DataFrame:
    """``occurring`` (of ``tokens``) with how often the pretraining of ``model`` met each token (0 where never).

    Raises NegutilError if no table of meetings lies beside the weights of the model.
    """
    weights = registry.find(model).file
    table = weights.with_suffix(MEETINGS) if weights else Path(MEETINGS)
    if not table.exists():
        raise NegutilError(f"{table} is not there: nobody counted what the pretraining of '{model}' met.")
    counted = files.read_csv(table, keep_default_na=False).set_index("token")["meetings"]
    return occurring.assign(meetings=counted.reindex(occurring["token"], fill_value=0).to_numpy())


def moved(model: LoadedModel, known: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """``known`` (of ``words``) with what putting another of its words in the word's place does to its example.

    The column ``moved`` is 1 minus the cosine of the features of the two texts: 0 for a word that means nothing.
    """
    rng, every = random.Random(seed), known["word"].tolist()
    pairs = []
    for word, example in zip(known["word"], known["example"].str.lower(), strict=True):
        other = rng.choice([each for each in every if each != word])
        pairs.append((example, re.sub(rf"(?<![a-z']){re.escape(word)}(?![a-z'])", other, example)))
    before, after = (encode.texts(model, list(side)) for side in zip(*pairs, strict=True))
    return known.assign(moved=1 - np.einsum("nd,nd->n", before, after, dtype=np.float64))


def cues(model: LoadedModel, seed: int = 0) -> pd.DataFrame:
    """How much of every pair with and without a ``cue`` a linear probe on the output has ``right``, on new nouns."""
    sentences = layer_probe.pairs(seed=seed)
    features = layer_probe.layers(model, sentences.texts)[layer_probe.OUTPUT]
    right = layer_probe.probe(features, sentences, seed, held_out_cues=False)
    return pd.DataFrame({"cue": sentences.cues, "right": right})


def run(settings: Profile, seed: int = 0) -> pd.DataFrame:
    """Whether every model of the profile can read what it is asked; writes the table ``reading``.

    Returns the words of all texts with what each model makes of them: word, texts, where, example, moved, model.
    """
    asked = texts(settings)
    known, occurring = words(asked), tokens(asked)
    resampling = dataclasses.asdict(settings.bootstrap)
    rows: list[dict[str, Any]] = []
    parts = []
    for name in settings.models:
        model = loader.load(name)
        met = meetings(occurring, name)["meetings"] >= FEWEST
        changed = moved(model, known, seed)
        read = cues(model, seed)
        found: dict[tuple[str, str], Interval] = {
            (MET, "share of tokens"): statistics.wilson(int(met.sum()), len(met)),
            (MOVED, "share of words"): statistics.wilson(int((changed["moved"] > LEAST).sum()), len(changed)),
        }
        found[f"cue: {ALL_CUES}", PROBED] = statistics.bootstrap_mean(read["right"], read["cue"], **resampling)
        for cue, group in read.groupby("cue"):
            found[f"cue: {cue}", PROBED] = statistics.bootstrap_mean(group["right"], **resampling)
        rows += [
            {"task": task, "model": name, "metric": metric, **dataclasses.asdict(interval)}
            for (task, metric), interval in found.items()
        ]
        parts.append(changed.assign(model=name))
    engine.save_numbers(pd.DataFrame(rows), settings, EXPERIMENT, "reading", seed=seed)
    return pd.concat(parts, ignore_index=True)
