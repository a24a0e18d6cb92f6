"""The model that ``negutil bench`` examines: by name, or an architecture with weights of any kind.

MODEL is a name of the registry, of a fine-tuned model (base+method/run), or an architecture of open_clip;
``pretrained`` is a file or folder of weights, a tag of open_clip, or "random". Weights derived from OpenAI's need
QuickGELU, and most files do not say what they need, so the user has to (docs/protocols.md#activation).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from negutil import files
from negutil.captions import sentence_forms, splitting
from negutil.errors import NegutilError, meant
from negutil.models import architectures, checkpoints, encode, loader, precision, queries, registry, scorer, trained
from negutil.models.loader import LoadedModel
from negutil.models.registry import ACTIVATIONS, Entry
from negutil.models.scorer import Scorer
from negutil.models.trained import Trained

RANDOM = "random"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
TWIN = "-quickgelu"
NO_WEIGHTS: dict[str, Any] = dict.fromkeys((*registry.PLACES, "sha256"), "")


def load(
    name: str,
    pretrained: str = "",
    *,
    activation: str = "",
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    profile: str | None = None,
) -> LoadedModel:
    """Load the model ``name`` with the weights ``pretrained`` ("": those that belong to the name).

    ``activation`` says with which one the weights of a file were trained, where nothing else does; ``seed`` is that of
    random weights; ``profile`` is where a fine-tuned model is looked for. Raises NegutilError if there is no such
    model or file, weights and architecture do not fit, or device or dtype cannot be used.
    """
    device = precision.usable(device)
    if dtype not in precision.DTYPES:
        raise NegutilError(f"There is no dtype '{dtype}'; choose one of {', '.join(precision.DTYPES)}.")
    if activation and activation not in ACTIVATIONS:
        raise NegutilError(f"There is no activation '{activation}'; choose one of {', '.join(ACTIVATIONS)}.")
    is_tuned = trained.is_name(name)
    is_registered = is_tuned or name in registry.entries()
    if not is_registered and architectures.find(name) is None:
        names = list(registry.entries())
        examples = ", ".join(names[:4])
        close = meant(name, [*names, *architectures.open_clip().list_models()])
        raise NegutilError(
            f"There is no model '{name}'{f' (did you mean {close}?)' if close else ''}; give a name from "
            f"`negutil models list` ({examples}, ...), a fine-tuned one such as miniclip-b-8+negationclip/seed0, or an "
            "open_clip architecture such as ViT-B-32."
        )
    if not pretrained and (folder := architectures.folder_of(name)):
        pretrained = str(_weights_in(folder))
    if not pretrained:
        if not is_registered:
            raise NegutilError(
                f"'{name}' is an architecture without weights: add --pretrained with a tag, a file or random."
            )
        model = loader.load(name, device, profile, torch.float32)
        model = _with_base(model, name.partition(trained.MARK)[0]) if is_tuned else model
    elif is_tuned:
        raise NegutilError(f"'{name}' already has weights: leave out --pretrained, or name its base model.")
    else:
        path, entry = Path(pretrained).expanduser(), _entry(name)
        tuned = trained.find(path if path.is_dir() else path.parent) if path.exists() else None
        if pretrained == RANDOM:
            model = _random(entry, seed, device)
        elif tuned is not None and (path.is_dir() or path.name in (trained.TENSORS, trained.ABOUT)):
            model = _tuned(entry, path, tuned, device)
        elif path.exists() or path.suffix in SUFFIXES:
            model = _from_file(entry, path, activation, device)
        else:
            model = _from_tag(entry, pretrained, device)
    return loader.in_dtype(model, precision.DTYPES[dtype])


def is_miniclip(model: LoadedModel) -> bool:
    """Whether the mini world is what ``model`` was made for."""
    return model.entry.architecture.startswith("MiniCLIP")


def _entry(name: str) -> Entry:
    """The registry's entry of ``name``, or one for a bare architecture of open_clip, to be given weights."""
    known = registry.entries()
    if name in known:
        return known[name]
    side = architectures.config(name)["vision_cfg"].get("image_size", 224)
    size = side if isinstance(side, int) else max(side)
    activation = _computed_activation(name)
    about: dict[str, Any] = {"activation": activation, "sha256": "", "size": size, "source": "open_clip"}
    return Entry(name=name, architecture=name, **about | architectures.preprocessing(name))


def with_method(model: LoadedModel, method: str = "", batch: int = encode.BATCH) -> Scorer:
    """Return what asks ``model``: its cosines, or those of queries made by a method without training.

    ``method`` is one of ``queries.METHODS``, with a number behind it ("caps=0.9") or with that of ``queries.DEFAULTS``.
    Sentences are split by the rules for English; steering learns its directions from sentences of the mini world's
    grammar. Raises NegutilError for another method, for a number that is none or out of range, and where the text tower
    cannot be steered.
    """
    if not method:
        return scorer.of(model, batch)
    name, _, said = method.partition("=")
    if name not in queries.METHODS:
        raise NegutilError(f"There is no method '{name}': choose one of {', '.join(queries.METHODS)}.")
    try:
        number = float(said) if said else queries.DEFAULTS[name]
    except ValueError as problem:
        raise NegutilError(
            f"The number of the method '{method}' is '{said}': write for example {name}=0.9."
        ) from problem
    called = f"{model.name}, {name} {number:g}" if number else f"{model.name}, {name}"
    if name == queries.STEERED:
        affirmed, negated = zip(*sentence_forms.negation_pairs(), strict=True)
        towards = queries.directions(model, affirmed, negated, batch)
        return queries.Steered(model, towards, number, called, batch)
    return queries.SplitQuery(model, splitting.Rules(), queries.combination(name, number), called, batch=batch)


