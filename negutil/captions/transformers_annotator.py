"""Language and vision models of the ``transformers`` library, on this machine.

The library is optional and loaded when it is needed. Weights are read from safetensors files alone, and code that comes
with a model is never run. NegationCLIP's pipeline P1 used Llama-3-8B-Instruct and LLaVA-1.6 this way.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from negutil import files, progress
from negutil.captions.prompts import Chat, Sampling
from negutil.errors import NegutilError
from negutil.models import hub
from negutil.models.pictures import read_rgb


@dataclass(frozen=True, slots=True)
class Local(files.Settings):
    """Settings of a model on this machine.

    Attributes:
        model: folder of the model, or its name on the Hugging Face hub.
        vision: whether it takes images ("image-text-to-text"); otherwise it is a language model ("text-generation").
        revision: commit on the hub; not needed for a folder, or where configs/revisions.toml has it.
        device: "cpu", "cuda", "cuda:1", ...
        dtype: "float32", "bfloat16", ..., or "auto" for that of the weights.
        batch: conversations at a time.
        seed: of all sampling; the same settings, chats and batch size give the same replies on the same machine.
    """

    model: str
    vision: bool = False
    revision: str | None = None
    device: str = "cpu"
    dtype: str = "auto"
    batch: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise NegutilError(f"The model {self.model} has batch {self.batch}: give a number above 0.")


class LocalModel:
    """A chat model of ``transformers``, loaded with the first question.

    Raises NegutilError if the library is not installed, and where the model cannot be loaded safely or at all.
    """

    def __init__(self, settings: Local) -> None:
        self.settings = settings
        self.name = settings.model
        self._library = hub.library("transformers")
        self._calls = 0

    def replies(self, chats: Sequence[Chat], sampling: Sampling) -> list[str]:
        """The reply to each chat, in order. Every batch of every call draws from a seed of its own."""
        if not chats:
            return []
        answers: list[str] = []
        device = torch.device(self.settings.device)
        shape = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
        padding = {"processor_kwargs": {"padding": True}} if self.settings.vision else {"padding": True}
        # As ``sampling`` says and nothing else: no top-k, whatever the model's own settings are.
        drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        generation = self._library.GenerationConfig(
            max_new_tokens=sampling.tokens,
            do_sample=sampling.temperature > 0,
            eos_token_id=self._model.generation_config.eos_token_id,
            pad_token_id=getattr(self._processor, "tokenizer", self._processor).pad_token_id,
            **(drawn if sampling.temperature > 0 else {}),
        )
        for start in progress.bar("asking questions, batch", range(0, len(chats), self.settings.batch), unit="batch"):
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                torch.manual_seed(self.settings.seed + self._calls)
                # As tokens, padded on the left, and as pixels where the model takes images.
                turns = [_messages(chat, self.settings.vision) for chat in chats[start : start + self.settings.batch]]
                inputs = self._processor.apply_chat_template(turns, **shape, **padding).to(self._model.device)
                with torch.inference_mode():
                    tokens = self._model.generate(**inputs, generation_config=generation)
                replies = tokens[:, inputs["input_ids"].shape[1] :]
                answers += self._processor.batch_decode(replies, skip_special_tokens=True)
            self._calls += 1
        # The library itself would keep the mark at which a reply ends.
        ends = "|".join(map(re.escape, sampling.stop))
        return [re.split(ends, text.strip(), maxsplit=1)[0] if ends else text.strip() for text in answers]

    @cached_property
    def _model(self) -> Any:
        kind = "AutoModelForImageTextToText" if self.settings.vision else "AutoModelForCausalLM"
        model = self._load(kind, dtype=self.settings.dtype, use_safetensors=True)
        return model.to(self.settings.device).eval()

    @cached_property
    def _processor(self) -> Any:
        """The tokenizer of a language model, or the processor of text and images; pads on the left."""
        processor = self._load("AutoProcessor" if self.settings.vision else "AutoTokenizer")
        if getattr(processor, "chat_template", None) is None:
            raise NegutilError(f"{self.name} has no chat template: give a chat model.")
        tokenizer = getattr(processor, "tokenizer", processor)
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return processor

    def _load(self, kind: str, **options: Any) -> Any:
        loader, settings = getattr(self._library, kind), self.settings
        revision = hub.revision(settings.model, settings.revision)
        try:
            return loader.from_pretrained(settings.model, revision=revision, trust_remote_code=False, **options)
        except (OSError, ValueError, KeyError, ImportError) as problem:
            reason = str(problem).strip().split("\n")[0].rstrip(".")
            fix = "give a complete model with safetensors weights that needs no code of its own"
            raise NegutilError(f"{settings.model} cannot be loaded as {kind} ({reason}): {fix}.") from problem


def _messages(chat: Chat, vision: bool) -> list[dict[str, Any]]:
    """The chat as ``transformers`` wants it: for models of images every turn is a list of parts."""
    if not vision:
        if chat.picture is not None:
            raise NegutilError(f"{chat.picture} was given to a language model: set vision = true for a vision model.")
        return [{"role": role, "content": text} for role, text in chat.turns]
    parts: list[list[dict[str, Any]]] = [[{"type": "text", "text": text}] for _, text in chat.turns]
    if chat.picture is not None:
        parts[-1].insert(0, {"type": "image", "image": read_rgb(str(chat.picture))})
    return [{"role": role, "content": content} for (role, _), content in zip(chat.turns, parts, strict=True)]
