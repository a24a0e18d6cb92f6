"""Prompts for text to image that deny something, each with two yes/no questions about the image.

``parts`` takes a prompt apart, for the controls without the negated thing and with a negative prompt.
See docs/protocols.md#neg-score.
"""

import re

from datasets import Dataset

from negutil.captions import english
from negutil.captions.english import COLOURS, HELD_OUT_NOUNS
from negutil.captions.picture_facts import Fact
from negutil.config import Profile
from negutil.data import source, t2i_prompts
from negutil.errors import NegutilError

FOLDER, FILE = "t2i_prompts", "prompts_with_questions.json"
OBJECT_KIND, ATTRIBUTE_KIND, ACTION_KIND, GEAR_KIND, PART_KIND, OTHER_KIND = KINDS = (
    *("object", "attribute", "action", "worn or held", "part", "other"),
)

_CUE = re.compile(r" (?:with no|without any|without|who is not|that is not|that is by no means|not) ")
_ADJECTIVE = re.compile(r"^an? not (\w+) (.+)$")
_GEAR = re.compile(r"^(?:wearing |holding )?(?:an? )?")


def load(settings: Profile) -> Dataset:
    """The prompts of a profile, with the columns of ``data.t2i_prompts``: the published ones, or the mini world's.

    Raises NegutilError if the published file is not in the folder of the data.
    """
    return t2i_prompts.load(source.folder(settings, FOLDER) / FILE)


def kind(negation_question: str) -> str:
    """What a prompt denies, one of KINDS, by its second question: an object, an attribute, an action, ..."""
    if negation_question.startswith(("Is there", "Are there")):
        return OBJECT_KIND
    if re.search(r" (wearing|holding) ", negation_question):
        return GEAR_KIND
    if re.match(r"Do(es)? .* have ", negation_question):
        return PART_KIND
    words = negation_question.rstrip("?").split()
    if words[-1] in COLOURS:
        return ATTRIBUTE_KIND
    return ACTION_KIND if any(word.endswith("ing") for word in words[3:4]) else OTHER_KIND


def parts(prompt: str) -> tuple[str, str]:
    """A prompt without its negated part, and what that part denies: "a beach with no dog" is ("a beach", "dog").

    What is denied is said as one would in a negative prompt: "hat" for "not wearing a hat", "white" for "a not white
    cat". Raises NegutilError for a prompt that denies nothing.
    """
    adjective = _ADJECTIVE.match(prompt)
    if adjective:
        return english.with_article(adjective[2]), adjective[1]
    cue = _CUE.search(prompt)
    if cue is None:
        raise NegutilError(f"The prompt {prompt!r} denies nothing that can be taken out: leave it out, or reword it.")
    return prompt[: cue.start()], _GEAR.sub("", prompt[cue.end() :])


def held_out(fact: Fact) -> bool:
    """Whether a fact is about a noun that no training set with negation negates."""
    return bool({fact.subject, fact.value.partition(" ")[2]} & HELD_OUT_NOUNS)
