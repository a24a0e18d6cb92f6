"""Weights in the forms that their authors save them in: what is read is tensors, and nothing is executed.

A file is known by its contents, not by its name: safetensors, PyTorch's files (``weights_only``, with NumPy's numbers
allowed beside the weights) and TorchScript archives like OpenAI's, of which only the tensors are taken. Training
checkpoints are unwrapped (``WRAPPERS``) and prefixes of wrapped models removed (``PREFIXES``). The names that
``transformers`` gives to the weights of a CLIPModel become open_clip's.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch

from negutil.errors import NegutilError
from negutil.models import text_tower, transformers_names

State = dict[str, torch.Tensor]

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "ema", "teacher", "student")
"""What training checkpoints call the weights, in the order of preference."""

PREFIXES = ("module.", "_orig_mod.", "model.", "clip.")
"""What DistributedDataParallel, torch.compile and modules that hold a CLIP put before every name."""

NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")
"""Three numbers that OpenAI's archives keep among the weights."""

_REFUSED = re.compile(r"GLOBAL ([\w.]+)")


def read(file: Path, activation: str | None = None) -> State:
    """Return the tensors of a file of weights under open_clip's names.

    Raises NegutilError if the file cannot be read, is damaged, holds anything but tensors and plain values, or says
    (in its safetensors metadata) that it was trained with an activation other than ``activation``.
    """
    trained_with = noted_activation(file)
    if activation and trained_with and trained_with != activation:
        raise NegutilError(f"{file} was trained with {trained_with}, not {activation}; correct its registry entry.")
    state = _unwrapped(_content(file), file)
    while prefix := next((each for each in PREFIXES if all(name.startswith(each) for name in state)), ""):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    state = transformers_names.from_transformers(state) if transformers_names.KNOWN_BY in state else state
    return text_tower.expanded({name: tensor for name, tensor in state.items() if name not in NOT_WEIGHTS})


def noted_activation(file: Path) -> str:
    """Return the activation that the metadata of a safetensors file names, "" where none is; raises as ``read``."""
    if not _is_safetensors(file):
        return ""
    try:
        with safetensors.safe_open(file, "pt") as content:
            return (content.metadata() or {}).get("activation", "")
    except (safetensors.SafetensorError, OSError) as problem:
        raise NegutilError(f"{file} is damaged or incomplete ({problem}); restore or download it again.") from problem


def _is_safetensors(file: Path) -> bool:
    """Whether the file begins as safetensors do: with the length of a header that is JSON."""
    try:
        with file.open("rb") as opened:
            start = opened.read(9)
    except OSError as problem:
        raise NegutilError(f"{file} cannot be read ({problem.strerror}); restore it.") from problem
    return file.suffix == ".safetensors" or (start[8:] == b"{" and not start.startswith((b"PK", b"\x80")))


def _content(file: Path) -> Any:
    try:
        if _is_safetensors(file):
            with safetensors.safe_open(file, "pt") as content:
                return {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - not a mapping
        if _is_torchscript(file):
            return torch.jit.load(file, map_location="cpu").state_dict()
        with torch.serialization.safe_globals(_numbers()):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises many kinds for a damaged or unsafe file
        refused = _REFUSED.search(str(problem))
        reason = f"to read it, {refused[1]} would have to run" if refused else type(problem).__name__
        raise NegutilError(
            f"{file} is damaged, or contains more than tensors and plain values ({reason}); restore it, or save its "
            "state dict as .safetensors."
        ) from problem


def _is_torchscript(file: Path) -> bool:
    from negutil.data.unpack import zip_names  # brings the downloads' libraries

    return any(name.endswith("/constants.pkl") for name in zip_names(file))


def _numbers() -> list[Any]:
    """What NumPy's scalars beside the weights (a loss, a rate) are made of, under the names of NumPy 1 and 2."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")}
    named = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*named, np.dtype, *kinds]


def _unwrapped(content: Any, file: Path) -> State:
    found = content
    while isinstance(found, Mapping) and not (found and all(isinstance(each, torch.Tensor) for each in found.values())):
        inner = next((found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)), None)
        if inner is None:
            keys = ", ".join(str(key) for key in list(found)[:8]) or "nothing"
            raise NegutilError(
                f"{file} holds no state dict: it has {keys}, and none of {', '.join(WRAPPERS)}; export the weights "
                "alone."
            )
        found = inner
    if not isinstance(found, Mapping):
        raise NegutilError(f"{file} holds a {type(content).__name__} and no state dict: export only the weights.")
    return dict(found)
