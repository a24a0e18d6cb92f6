"""Load a model of the registry and check its file, its activation and all its weights.

Weights are read by ``checkpoints``, which executes nothing.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from negutil import files, paths
from negutil.errors import NegutilError
from negutil.models import architectures, checkpoints, hub, precision, registry, text_tower, trained
from negutil.models.checkpoints import State
from negutil.models.pictures import file_sha256
from negutil.models.registry import Entry
from negutil.models.trained import Trained

_image_towers: dict[tuple[str, str], str] = {}
"""The sha256 of each image tower that this process has loaded, by architecture and sha256 of the weights."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in evaluation mode with its preprocessing and tokenizer.

    ``model`` is an open_clip model; ``preprocess`` turns an image into a tensor [3, size, size]; ``tokenizer`` turns
    texts into int64 [T, L] (cut at L); ``fingerprint`` identifies what features of this model depend on.
    """

    model: Any
    preprocess: Callable[[Image.Image], torch.Tensor]
    tokenizer: Callable[[list[str]], torch.Tensor]
    entry: Entry
    dtype: torch.dtype
    device: str
    fingerprint: dict[str, Any]

    @property
    def name(self) -> str:
        """The name in the registry."""
        return self.entry.name


def load(name: str, device: str = "", profile: str | None = None, dtype: torch.dtype | None = None) -> LoadedModel:
    """Load the model called ``name`` in the registry, or fine-tuned in ``profile`` (base+method/run).

    ``device`` and ``dtype`` are those of NEGUTIL_DEVICE and NEGUTIL_DTYPE (see ``precision``) unless given. Raises
    NegutilError if there is no such model, or as :func:`load_entry` and :func:`load_tuned` do.
    """
    where, kind = device or precision.device(), dtype or precision.dtype()
    if trained.is_name(name):
        return in_dtype(load_tuned(trained.read(name, profile), where), kind)
    return in_dtype(load_entry(registry.find(name), where), kind)


def in_dtype(loaded: LoadedModel, dtype: torch.dtype) -> LoadedModel:
    """The same model computing in ``dtype``: its weights are rounded, and so are its images."""
    if dtype == loaded.dtype:
        return loaded
    fingerprint = loaded.fingerprint | {"dtype": str(dtype).removeprefix("torch.")}
    return replace(loaded, model=loaded.model.to(dtype), dtype=dtype, fingerprint=fingerprint)


def load_tuned(tuned: Trained, device: str = "cpu") -> LoadedModel:
    """Load a fine-tuned text tower on its base model; image features stay those of the base model.

    Raises NegutilError if that model's weights are no longer the same, or a file is missing or damaged.
    """
    base = load_entry(registry.find(tuned.base), device)
    require_base(f"{tuned.folder} was fine-tuned from", base, tuned.identity["base_sha256"], "fine-tune again")
    content, ids = trained.tensors(tuned)
    state = text_tower.filled(content, ids, text_tower.state(base.model))
    text_tower.put(base.model, state, str(tuned.folder))
    both = hashlib.sha256(f"{base.fingerprint['weights_sha256']} {tuned.sha256}".encode()).hexdigest()
    return replace(
        base, entry=replace(base.entry, name=tuned.name), fingerprint=base.fingerprint | {"weights_sha256": both}
    )


def require_base(made_with: str, base: LoadedModel, sha256: str, again: str) -> None:
    """Raise NegutilError that begins with ``made_with`` unless the weights of ``base`` have the ``sha256``."""
    now = str(base.fingerprint["weights_sha256"])
    if sha256 != now:
        was_now = f"sha256 {sha256[:12]}..., which now is {now[:12]}..."
        raise NegutilError(f"{made_with} '{base.name}' with {was_now}; {again}, or restore the weights.")


def load_entry(entry: Entry, device: str = "cpu") -> LoadedModel:
    """Load the model that ``entry`` describes, in float32.

    Raises NegutilError if the activation of entry, architecture and weights is not the same, the file is missing,
    damaged or not the one with the noted sha256, or its weights do not fit the architecture.
    """
    check_activation(entry)
    tokenizer = architectures.tokenizer(entry.architecture)
    file, sha256 = locate(entry)
    model = architectures.build_unfilled(entry.architecture)
    state = _of_shape(checkpoints.read(file, entry.activation), model.state_dict())
    wrong = text_tower.misfits(state, model.state_dict())
    if wrong:
        problems = f"{wrong[0]}; {len(wrong)} in all"
        raise NegutilError(f"{file} does not fit {entry.architecture} ({problems}); register its architecture.")
    model.load_state_dict(state)
    known = (entry.architecture, sha256)
    if known not in _image_towers:
        _image_towers[known] = state_sha256(model.visual.state_dict())
    return LoadedModel(
        model=model.to(device).eval(),
        preprocess=preprocessing(entry),
        tokenizer=tokenizer,
        entry=entry,
        dtype=torch.float32,
        device=device,
        fingerprint=registry.fingerprint(entry, sha256, _image_towers[known]),
    )


def _of_shape(state: State, wanted: State) -> State:
    """``state`` with logit scale and bias, which some files keep as a vector of one, shaped as ``wanted``."""
    scalars = [name for name in ("logit_scale", "logit_bias") if name in state and name in wanted]
    alike = {name: state[name].reshape(wanted[name].shape) for name in scalars if state[name].numel() == 1}
    return state | alike


def preprocessing(entry: Entry) -> Callable[[Image.Image], torch.Tensor]:
    """The transform of an image to float32 [3, H, W] for the model of ``entry``."""
    transform = architectures.open_clip().transform
    preprocess: Callable[[Image.Image], torch.Tensor] = transform.image_transform_v2(
        transform.PreprocessCfg(**entry.preprocessing), is_train=False
    )
    return preprocess


def state_sha256(state: State) -> str:
    """Return the sha256 of names, kinds, shapes and values of tensors, in the order of their names.

    That of ``model.visual.state_dict()`` is the same for models that differ only in their text towers, so they share
    cached image features.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def locate(entry: Entry) -> tuple[Path, str]:
    """Return the weight file of ``entry``, downloaded if it is a tag, and its sha256.

    Raises NegutilError if there is no such file or it is not the one with the registered or noted sha256.
    """
    file = entry.file
    if file is None:  # the hub's own cache keeps what is fetched at the pinned revision
        repository, _, name = _tag_settings(entry).get("hf_hub", "").rpartition("/")
        if not repository:
            raise NegutilError(f"The weights of tag '{entry.tag}' are on no hub; download and register their path.")
        fetch = architectures.open_clip().pretrained.download_pretrained_from_hf
        fix = "connect to the network, or download them elsewhere and give --pretrained FILE, or register its path"
        with hub.fetching(f"{repository}, the weights of model '{entry.name}',", fix):
            file = Path(fetch(repository, filename=name or None, revision=entry.revision))
    if not file.is_file():
        fix = f"run `negutil pretrain {entry.name}`" if entry.made else "restore or download it"
        raise NegutilError(f"{file}, the weights of model '{entry.name}', does not exist; {fix}.")
    actual = file_sha256(file)
    if entry.made:
        return file, _require_made(entry, file, actual)
    if not entry.sha256 and not entry.tag:
        fix = "if it is the file that you want, write that into configs/models.toml"
        raise NegutilError(f"Model '{entry.name}' is registered without sha256; that of {file} is {actual}: {fix}.")
    expected = entry.sha256
    if not expected:  # that noted when this tag was first downloaded
        note = paths.cache() / "weights" / f"{entry.architecture}.{entry.tag}.{entry.revision}.sha256"
        if not note.exists():
            files.write_text(note, actual + "\n")
        expected = note.read_text(encoding="utf-8").strip()
    if actual != expected:
        raise NegutilError(
            f"{file} has sha256 {actual[:12]}..., but model '{entry.name}' is registered with {expected[:12]}...; "
            "restore the file, or register it under another name."
        )
    return file, actual


