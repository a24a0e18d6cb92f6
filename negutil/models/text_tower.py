"""The text tower of an open_clip model on its own: its tensors, read and replaced by name."""

from __future__ import annotations

from typing import Any

import torch

from negutil.errors import NegutilError

State = dict[str, torch.Tensor]
GROUPS = ("token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection", "logit_scale")
EMBEDDING = "token_embedding.weight"


def group(name: str) -> str:
    """Return the group of :data:`GROUPS` that the parameter ``name`` is of, or "" where it is not the text tower's."""
    first = name.partition(".")[0]
    return first if first in GROUPS else ""


def state(model: Any) -> State:
    """Return the tensors of the text tower of ``model`` (the logit scale too), by open_clip's names; nothing is copied.

    Raises NegutilError for a model whose text tower is not CLIP's own.
    """
    found = {name: value for name, value in model.state_dict().items() if group(name)}
    if EMBEDDING not in found:
        raise NegutilError(f"{type(model).__name__} has no text tower like CLIP's; choose a model of class CLIP.")
    return found


def put(model: Any, tensors: State, source: str) -> None:
    """Copy ``tensors`` into the text tower of ``model``, all of it; ``source`` says in an error where they are from.

    Raises NegutilError where a tensor is missing, left over, or of another shape.
    """
    wanted = state(model)
    wrong = sorted(wanted.keys() ^ tensors.keys())
    wrong += [name for name in wanted if name in tensors and wanted[name].shape != tensors[name].shape]
    if wrong:
        raise NegutilError(
            f"{source} does not fit the text tower ({wrong[0]} is missing, unknown or of another shape; "
            f"{len(wrong)} in all); use the model that it was made from."
        )
    model.load_state_dict(tensors, strict=False)


def filled(tensors: State, ids: torch.Tensor, base: State) -> State:
    """Return ``tensors``, whose embedding has the rows ``ids`` alone, with all other rows from ``base``."""
    embedding = base[EMBEDDING].detach().cpu().clone()
    embedding[ids] = tensors[EMBEDDING]
    return tensors | {EMBEDDING: embedding}
