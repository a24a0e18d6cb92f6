"""How near is "no X" to "X" for the text tower alone? (design: a control for fine-tuning, without any picture)

A tower that overlooks negation puts "a photo with no dog" beside "a photo of a dog". The cosine of two photos of
different things is the measure of what is far: fine-tuning may spread all texts, so the gap between both is reported.
A scorer whose scores are no cosines is told by its text tower alone: what it adds needs a picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from negutil.captions.english import HELD_OUT_NOUNS, NOUNS
from negutil.models import encode, scorer
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Cosine, Scorer
from negutil.tasks import probe

NEGATED, OTHER, GAP = 'cosine of "X" and "no X"', 'cosine of "X" and "Y"', "what negation moves"


def evaluate(
    model: LoadedModel | Scorer,
    nouns: Sequence[str] = NOUNS,
    affirmative: str = probe.AFFIRMATIVE,
    negated: str = probe.NEGATED,
    *,
    batch: int = encode.BATCH,
) -> pd.DataFrame:
    """Return one row per noun for the text tower of ``model``; templates as in `probe.prompts`.

    Columns: noun, held_out (no training set negates it), negated (cosine of its two sentences), other (mean cosine of
    its affirmative sentence with those of all other nouns), gap (1 where "no X" is as far from "X" as another noun is,
    0 where it is the same: (1 - negated) / (1 - other)).
    """
    asked = scorer.of(model, batch)
    tower = asked if isinstance(asked, Cosine) else Cosine(asked.tower, batch)
    said, denied = (tower.features(probe.prompts(nouns, form)).astype(float) for form in (affirmative, negated))
    near = (said * denied).sum(axis=1)
    other = ((said @ said.T).sum(axis=1) - 1) / (len(nouns) - 1)
    held_out = [noun in HELD_OUT_NOUNS for noun in nouns]
    table = pd.DataFrame({"noun": list(nouns), "held_out": held_out, "negated": near, "other": other})
    return table.assign(gap=(1 - near) / (1 - other))
