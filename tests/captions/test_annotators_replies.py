"""Reading replies: whatever a model may say is read rightly, or not at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negutil.captions import annotators, prompts
from negutil.errors import NegutilError

NAMES = st.from_regex(r"[a-z]{2,8}( [a-z]{2,8})?", fullmatch=True).filter(
    lambda name: not {"and", "an", "the", "some", "none", "nothing", "no"} & set(name.split())
)
LISTS = st.lists(NAMES, min_size=1, max_size=6, unique=True)
WRAPPERS = ("{}", " {} ", "{}.", "**{}**", '"{}"', "{}!\n", "({})")


@settings(max_examples=40)
@given(LISTS)
def test_a_list_is_read_however_it_is_written(names: list[str]) -> None:
    bullets = "\n".join(f"- {name}" for name in names)
    numbers = "\n".join(f"{index}. A {name.capitalize()}" for index, name in enumerate(names, 1))
    written = [
        json.dumps(names),
        f"Sure! Here is the list:\n```json\n{json.dumps(names, indent=1)}\n```",
        str(names),
        f"Here are the objects:\n{bullets}\nI hope this helps!",
        numbers,
        f"Objects: {', '.join(names)}.",
        ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1],
    ]
    assert [annotators.objects(text) for text in written] == [names] * len(written)
    assert [annotators.objects(text, strict=True) for text in written] == [names] + [None] * (len(written) - 1)


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("[]", []),
        ("None.", []),
        ("No objects are named.", []),
        ("", None),
        ("I am sorry but I cannot list any of the things in it", None),
        ('["Dog", "the dog", " a cat "]', ["dog", "cat"]),
        ("Umbrella.", ["umbrella"]),
        ("[1, 2]", None),
        ("?", None),
    ],
)
def test_lists_with_their_limits(reply: str, found: list[str] | None) -> None:
    assert annotators.objects(reply) == found


@given(st.sampled_from(["yes", "no"]), st.sampled_from(WRAPPERS), st.booleans())
def test_yes_and_no_alone(word: str, wrapper: str, capital: bool) -> None:
    said = wrapper.format(word.capitalize() if capital else word)
    assert annotators.yes_no(said) == annotators.yes_no(said, strict=True) == (word == "yes")


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("Yes, there is no dog.", True),
        ("No, there is not.", False),
        ("The answer is: no", False),
        ("Answer: Yes", True),
        ("yes and no", None),
        ("Yes/No", None),
        ("I have no idea", None),
        ("There is no dog.", None),
        ("Nobody can know", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_yes_and_no_among_other_words(reply: str, found: bool | None) -> None:
    assert annotators.yes_no(reply) is found
    assert annotators.yes_no(reply, strict=True) is None


@given(st.integers(0, 3), st.sampled_from([*WRAPPERS, "{})", "{}:"]), st.booleans())
def test_a_letter_alone(index: int, wrapper: str, capital: bool) -> None:
    said = wrapper.format("ABCD"[index] if capital else "abcd"[index])
    assert annotators.letter(said) == annotators.letter(said, strict=True) == index


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("B) There is no dog", 1),
        ("(C) a cat", 2),
        ("**D.** A dog and a cat", 3),
        ("The correct answer is B.", 1),
        ("Answer: (a)", 0),
        ("Option C is true", 2),
        ("I think the answer is option D", 3),
        ("A dog is in the picture", None),
        ("The answer is a dog", None),
        ("The answer is A or the answer is B", None),
        ("E", None),
        ("All of them", None),
        ("Both A and B", None),
        ("", None),
    ],
)
def test_a_letter_among_words(reply: str, found: int | None) -> None:
    assert annotators.letter(reply) == found
    assert annotators.letter(reply, strict=True) is None


def test_letters_are_those_of_the_options() -> None:
    assert annotators.letter("C", count=2) is None
    assert annotators.letter("E", count=5) == 4


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("A dog, but no cat.", "A dog, but no cat."),
        ('"A dog, but no cat."', "A dog, but no cat."),
        ("Sure, here is the caption:\n\nCaption: A dog, but no cat.\n(I kept it short.)", "A dog, but no cat."),
        ("Rewritten caption: a dog without a cat", "a dog without a cat"),
        ("", None),
        ("?", None),
        ("(Your response)", None),
        ("A dog -> a dog", None),
    ],
)
def test_a_sentence(reply: str, found: str | None) -> None:
    assert annotators.sentence(reply) == found


@given(st.text(max_size=60))
def test_nothing_that_can_be_said_is_an_error(text: str) -> None:
    for strict in (False, True):
        names = annotators.objects(text, strict)
        assert names is None or all(name == name.lower() and name.strip() for name in names)
        assert annotators.yes_no(text, strict) in (True, False, None)
        assert annotators.letter(text, 4, strict) in (0, 1, 2, 3, None)
        assert strict is False or annotators.yes_no(text, True) in (None, annotators.yes_no(text))
        assert strict is False or annotators.letter(text, 4, True) in (None, annotators.letter(text))
    said = annotators.sentence(text)
    assert said is None or said.strip()


@given(st.lists(st.text(min_size=1, max_size=30), min_size=2, max_size=6))
def test_a_question_gives_its_options_back(options: list[str]) -> None:
    tidy = [" ".join(option.split()) for option in options]
    asked = prompts.choice_question(options)
    assert prompts.options_of(asked) == tidy
    assert prompts.claim_of(asked) is None
    claim = prompts.claim_question(options[0])
    assert prompts.claim_of(claim) == tidy[0]
    assert prompts.options_of(claim) == []


def test_too_many_options_and_unknown_prompts_are_refused() -> None:
    with pytest.raises(NegutilError, match="27 options"):
        prompts.choice_question(["x"] * 27)
    with pytest.raises(NegutilError, match="choose one of negbench, negationclip"):
        prompts.named("mine")


def test_published_sampling_settings() -> None:
    language, vision = prompts.NEGATIONCLIP.negate.sampling, prompts.NEGATIONCLIP.shows.sampling
    assert (language.temperature, language.top_p, language.tokens) == (0.6, 0.9, 256)
    assert (vision.temperature, vision.tokens) == (0.0, 10)
    drawn = prompts.NEGBENCH.paraphrase.sampling
    assert (drawn.temperature, drawn.tokens, drawn.stop) == (0.8, 900, ("\n\n",))


@pytest.mark.parametrize("name", prompts.SETS)
def test_every_prompt_asks_about_its_item_and_shows_whole_examples(name: str) -> None:
    values = {"caption": "a zebra {x}", "count": 7, "absent": "okapi", "noun": "an okapi", "question": "why {y}"}
    for task_name in ("extract", "propose", "negate", "paraphrase", "shows", "answer"):
        task = getattr(prompts.SETS[name], task_name)
        roles = [role for role, _ in task.chat(**values).turns]
        assert roles[-1] == "user" and roles.count("assistant") == len(task.examples)
        (_, asked) = task.chat(**values).turns[-1]
        wanted = {"negate": ("a zebra {x}", "okapi"), "shows": ("an okapi",), "answer": ("why {y}",)}
        free = name == "negationclip-random" and task_name == "propose"
        assert free or all(text in asked for text in wanted.get(task_name, ("a zebra {x}",)))
    for _, reply in prompts.NEGBENCH.extract.examples:
        assert annotators.objects(reply, strict=True) is not None
    for task in (prompts.SETS[name].negate, prompts.SETS[name].paraphrase):
        assert all(annotators.sentence(reply) == reply for _, reply in task.examples)