def _weights_in(folder: Path) -> Path:
    """The weights in a folder of open_clip; raises NegutilError if there are none."""
    names = [f"open_clip_{name}" for name in ("model.safetensors", "pytorch_model.safetensors", "pytorch_model.bin")]
    found = next((folder / name for name in names if (folder / name).exists()), None)
    if found is None:
        raise NegutilError(
            f"{folder} has none of {', '.join(names)}: put the weights there, or give --pretrained FILE."
        )
    return found


def _computed_activation(architecture: str) -> str:
    return ACTIVATIONS[0] if architectures.uses_quick_gelu(architecture) else ACTIVATIONS[1]


def _tuned(entry: Entry, path: Path, found: Trained, device: str) -> LoadedModel:
    """The text tower ``found`` that was fine-tuned here, on the model that it was made from."""
    # A bare architecture stands for all of the registry's models that have it.
    bare = registry.entries().values() if entry.name == entry.architecture else ()
    same = [known.name for known in bare if known.architecture == entry.architecture]
    if found.base not in (entry.name, *same):
        raise NegutilError(
            f"{path} was fine-tuned from '{found.base}', not from '{entry.name}': give {found.base} as the model."
        )
    return _with_base(loader.load_tuned(found, device), found.base)


def _with_base(model: LoadedModel, base: str) -> LoadedModel:
    """``model`` with an entry that says that it was fine-tuned."""
    return replace(model, entry=replace(model.entry, source=f"text tower fine-tuned here, on {base}"))


def _from_file(entry: Entry, path: Path, activation: str, device: str) -> LoadedModel:
    if not path.is_file():
        raise NegutilError(f"{path}: there is no such weights file: check the path.")
    path = path.absolute()  # not where a link leads: Hugging Face's cache keeps files without an ending there
    trained_with = activation or checkpoints.noted_activation(path) or _presumed_activation(entry, path)
    changes = NO_WEIGHTS | {"path": str(path), "sha256": files.sha256(path), "activation": trained_with}
    _require_plain(entry.architecture)
    changes |= {"name": f"{entry.name} ({path.name})", "source": f"the file {path.name}"}
    return loader.load_entry(replace(entry, **changes), device)


def _presumed_activation(entry: Entry, path: Path) -> str:
    """That of the registry, or of an architecture that leaves no doubt."""
    bare = entry.name == entry.architecture and not architectures.folder_of(entry.architecture)
    if bare and entry.activation == ACTIVATIONS[1] and architectures.find(entry.architecture + TWIN) is not None:
        raise NegutilError(
            f"{path} does not say whether it was trained with QuickGELU, and {entry.architecture} computes GELU; "
            f"give the model {entry.architecture}{TWIN} if the weights derive from OpenAI's, otherwise add "
            f"--activation {ACTIVATIONS[1]}."
        )
    return entry.activation


def _from_tag(entry: Entry, tag: str, device: str) -> LoadedModel:
    module = architectures.open_clip()
    settings = module.get_pretrained_cfg(entry.architecture, tag)
    if not settings:
        tags = ", ".join(module.list_pretrained_tags_by_model(entry.architecture)) or "none"
        raise NegutilError(
            f"There is no file '{tag}', and open_clip has no such weights for {entry.architecture}; its tags: {tags}."
        )
    activation = ACTIVATIONS[0] if settings.get("quick_gelu") else ACTIVATIONS[1]
    changes = NO_WEIGHTS | {"tag": tag, "activation": activation, "source": f"open_clip's weights {tag}"}
    changes |= architectures.picture_settings(settings)
    _require_plain(entry.architecture)
    return loader.load_entry(replace(entry, name=f"{entry.name} ({tag})", **changes), device)


def _require_plain(architecture: str) -> None:
    """Raise NegutilError for a model that is more than an image tower and a text tower."""
    if "multimodal_cfg" in architectures.config(architecture):
        raise NegutilError(
            f"{architecture} has a third tower, which writes captions and cannot be evaluated: "
            "choose an architecture such as ViT-B-32."
        )


def _random(entry: Entry, seed: int, device: str) -> LoadedModel:
    """A model with weights from ``seed``: what a benchmark gives to a model that knows nothing."""
    _require_plain(entry.architecture)
    tokenizer = architectures.tokenizer(entry.architecture)
    torch.manual_seed(seed)
    model = architectures.build(entry.architecture)
    changes = NO_WEIGHTS | {"activation": _computed_activation(entry.architecture), "source": "random weights"}
    named = replace(entry, name=f"{entry.name} (random, seed {seed})", **changes)
    made = files.text_sha256(f"{entry.architecture} {seed} {torch.__version__}")
    return LoadedModel(
        model=model.to(device).eval(),
        preprocess=loader.preprocessing(named),
        tokenizer=tokenizer,
        entry=named,
        dtype=torch.float32,
        device=device,
        fingerprint=registry.fingerprint(named, made, loader.state_sha256(model.visual.state_dict())),
    )
