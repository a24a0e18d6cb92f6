"""What the glasses read of a text: the first three layers of the text tower and the last, each at the end token.

CLIPGlasses, eq. 1 to 3 and the released code (docs/protocols.md#lens): a layer's state at the end token goes through
the tower's own final normalisation and projection, so that it lies in the space of the text features. A tower of
transformers has no end token: its own pooling (MiniLM's is the mean over the tokens) takes its place. Nothing is
L2-normalised.
"""

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from negutil import code, progress
from negutil.cache import Cache
from negutil.errors import NegutilError
from negutil.models import architectures, encode
from negutil.models.architectures import TextKind
from negutil.models.loader import LoadedModel

LEVELS = 3
"""How many of the first layers are read."""


@dataclass(frozen=True, slots=True)
class TextLayers:
    """Features of T texts: ``last`` float32 [T, D], ``levels`` float32 [T, 3, D] of the first three layers.

    With tokens ``levels`` are [T, 3 + L, D]: then the last layer at each token, with zeros after a text's end.
    """

    last: NDArray[np.float32]
    levels: NDArray[np.float32]

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self.last)

    def take(self, rows: ArrayLike) -> "TextLayers":
        """The features of the texts ``rows``."""
        chosen = np.asarray(rows, dtype=np.int64)
        return TextLayers(self.last[chosen], self.levels[chosen])


def features(
    model: LoadedModel,
    sentences: Sequence[str],
    *,
    batch: int = encode.BATCH,
    cached: bool = True,
    tokens: bool = False,
) -> TextLayers:
    """Return the layers of ``sentences``, each different one encoded once; cached under weights and texts.

    With ``tokens`` the last layer's states at all tokens come with them and, as they are large, nothing is cached.
    Rows of ``last``, L2-normalised, are ``encode.texts``. Raises NegutilError on no texts, where a feature is not
    finite, and for a model whose text tower cannot be read layer by layer or has fewer than three layers.
    """
    if not len(sentences):
        raise NegutilError("There is no text to encode; check the data.")
    wrong = [sentence for sentence in sentences if not isinstance(sentence, str)]
    if wrong:
        raise NegutilError(f"One of the texts to encode is {wrong[0]!r}; give only texts.")
    if depth(model) < LEVELS:
        raise NegutilError(
            f"'{model.name}' has no text tower like CLIP's or BERT's of {LEVELS} layers or more; choose another model."
        )
    number, different = pd.factorize(np.array(sentences, dtype=object))
    joined = "".join(f"{len(sentence)}:{sentence}" for sentence in different)
    fields = {
        "kind": "text layers",
        "code_version": code.fingerprint(__name__),
        "data_sha256": hashlib.sha256(joined.encode()).hexdigest(),
        "batch": batch,
        "device": torch.device(model.device).type,
    }
    fields |= {name: value for name, value in model.fingerprint.items() if name != "image_tower_sha256"}

    def compute() -> dict[str, NDArray[np.float32]]:
        numbers = model.tokenizer(different.tolist())
        # Neighbours of like length: a batch is only as long as its longest text.
        lengths = architectures.text_lengths(model.model, numbers)
        order, longest = lengths.argsort(stable=True), int(lengths.max())
        parts = []
        with progress.bar("encoding texts", total=len(order), unit="text") as bar:
            for rows in order.split(batch):
                states = [at_end_token(model, numbers[rows], (*range(LEVELS), -1))]
                states += [at_tokens(model, numbers[rows], longest)] if tokens else []
                parts.append(torch.cat(states, dim=1))
                bar.update(len(rows))
        layers = torch.cat(parts)[order.argsort()].numpy()
        bad = np.flatnonzero(~np.isfinite(layers).all(axis=(1, 2)))
        if len(bad):
            text = different[bad[0]]
            raise NegutilError(
                f"The text '{text}' gets layers that are not finite from '{model.name}'; check its weights."
            )
        return {"layers": layers}

    layers = (Cache().get_or_compute(fields, compute) if cached and not tokens else compute())["layers"]
    levels = np.delete(layers, LEVELS, axis=1) if tokens else layers[:, :LEVELS]
    return TextLayers(layers[number, LEVELS], levels[number])


@torch.inference_mode()
def at_end_token(model: LoadedModel, tokens: torch.Tensor, blocks: Sequence[int]) -> torch.Tensor:
    """Return the states of the ``blocks`` [K] (from 0; -1 is the last) of the text tower at the end token, projected.

    tokens int64 [N, L] give float32 [N, K, D], each through the tower's final normalisation and projection. A tower of
    transformers pools each layer as it pools the last.
    """
    if architectures.text_kind(model.model) is TextKind.MASKED:
        pooled = architectures.pooled_layers(model.model, tokens, blocks)
        return architectures.project(model.model, pooled).float().cpu()
    return architectures.project(model.model, model.model.ln_final(end_states(model, tokens, blocks))).float().cpu()


@torch.inference_mode()
def at_tokens(model: LoadedModel, tokens: torch.Tensor, length: int) -> torch.Tensor:
    """Return the last layer's states at all tokens, projected as in ``at_end_token``: float32 [N, ``length``, D].

    Zeros stand after the end token of each of the texts, of which none has more than ``length`` tokens. Raises
    NegutilError for a tower of transformers.
    """
    if architectures.text_kind(model.model) is not TextKind.CAUSAL:
        raise NegutilError(f"'{model.name}' has no causal text tower, whose tokens this needs; choose another model.")
    (states,) = block_states(model, tokens, (-1,))
    found = architectures.project(model.model, model.model.ln_final(states[:, :length])).float().cpu()
    inside = torch.arange(found.shape[1]) <= tokens.argmax(dim=-1).unsqueeze(1)
    return torch.nn.functional.pad(found * inside.unsqueeze(2), (0, 0, 0, length - found.shape[1]))


def end_states(model: LoadedModel, tokens: torch.Tensor, blocks: Sequence[int]) -> torch.Tensor:
    """The states [N, K, W] of the ``blocks`` [K] of a causal text tower at the end token, as they leave the block."""
    rows, ends = torch.arange(len(tokens)), tokens.argmax(dim=-1)
    return torch.stack([state[rows, ends] for state in block_states(model, tokens, blocks)], dim=1)


def block_states(model: LoadedModel, tokens: torch.Tensor, blocks: Sequence[int]) -> list[torch.Tensor]:
    """The states [N, L, W] of the ``blocks`` of the text tower at every token."""
    transformer = model.model.transformer
    heard: dict[int, torch.Tensor] = {}

    def listener(place: int) -> Any:
        def keep(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
            heard[place] = output if transformer.batch_first else output.transpose(0, 1)

        return keep

    with contextlib.ExitStack() as stack:
        for place, block in enumerate(blocks):
            stack.enter_context(transformer.resblocks[block].register_forward_hook(listener(place)))
        architectures.encode_text(model.model, tokens.to(model.device))
    return [heard[place] for place in range(len(blocks))]


def depth(model: LoadedModel) -> int:
    """Return how many layers the text tower of ``model`` has that can be read; 0 where it is of another kind."""
    kind = architectures.text_kind(model.model)
    if kind is TextKind.MASKED:
        return int(model.model.text.config.num_hidden_layers)
    return len(model.model.transformer.resblocks) if kind is TextKind.CAUSAL else 0
