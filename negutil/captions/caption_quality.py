"""How good captions with negation are: natural, plausible, diverse (``miniworld.caption_truth`` knows which are true).

Naturalness is measured in bits per word under an n-gram model of the affirmative captions; the caption before the
negation, the template and shuffled words show what the numbers mean. None of these needs a trained model.
"""

import itertools
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np
import pandas as pd

from negutil.captions import phrasing
from negutil.captions.statements import Statement, template
from negutil.statistics import Floats

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?|[,;:]")


def words(text: str) -> list[str]:
    """Words and inner punctuation of a text in lower case."""
    return _WORD.findall(text.lower())


class NGrams:
    """An n-gram model of words with interpolated Kneser-Ney smoothing (Kneser and Ney 1995; Chen and Goodman 1999).

    ``order`` is 3 by default, with one absolute discount of 0.75 at every order. Words not met in training share the
    last step of the interpolation, a uniform distribution over the vocabulary.
    """

    def __init__(self, texts: Iterable[str], order: int = 3, discount: float = 0.75) -> None:
        self.order, self.discount = order, discount
        counts: list[Counter[tuple[str, ...]]] = [Counter() for _ in range(order)]
        for text in texts:
            counts[order - 1].update(self._grams(text))
        for size in range(order - 1, 0, -1):
            # Lower orders count in how many contexts a word is met, not how often: Kneser and Ney's idea.
            counts[size - 1] = Counter(gram[1:] for gram in counts[size])
        self._counts = counts
        # How often each context is followed by anything, and by how many different words.
        self._totals: list[Counter[tuple[str, ...]]] = [Counter() for _ in range(order)]
        for totals, grams in zip(self._totals, counts, strict=True):
            for gram, number in grams.items():
                totals[gram[:-1]] += number
        self._followers = [Counter(gram[:-1] for gram in grams) for grams in counts]
        self.vocabulary = len({gram[0] for gram in counts[0]}) + 1
        self._known: dict[tuple[str, ...], float] = {}

    def bits(self, texts: Sequence[str]) -> Floats:
        """Bits per word of each text, its end counted as a word; 2 to this power is the perplexity."""
        bits = []
        for grams in map(self._grams, texts):
            bits.append(-sum(math.log2(self._probability(gram)) for gram in grams) / len(grams))
        return np.array(bits)

    def _grams(self, text: str) -> list[tuple[str, ...]]:
        padded = [START] * (self.order - 1) + [*words(text), END]
        return [tuple(padded[at : at + self.order]) for at in range(len(padded) - self.order + 1)]

    def _probability(self, gram: tuple[str, ...]) -> float:
        if not gram:
            return 1 / self.vocabulary
        if gram not in self._known:
            size, context = len(gram) - 1, gram[:-1]
            total, shorter = self._totals[size].get(context, 0), self._probability(gram[1:])
            if total:
                kept = max(self._counts[size].get(gram, 0) - self.discount, 0) / total
                shorter = kept + self.discount * self._followers[size][context] / total * shorter
            self._known[gram] = shorter
        return self._known[gram]


def references(captions: pd.DataFrame, seed: int = 0) -> dict[str, list[str]]:
    """Texts to compare the updated captions with: the captions before, the template, the updated words shuffled."""
    rng = np.random.default_rng(seed)
    shuffled = [" ".join(rng.permutation(words(text))) for text in captions["updated_caption"]]
    pairs = zip(captions["caption"], captions["absent"], strict=True)
    templates = [template(Statement((), (noun,), caption)) for caption, noun in pairs]
    return {"before": captions["caption"].tolist(), "template": templates, "shuffled": shuffled}


def plausibility(absent: Sequence[str], shown: Sequence[Collection[str]], counts: pd.DataFrame) -> Floats:
    """How well each absent object goes with what is in its image: its rank among all absent objects, from 0 to 1.

    Objects are ranked by the sum over what is shown of the share of its images that they are in (``counts`` of
    ``negbench.cooccurrence``). 0.5 is expected of objects chosen at random. NaN for an object that ``counts`` lacks or
    that is shown.
    """
    names = {noun: number for number, noun in enumerate(counts.index)}
    table = counts.to_numpy(dtype=float)
    likely = table / np.maximum(np.diag(table), 1)[:, None]
    present = np.zeros((len(shown), len(names)), dtype=bool)
    for row, nouns in enumerate(shown):
        present[row, [names[noun] for noun in nouns if noun in names]] = True
    scores = np.where(present, np.nan, present @ likely)
    chosen = np.array([scores[row, names[noun]] if noun in names else np.nan for row, noun in enumerate(absent)])
    below = (scores < chosen[:, None]).sum(axis=1) + ((scores == chosen[:, None]).sum(axis=1) - 1) / 2
    return np.where(np.isnan(chosen), np.nan, below / np.maximum((~present).sum(axis=1) - 1, 1))


def diversity(captions: pd.DataFrame, sample: int = 500, seed: int = 0) -> dict[str, float]:
    """How varied the updated captions are; type-token ratios are of ``sample`` captions, because they fall with length.

    "distinct words" and "distinct word pairs" are shares of all; "cue entropy", "position entropy" and "object entropy"
    are in bits (2 to this power is the effective number of kinds).
    """
    chosen = captions.sample(min(sample, len(captions)), random_state=seed)
    texts = [words(text) for text in chosen["updated_caption"]]
    pairs = [pair for text in texts for pair in itertools.pairwise(text)]
    tokens = [word for text in texts for word in text]
    phrasings = phrasing.table(captions["updated_caption"].tolist())
    return {
        "distinct words": len(set(tokens)) / len(tokens),
        "distinct word pairs": len(set(pairs)) / len(pairs),
        "cue entropy": entropy(phrasings["cue"]),
        "position entropy": entropy(phrasings["position"]),
        "object entropy": entropy(captions["absent"]),
    }


def entropy(values: Iterable[object]) -> float:
    """Entropy of a list of kinds, in bits."""
    counts = np.array(list(Counter(values).values()), dtype=float)
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def kinds_of_negation(captions: pd.DataFrame) -> pd.DataFrame:
    """Share of captions by cue and by position of the negation: factor ("cue", "position"), level, share."""
    phrasings = phrasing.table(captions["updated_caption"].tolist())
    rows = [
        {"factor": factor, "level": level or "none", "share": share}
        for factor in ("cue", "position")
        for level, share in phrasings[factor].value_counts(normalize=True).items()
    ]
    return pd.DataFrame(rows)
