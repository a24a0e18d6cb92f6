"""The model registry: ``configs/models.toml`` says for every model which weights, which activation, which images.

Loading goes through an entry because the pieces do not know of each other: a file of OpenAI-derived weights loads
without complaint into an architecture with the wrong activation, and scores a few points too low
(docs/protocols.md#activation).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negutil import files, paths
from negutil.errors import NegutilError, no_such

ACTIVATIONS = ("quick_gelu", "gelu")
PLACES = ("package", "path", "tag", "made")
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class Entry(files.Settings):
    """One model, with exactly one of PLACES; ``size`` is the side of its images in pixels.

    ``sha256`` is that of the weight file. It is empty only for a tag, whose file is noted at its first download, and
    for a file that is ``made`` on this machine, whose training notes it.
    """

    name: str
    architecture: str
    activation: str
    sha256: str
    size: int
    source: str
    package: str = ""
    path: str = ""
    tag: str = ""
    made: str = ""
    revision: str = "main"
    mean: tuple[float, float, float] = OPENAI_MEAN
    std: tuple[float, float, float] = OPENAI_STD
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"

    @property
    def file(self) -> Path | None:
        """The weight file, or None for a tag, whose file open_clip's hub decides."""
        if self.package:
            return paths.WEIGHTS / self.package
        if self.made:
            return paths.made_weights() / self.made
        return (paths.ROOT / Path(self.path).expanduser()) if self.path else None

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How an image becomes input: a part of the key of every cached feature."""
        keys = ("size", "mean", "std", "interpolation", "resize_mode")
        return {key: json.loads(json.dumps(getattr(self, key))) for key in keys}


def entries(file: Path | None = None) -> dict[str, Entry]:
    """Return every model of the registry by name, in the order of ``file`` (``configs/models.toml``).

    Raises NegutilError if the file cannot be read or an entry is not complete and consistent.
    """
    file = file or paths.CONFIGS / "models.toml"
    return {name: _entry(name, table, file) for name, table in files.read_toml(file).items()}


def find(name: str, file: Path | None = None) -> Entry:
    """Return the model called ``name``; raises NegutilError, listing those that exist, if there is none."""
    file = file or paths.CONFIGS / "models.toml"
    tables = files.read_toml(file)
    if name not in tables:
        raise no_such("model", name, tables, " in configs/models.toml")
    return _entry(name, tables[name], file)


def _entry(name: str, table: Any, file: Path) -> Entry:
    where = f"{file}: [{name}]"
    entry = files.checked(Entry, table | {"name": name} if isinstance(table, dict) else table, where)
    if sum(bool(getattr(entry, place)) for place in PLACES) != 1:
        raise NegutilError(f"{where} must say where its weights are by exactly one of {', '.join(PLACES)}.")
    if entry.activation not in ACTIVATIONS:
        raise NegutilError(f"{where} has no known activation; write one of {', '.join(ACTIVATIONS)}.")
    return entry


def fingerprint(entry: Entry, sha256: str, image_tower_sha256: str) -> dict[str, Any]:
    """Return all that features of a model loaded in float32 depend on, as plain values for the key of a cache.

    Text features depend on all the weights (``sha256``), image features on those of the image tower alone.
    """
    return {
        "weights_sha256": sha256,
        "image_tower_sha256": image_tower_sha256,
        "architecture": entry.architecture,
        "activation": entry.activation,
        "preprocessing": entry.preprocessing,
        "dtype": "float32",
    }
