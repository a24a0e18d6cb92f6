"""Queries of true exclusion, "X but no Y", for a gallery in which every image's things are known.

NegBench's retrieval adds "no Y" to a caption of one image, where Y is absent from nearly the whole gallery, so a
model may overlook the addition and still find the image. Here a pair (X, Y) is asked about only where enough images
show X with Y and enough show X without Y: who overlooks "but no Y" finds both alike.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from negutil.captions import sentence_forms, statements
from negutil.captions.english import HELD_OUT_NOUNS, Form
from negutil.errors import NegutilError

ALONE, BOTH = "X alone", "X and Y"
"""The controls: the affirmative query "X", and "X and Y", which asks for the images that the others exclude."""

CONTROLS: tuple[tuple[str, Form], ...] = ((ALONE, Form("{things}")), (BOTH, Form("{things} and {absent}")))

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ExclusionQuery:
    """A query for the images with ``wanted`` and without ``excluded``.

    ``form`` is the wording in short ("X, but no Y") or one of the controls; ``cue`` the word that negates, empty for a
    control; ``held_out`` whether no training set has the wording; ``held_out_noun`` whether ``excluded`` is never
    negated in a training set.
    """

    text: str
    wanted: str
    excluded: str
    form: str
    cue: str
    held_out: bool
    held_out_noun: bool = False


def labels(
    categories: Sequence[Collection[str]],
    supercategories: Sequence[Collection[str]] | None = None,
    implied: Sequence[Collection[str]] | None = None,
) -> dict[str, Flags]:
    """For every category, which of the N images show it (bool [N]), in alphabetical order.

    A supercategory that is itself the name of a category counts as shown: a woman is a person too. With ``implied`` so
    does what an image may show, so that what is left is surely absent. The arguments are columns of
    ``negutil.data.coco.load``. Absence is as sure as the annotations are complete: exact in the mini world.
    """
    shown = [set(names) for names in categories]
    known = sorted(set().union(*shown))
    for more in filter(None, (supercategories, implied)):
        shown = [names | (set(above) & set(known)) for names, above in zip(shown, more, strict=True)]
    return {noun: np.array([noun in names for names in shown], dtype=bool) for noun in known}


def pairs(there: Mapping[str, Flags], minimum: int, most: int, seed: int = 0) -> list[tuple[str, str]]:
    """Ordered pairs (X, Y) with at least ``minimum`` images of X with Y and of X without Y, sorted.

    Where there are more than ``most``, a random choice of so many. Raises NegutilError if there is none.
    """
    if minimum < 1 or most < 1:
        raise NegutilError(f"Exclusion wants at least one pair and image, not {most} and {minimum}: raise them.")
    nouns = list(there)
    shown = np.array([there[noun] for noun in nouns], dtype=np.int64).reshape(len(nouns), -1)
    both = shown @ shown.T
    enough = (both >= minimum) & (np.diag(both)[:, None] - both >= minimum)
    every = [(nouns[x], nouns[y]) for x, y in np.argwhere(enough)]
    if not every:
        raise NegutilError(f"No two things share {minimum} images and part in as many: use more, or a lower minimum.")
    return sorted(every if len(every) <= most else random.Random(f"exclusion/{seed}").sample(every, most))


def queries(there: Mapping[str, Flags], minimum: int = 8, most: int = 60, seed: int = 0) -> list[ExclusionQuery]:
    """Every pair in every wording, pair by pair: first the two controls, then the forms of the grammar.

    ``there`` is what ``labels`` gives, ``minimum``, ``most`` and ``seed`` are as for ``pairs``. Raises NegutilError
    where no pair has enough images.
    """
    wordings = [*CONTROLS, *((sentence_forms.name(form), form) for form in sentence_forms.EXCLUDING)]
    made = []
    for wanted, excluded in pairs(there, minimum, most, seed):
        unseen = excluded in HELD_OUT_NOUNS
        for short, form in wordings:
            text = sentence_forms.fill(form, statements.with_article(wanted), excluded)
            made.append(ExclusionQuery(text, wanted, excluded, short, form.cue, form.held_out, unseen))
    return made
