"""Can a model read what it is asked? Every word of every evaluation text, and whether it means anything to the model.

A token that never occurs in pretraining keeps an embedding that means nothing: two sentences that differ in such words
are one sentence for the model, and whatever is asked about them is settled before the run. Three questions, in this
order: did pretraining meet every token (``tokens``), does every word move the embedding of a sentence (``moved``), and
does a linear probe on frozen features tell sentences with a cue from the same without (``layer_probe``)?
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from negutil import files
from negutil.captions import english, probe_prompts, t2i_prompts
from negutil.compare import evaluation, glasses_parts, layer_probe, negation_beyond, segmentation_items
from negutil.config import Profile
from negutil.data import skipped
from negutil.errors import NegutilError
from negutil.models import architectures, encode, registry
from negutil.models.loader import LoadedModel
from negutil.tasks import negbench

MEETINGS = ".tokens.csv"
"""The end of the table beside weights that says how often training met each token."""

FEWEST = 200
"""Meetings of a token below which a model is not expected to have learned it."""

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


def tokens(asked: Mapping[str, Iterable[str]], model: str) -> pd.DataFrame:
    """Every token of the texts: token, text, and how often the pretraining of ``model`` met it (0 where never).

    Raises NegutilError if no table of meetings lies beside the weights of the model.
    """
    weights = registry.find(model).file
    table = weights.with_suffix(MEETINGS) if weights else Path(MEETINGS)
    if not table.exists():
        raise NegutilError(f"{table} is not there: nobody counted what the pretraining of '{model}' met.")
    meetings = files.read_csv(table, keep_default_na=False).set_index("token")["meetings"]
    encoder = architectures.open_clip().SimpleTokenizer()
    occurring = sorted({token for each in asked.values() for text in each for token in encoder.encode(text)})
    said = [encoder.decode([token]).strip() for token in occurring]
    met = meetings.reindex(occurring, fill_value=0).to_numpy()
    return pd.DataFrame({"token": occurring, "text": said, "meetings": met})


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


def cues(model: LoadedModel, seed: int = 0) -> pd.Series:
    """For each cue the share of pairs with and without it that a linear probe on the output has right, on new nouns."""
    sentences = layer_probe.pairs(seed=seed)
    features = layer_probe.layers(model, sentences.texts)[layer_probe.OUTPUT]
    right = layer_probe.probe(features, sentences, seed, held_out_cues=False)
    return pd.Series(right).groupby(sentences.cues).mean()
