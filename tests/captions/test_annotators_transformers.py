"""Annotators of transformers: the library's own code on tiny models with random weights, built here, offline."""

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from negutil.captions import annotators
from negutil.captions.prompts import NEGATIONCLIP, Chat, Sampling
from negutil.captions.transformers_annotator import Local, LocalModel
from negutil.errors import NegutilError

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

WORDS = ["yes", "no", "dog", "cat", "a", "the", "not", "there", "is", "?", ".", ":", "user", "assistant", "system"]
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "<image>"]
TEXT_TEMPLATE = (
    "{% for turn in messages %}{{ turn['role'] }} : {{ turn['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant : {% endif %}"
)
PARTS_TEMPLATE = (
    "{% for turn in messages %}{{ turn['role'] }} : {% for part in turn['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}assistant : {% endif %}"
)
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
GREEDY, DRAWN = Sampling(tokens=6), Sampling(temperature=1.0, tokens=12)


def tokenizer(template: str) -> Any:
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    made.add_special_tokens({"additional_special_tokens": ["<image>"]})
    made.chat_template = template
    return made


def llama() -> Any:
    return transformers.LlamaConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        num_key_value_heads=2,
        eos_token_id=3,
        bos_token_id=2,
        pad_token_id=0,
        **SIZES,
    )


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language")
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(llama()).save_pretrained(folder)
    tokenizer(TEXT_TEMPLATE).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def picture_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vision")
    torch.manual_seed(0)
    seeing = transformers.CLIPVisionConfig(image_size=32, patch_size=16, projection_dim=16, **SIZES)
    config = transformers.LlavaConfig(
        vision_config=seeing, text_config=llama(), image_token_index=4, vision_feature_layer=-1
    )
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    pixels = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor = transformers.LlavaProcessor(
        pixels, tokenizer(PARTS_TEMPLATE), patch_size=16, vision_feature_select_strategy="default",
        chat_template=PARTS_TEMPLATE, image_token="<image>", num_additional_image_tokens=1,
    )  # fmt: skip
    processor.save_pretrained(folder)
    return folder


def chats(*texts: str) -> list[Chat]:
    return [Chat((("user", text),)) for text in texts]


def test_replies_are_those_of_the_library_and_do_not_depend_on_the_batch(text_model: Path) -> None:
    asked = chats("is there a dog ?", "no", "the cat is not there . is a dog there ?")
    one = LocalModel(Local(str(text_model), batch=1)).replies(asked, GREEDY)
    assert LocalModel(Local(str(text_model), batch=3)).replies(asked, GREEDY) == one
    network = transformers.LlamaForCausalLM.from_pretrained(text_model)
    words = tokenizer(TEXT_TEMPLATE)
    for chat, reply in zip(asked, one, strict=True):
        prompt = words(f"user : {chat.turns[0][1]} assistant :", return_tensors="pt")
        tokens = network.generate(prompt["input_ids"], max_new_tokens=6, do_sample=False)[0]
        assert words.decode(tokens[prompt["input_ids"].shape[1] :], skip_special_tokens=True).strip() == reply


def test_sampling_follows_the_seed_and_leaves_the_global_one_alone(text_model: Path) -> None:
    asked = chats("a dog", "a cat", "a dog")
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first = LocalModel(Local(str(text_model), seed=1)).replies(asked, DRAWN)
    assert torch.equal(torch.get_rng_state(), before)
    assert LocalModel(Local(str(text_model), seed=1)).replies(asked, DRAWN) == first
    assert LocalModel(Local(str(text_model), seed=2)).replies(asked, DRAWN) != first
    assert first[0] != first[2]


def test_a_reply_ends_before_a_stop(text_model: Path) -> None:
    (whole,) = LocalModel(Local(str(text_model))).replies(chats("a dog"), GREEDY)
    mark = whole.split()[2]
    (cut,) = LocalModel(Local(str(text_model))).replies(chats("a dog"), Sampling(tokens=6, stop=(mark,)))
    assert cut == whole[: whole.index(mark)]