def _require_made(entry: Entry, file: Path, sha256: str) -> str:
    """The ``sha256`` of weights that were trained here; raises NegutilError if their training recorded another."""
    again = f"run `negutil pretrain {entry.name}` again"
    about = files.read_json(file.with_suffix(".json"), again)
    if not isinstance(about, dict) or about.get("sha256") != sha256:
        raise NegutilError(f"{file} is not the file that its training wrote; delete it and {again}.")
    return sha256


def check_activation(entry: Entry) -> None:
    """Raise NegutilError unless entry, architecture and (for a tag) weights agree on QuickGELU.

    See docs/protocols.md#activation.
    """
    is_quick = entry.activation == "quick_gelu"
    if architectures.uses_quick_gelu(entry.architecture) != is_quick:
        computed = "gelu" if is_quick else "quick_gelu"
        raise NegutilError(
            f"Model '{entry.name}' was trained with {entry.activation}, but {entry.architecture} computes {computed}; "
            f"choose an architecture {'with' if is_quick else 'without'} QuickGELU."
        )
    if entry.tag and bool(_tag_settings(entry).get("quick_gelu", False)) != is_quick:
        raise NegutilError(
            f"Model '{entry.name}' is registered with {entry.activation}, but the weights of tag '{entry.tag}' were "
            "trained with the other activation; correct architecture and activation in configs/models.toml."
        )


def _tag_settings(entry: Entry) -> dict[str, Any]:
    settings: dict[str, Any] = architectures.open_clip().get_pretrained_cfg(entry.architecture, entry.tag)
    if not settings:
        raise NegutilError(f"open_clip has no weights '{entry.tag}' for {entry.architecture}; correct '{entry.name}'.")
    return settings
