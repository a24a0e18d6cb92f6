from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from negutil.captions import english
from negutil.models import architectures


@functools.cache
def clips() -> architectures.Tokenizer:
    return architectures.tokenizer("ViT-B-32")


@settings(max_examples=150, deadline=None)
@example(["There isn't a DOG; no, it's a cat's!", "&amp;amp;", "“curled” and naïve  text", "", "<end_of_text> x"])
@example(["a\tb\nc", "two  spaces", "don't'll ''s --'-- 'tis _under_ 100%", "word " * 90, "x\x1b[0m"])
@given(st.lists(st.text() | st.text(alphabet="ab 'sdt!-_&<>|/09.Z", max_size=40), min_size=1, max_size=8))
def test_tokens_are_those_of_open_clip(sentences: list[str]) -> None:
    found = architectures.tokenize(clips(), sentences)
    assert torch.equal(found, clips()(sentences))


def test_the_sentences_of_the_world_too() -> None:
    said = {"things": "two red cars", "place": "on the beach", "absent": "a dog", "bare": "dog", "plural": "dogs"}
    sentences = [form.text.format(**said) for form in (*english.AFFIRMATIVE, *english.NEGATED)]
    assert torch.equal(architectures.tokenize(clips(), sentences), clips()(sentences))


@pytest.mark.parametrize("other", [{"clean": "whitespace"}, {"reduction_mask": "shuffle"}, {"context_length": 9}])
def test_other_tokenizers_are_asked_themselves(other: dict[str, str]) -> None:
    tokenizer = architectures.open_clip().tokenizer.SimpleTokenizer(**other)
    said = ["A Dog and a CAT and a bus", "One tree and two very tall trees beside a street"]
    found = architectures.tokenize(tokenizer, said)
    assert found.shape == tokenizer(said).shape
    assert torch.equal(found, tokenizer(said)) or "reduction_mask" in other