def test_a_picture_is_seen(picture_model: Path, tmp_path: Path) -> None:
    for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        Image.new("RGB", (40, 24), colour).save(tmp_path / f"{name}.png")
    model = LocalModel(Local(str(picture_model), vision=True, batch=2))
    turns = (("user", "is there a dog ?"),)
    red, blue = (Chat(turns, tmp_path / f"{name}.png") for name in ("red", "blue"))
    seen: list[torch.Tensor] = []
    (tower,) = [part for name, part in model._model.named_modules() if name.endswith("vision_tower")]
    tower.register_forward_pre_hook(
        lambda _, args, named: seen.append(args[0] if args else named["pixel_values"]), with_kwargs=True
    )
    replies = model.replies([red, blue, red], GREEDY)
    assert replies[0] == replies[2]
    assert [len(pixels) for pixels in seen] == [2, 1]
    assert (seen[0][0] - seen[0][1]).abs().max() > 1
    assert torch.equal(seen[0][0], seen[1][0])


def test_annotators_from_settings(text_model: Path, picture_model: Path, tmp_path: Path) -> None:
    language = annotators.build({"kind": "transformers", "model": str(text_model), "prompts": "negationclip"})
    said = language.negate(["a dog", "a cat"], ["cat", "dog"])
    assert len(said) == 2 and all(said)
    assert len(language.propose(["a dog"], 1)) == 1
    path = tmp_path / "one.png"
    Image.new("RGB", (8, 8)).save(path)
    vision = annotators.build({"kind": "transformers", "model": str(picture_model), "vision": True})
    (answer,) = vision.answer([path], ["is there a dog ?"])
    assert len(answer.split()) <= NEGATIONCLIP.answer.sampling.tokens
    assert vision.shows([path], ["dog"])[0] in (True, False, None)


def test_a_language_model_is_shown_no_pictures(text_model: Path, tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match=r"one\.png was given to a language model: set vision = true"):
        LocalModel(Local(str(text_model))).replies([Chat((("user", "a"),), tmp_path / "one.png")], GREEDY)


def test_a_broken_picture_is_named(picture_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    path.write_bytes(b"not a picture")
    with pytest.raises(NegutilError, match=r"one\.png cannot be read as an image"):
        LocalModel(Local(str(picture_model), vision=True)).replies([Chat((("user", "a"),), path)], GREEDY)


def test_weights_that_are_pickles_are_refused(text_model: Path, tmp_path: Path) -> None:
    for path in text_model.iterdir():
        if path.suffix in (".json", ".jinja"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save(transformers.LlamaForCausalLM(llama()).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(NegutilError, match="cannot be loaded as AutoModelForCausalLM"):
        LocalModel(Local(str(tmp_path))).replies(chats("a"), GREEDY)


def test_code_that_comes_with_a_model_is_never_run(text_model: Path, tmp_path: Path) -> None:
    for path in text_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w').close()\n")
    with pytest.raises(NegutilError, match="needs no code of its own"):
        LocalModel(Local(str(tmp_path))).replies(chats("a"), GREEDY)
    assert not (tmp_path / "was_run").exists()


def test_a_model_without_a_chat_template_is_refused(text_model: Path, tmp_path: Path) -> None:
    for path in text_model.iterdir():
        if path.suffix != ".jinja":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(NegutilError, match="has no chat template"):
        LocalModel(Local(str(tmp_path))).replies(chats("a"), GREEDY)


def test_a_missing_library_is_named_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(NegutilError, match=r"needs transformers: run pip install -c constraints\.txt transformers\."):
        annotators.build({"kind": "transformers", "model": "any"})


def test_the_library_is_not_loaded_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    real = builtins.__import__

    def noting(name: str, *rest: Any, **more: Any) -> Any:
        loaded.append(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", noting)
    annotators.build({"kind": "world"})
    annotators.build({"kind": "endpoint", "url": "http://localhost:1/v1", "model": "m"})
    assert "negutil.captions.endpoint_annotator" in loaded and "transformers" not in loaded
