"""An annotator for photographs with captions: a list of nouns is its language model, other people's captions its eyes.

It knows the things of ``named_objects`` alone. It proposes what often comes along with what a caption names, takes for
shown what any caption of the photograph names or may mean, and words negations by the forms of ``statements``. What it
says follows from the seed and the item, not from its place in a batch.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from negutil import files
from negutil.captions import annotators, named_objects, negbench, statements
from negutil.captions.english import HELD_OUT_NOUNS
from negutil.errors import NegutilError


@dataclass(frozen=True, slots=True)
class Shown:
    """What captions say about a photograph: the things that are ``there``, and all that it may show."""

    there: Collection[str]
    perhaps: frozenset[str]


@dataclass(frozen=True, slots=True)
class Options(files.Settings):
    """The seed, and whether proposals go with the caption (``plausible``) or are drawn at random (Rand-P1)."""

    seed: int = 0
    plausible: bool = True


class RuleAnnotator:
    """A language and vision annotator; ``shown`` has each photograph by the last two parts of its path."""

    def __init__(self, shown: Mapping[str, Shown], options: Options | None = None) -> None:
        self.name = "rules"
        self.options = options or Options()
        self._shown = shown
        self._counts = negbench.cooccurrence([each.there for each in shown.values()])

    def extract(self, captions: Sequence[str]) -> list[list[str]]:
        """The things that each caption names, in order."""
        return [list(named_objects.mentions(caption)[0]) for caption in captions]

    def propose(self, captions: Sequence[str], count: int) -> list[list[str]]:
        """At most ``count`` things for each caption that it neither names nor may mean; none that is held out."""
        choice, found = "plausible" if self.options.plausible else "random", []
        for caption in captions:
            named, hinted = named_objects.mentions(caption)
            left = len(self._counts) - sum(noun in self._counts.index for noun in named)
            drawn = negbench.absent(named, self._counts, left, self._chance("propose", caption), choice)
            found.append([noun for noun in drawn if noun not in hinted and noun not in HELD_OUT_NOUNS][:count])
        return found

    def negate(self, captions: Sequence[str], absent: Sequence[str]) -> list[str]:
        """Each caption with the absence woven in, either clause first."""
        annotators.require_same_length(captions, absent, "captions", "absent objects")
        said = []
        for caption, noun in zip(captions, absent, strict=True):
            rng = self._chance("negate", f"{caption}/{noun}")
            said.append(statements.paraphrase(statements.woven(caption, noun, rng), rng))
        return said

    def paraphrase(self, captions: Sequence[str]) -> list[str]:
        """Each templated sentence in other words; raises NegutilError for one that ``statements.read`` cannot read."""
        return [
            statements.paraphrase(statements.require(caption, "Rules"), self._chance("paraphrase", caption))
            for caption in captions
        ]

    def shows(self, pictures: Sequence[Path], nouns: Sequence[str]) -> list[bool | None]:
        """Whether each photograph may show its noun; raises NegutilError for a photograph without captions."""
        annotators.require_same_length(pictures, nouns, "pictures", "nouns")
        found: list[bool | None] = []
        for picture, noun in zip(pictures, nouns, strict=True):
            named, hinted = named_objects.mentions(noun)
            found.append(not self._of(picture).perhaps.isdisjoint((*named, *hinted, noun)))
        return found

    def answer(self, pictures: Sequence[Path], questions: Sequence[str]) -> list[str]:
        """Nothing can be told: captions answer no questions."""
        annotators.require_same_length(pictures, questions, "pictures", "questions")
        return ["I cannot tell."] * len(questions)

    def _of(self, picture: Path) -> Shown:
        name = "/".join(Path(picture).parts[-2:])
        if name not in self._shown:
            raise NegutilError(f"{picture}: it has no captions here; annotate the profile's own photographs.")
        return self._shown[name]

    def _chance(self, operation: str, item: str) -> random.Random:
        return random.Random(f"rules/{self.options.seed}/{operation}/{item}")
