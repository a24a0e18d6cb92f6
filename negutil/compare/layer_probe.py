"""Where in the text tower is negation? A linear probe per layer, distances, and t-SNE as CLIPGlasses drew it.

CLIPGlasses' Fig. 2 shows a t-SNE of 20 hand-picked pairs in the first layer, which supports no claim
(docs/protocols.md#layer-figure). Here sentences come in pairs that differ in their negation alone, for many nouns and
cues. A probe learns from one half of the nouns and all cues but one, and is tested on the other half with the cue that
it has not seen. Every sentence follows an opening of random length, so that its length says little; how little is a row
of its own.
"""

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from negutil import progress, statistics
from negutil.captions import english
from negutil.captions.english import NOUNS
from negutil.config import Bootstrap
from negutil.errors import NegutilError
from negutil.models import architectures, text_layers
from negutil.models.loader import LoadedModel

Features = NDArray[np.float32]
OUTPUT, LENGTH = "output", "length alone"
ACCURACY, SEEN = "probe accuracy, held-out nouns and cues", "probe accuracy, held-out nouns"
NEGATED, OTHER, GAP = 'cosine of "X" and "no X"', 'cosine of "X" and "Y"', "what negation moves"
PAIRS_SHOWN, TSNE_SEED = 20, 42
"""As published (docs/protocols.md#layer-figure)."""

_BATCH = 256
_OPENINGS = ("", "look: ", "this is what we see here: ", "a photo in which ", "the caption of this picture says that ")
_PAIRS: dict[str, tuple[str, str]] = {
    "no": ("there is no {bare}", "there is {one}"),
    "not": ("this is not {one}", "this is {one}"),
    "n't": ("there isn't {one}", "there is {one}"),
    "not any": ("there are not any {many}", "there are many {many}"),
    "without": ("a place without {one}", "a place with {one}"),
    "does not": ("it does not show {one}", "it does show {one}"),
    "never": ("{one} is never here", "{one} is always here"),
    "lacks": ("the scene lacks {one}", "the scene has {one}"),
    "absent": ("{one} is absent", "{one} is present"),
    "free of": ("a place free of {many}", "a place full of {many}"),
    "nowhere": ("{one} is nowhere to be seen", "{one} is clearly to be seen"),
    "devoid of": ("a scene devoid of {many}", "a scene made of {many}"),
}
"""For each cue a negated sentence and the same without negation."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of sentences: ``negated`` and ``affirmed`` [N], with the ``cues`` and ``nouns`` [N] of each pair."""

    negated: tuple[str, ...]
    affirmed: tuple[str, ...]
    cues: NDArray[np.str_]
    nouns: NDArray[np.str_]

    @property
    def texts(self) -> list[str]:
        """All negated sentences, then all others, [2 N]."""
        return [*self.negated, *self.affirmed]


def pairs(nouns: Sequence[str] = NOUNS, seed: int = 0) -> Pairs:
    """A pair of sentences for every cue and noun; each sentence has its own random opening."""
    rng = random.Random(f"layer probe/{seed}")
    rows = []
    for cue, forms in _PAIRS.items():
        for noun in nouns:
            words = {"bare": noun, "one": english.with_article(noun), "many": english.plural(noun)}
            negated, affirmed = (rng.choice(_OPENINGS) + form.format(**words) for form in forms)
            rows.append((negated, affirmed, cue, noun))
    first, second, cues, named = zip(*rows, strict=True)
    return Pairs(first, second, np.array(cues), np.array(named))


def layers(model: LoadedModel, texts: Sequence[str]) -> dict[str, Features]:
    """What the text tower holds at the end token: "layer 1" ... and "output", each [T, D] as the Lens reads them.

    That is through the tower's last normalisation and projection. Raises NegutilError for a text tower that is neither
    CLIP's own nor one of transformers, or on no texts.
    """
    if not texts or not text_layers.depth(model):
        raise NegutilError(f"'{model.name}' has no text tower like CLIP's, or there is no text: give a CLIP and texts.")
    blocks = range(text_layers.depth(model))
    batches = model.tokenizer(list(texts)).split(_BATCH)
    states = torch.cat([text_layers.at_end_token(model, tokens, blocks) for tokens in batches]).numpy()
    names = [*(f"layer {block + 1}" for block in blocks[:-1]), OUTPUT]
    return {name: states[:, block] for block, name in zip(blocks, names, strict=True)}


def lengths(model: LoadedModel, texts: Sequence[str]) -> Features:
    """The number of tokens of every text, one column for each number that occurs [T, K]: what length alone can tell."""
    count = architectures.text_lengths(model.model, model.tokenizer(list(texts))).numpy()
    return (count[:, None] == np.unique(count)[None]).astype(np.float32)


