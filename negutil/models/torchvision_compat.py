"""Let a CUDA-built torchvision be imported beside a CPU-only torch.

PyPI serves one torchvision wheel for Linux, built for CUDA. Beside a CPU-only torch its compiled library does not
load, so the operators ``torchvision::nms`` and ``torchvision::qnms`` never get a schema, and ``import torchvision``
stops with "operator torchvision::nms does not exist". Nothing here uses these operators: open_clip needs torchvision
only for image transforms. Defining the two schemas, without an implementation, is enough for the import.

Call :func:`ensure` before any ``import open_clip`` (``negutil.models.architectures`` does so).
"""

from __future__ import annotations

import importlib
import sys

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_kept: list[torch.library.Library] = []  # a schema disappears when its library object is collected


def ensure() -> bool:
    """Make ``import torchvision`` work; return True where the missing schemas had to be registered.

    Does nothing where torchvision is whole. Any other failure of the import is passed on unchanged.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error) or "does not exist" not in str(error):
            raise
        _forget_partial_import()
        _register_schemas()
        importlib.import_module("torchvision")
        return True
    return False


def missing_operators() -> list[str]:
    """Names of the operators in question that have no schema in this process."""
    return [name for name in _SCHEMAS if not _has_schema(name)]


def _has_schema(name: str) -> bool:
    try:
        torch._C._get_schema(f"torchvision::{name}", "")
    except RuntimeError:
        return False
    return True


def _register_schemas() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in missing_operators():
        library.define(_SCHEMAS[name])
    _kept.append(library)


def _forget_partial_import() -> None:
    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]