def probe(features: Features, sentences: Pairs, seed: int = 0, held_out_cues: bool = True) -> NDArray[np.float64]:
    """How much of every pair a linear probe has right (0, 1/2 or 1) that saw neither its noun nor its cue, [N].

    ``features`` [2 N, W] are those of ``Pairs.texts``. Logistic regression on standardised features, two folds of nouns
    times one for each cue; without ``held_out_cues`` it saw the cue with other nouns.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    named = np.unique(sentences.nouns)
    half = np.isin(sentences.nouns, np.random.default_rng(seed).permutation(named)[: len(named) // 2])
    is_negated = np.arange(len(features)) < len(features) // 2
    right = np.empty(2 * len(half))
    for own in (
        [sentences.cues == cue for cue in np.unique(sentences.cues)] if held_out_cues else [np.full(len(half), True)]
    ):
        for side in (False, True):
            train = np.tile((half != side) & ~own if held_out_cues else half != side, 2)
            test = np.tile(own & (half == side), 2)
            classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
            classifier.fit(features[train], is_negated[train])
            right[test] = classifier.predict(features[test]) == is_negated[test]
    found: NDArray[np.float64] = right.reshape(2, -1).mean(axis=0)
    return found


def distances(features: Features, sentences: Pairs) -> pd.DataFrame:
    """For every pair its cosine (``negated``), the mean one with other nouns' sentences (``other``), and the ``gap``.

    The gap is (1 - negated) / (1 - other): 1 where a negation moves a sentence as far as another noun does.
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    count = len(sentences.cues)
    near = (unit[:count] * unit[count:]).sum(axis=1)
    other = np.empty(count)
    for cue in np.unique(sentences.cues):
        own = unit[count:][sentences.cues == cue]
        other[sentences.cues == cue] = ((own @ own.T).sum(axis=1) - 1) / (len(own) - 1)
    return pd.DataFrame({"negated": near, "other": other, "gap": (1 - near) / (1 - other)})


def evaluate(model: LoadedModel, sentences: Pairs, seed: int = 0) -> pd.DataFrame:
    """A row per layer and pair: layer, pair, cue, noun, right, seen, negated, other, gap.

    ``right`` is of a probe that saw neither noun nor cue, ``seen`` of one that saw the cue; "length alone" has only
    these two.
    """
    features = {**layers(model, sentences.texts), LENGTH: lengths(model, sentences.texts)}
    parts = []
    for name, states in progress.bar("probing layers", features.items()):
        right, seen = (probe(states, sentences, seed, held_out) for held_out in (True, False))
        facts = {"layer": name, "pair": np.arange(len(sentences.cues)), "cue": sentences.cues, "noun": sentences.nouns}
        rows = pd.DataFrame(facts | {"right": right, "seen": seen})
        parts.append(rows if name == LENGTH else rows.join(distances(states, sentences)))
    return pd.concat(parts, ignore_index=True)


def summary(items: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """Means of ``evaluate``'s rows with intervals over cues: task, metric, value, low, high, n, over.

    Tasks are the layers and "layer 1 minus output" (paired). Cues are drawn whole: the interval says how the mean would
    differ with other ways to negate.
    """
    metrics = {ACCURACY: "right", SEEN: "seen", NEGATED: "negated", OTHER: "other", GAP: "gap"}
    rows = []
    for metric, column in metrics.items():
        wide = items.pivot(index=["pair", "cue"], columns="layer", values=column)[list(dict.fromkeys(items["layer"]))]
        wide = wide.dropna(axis=1, how="all")
        wide[f"layer 1 minus {OUTPUT}"] = wide["layer 1"] - wide[OUTPUT]
        for task in wide:
            clusters = wide.index.get_level_values("cue").to_numpy()
            mean = statistics.bootstrap_mean(wide[task], clusters, **dataclasses.asdict(bootstrap))
            rows.append({"task": task, "metric": metric, **dataclasses.asdict(mean)})
    return pd.DataFrame(rows)


def by_cue(items: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy of every layer (columns) for each held-out cue (rows)."""
    wide = items.pivot_table(index="cue", columns="layer", values="right", sort=False)
    return wide[list(dict.fromkeys(items["layer"]))].reset_index().rename_axis(columns=None)


def tsne(
    model: LoadedModel, sentences: Pairs, shown: Sequence[str] = ("layer 1", OUTPUT), seed: int = 0
) -> pd.DataFrame:
    """PAIRS_SHOWN pairs in two dimensions, as published: layer, pair, cue, noun, negated, x, y.

    The pairs are drawn at random (the published ones are the last 20 of a list). No point is left out; the published
    script drops those beyond the 98th percentile.
    """
    from sklearn.manifold import TSNE

    chosen = np.sort(np.random.default_rng(seed).permutation(len(sentences.cues))[:PAIRS_SHOWN])
    negated, affirmed = ([texts[row] for row in chosen] for texts in (sentences.negated, sentences.affirmed))
    found = layers(model, [*negated, *affirmed])
    facts = {
        "pair": np.tile(chosen, 2),
        "cue": np.tile(sentences.cues[chosen], 2),
        "noun": np.tile(sentences.nouns[chosen], 2),
    }
    facts["negated"] = np.repeat([True, False], len(chosen))
    perplexity = min(30, (2 * len(chosen) - 1) // 3)
    parts = []
    for name in shown:
        places = TSNE(perplexity=perplexity, random_state=TSNE_SEED).fit_transform(found[name])
        parts.append(pd.DataFrame({"layer": name, **facts, "x": places[:, 0], "y": places[:, 1]}))
    return pd.concat(parts, ignore_index=True)
