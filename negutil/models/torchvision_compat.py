"""Let a CUDA-built torchvision be imported beside a CPU-only torch.

PyPI serves one torchvision wheel for Linux, built for CUDA. Beside a CPU-only torch its compiled library does not
load, so the operators ``torchvision::nms`` and ``torchvision::qnms`` never get a schema, and ``import torchvision``
stops with "operator torchvision::nms does not exist". Nothing here uses these operators: open_clip needs torchvision
only for image transforms. Defining the two schemas, without an implementation, is enough for the import.

:func:`install` adds a hook to Python's import system that does so when torchvision is imported, and only for operators
that are still missing once torchvision has tried to load its library. ``negutil.models`` installs it. In the .venv of
run_all.sh it is there from the start of Python: scripts/environment.sh copies this file into site-packages, so it
must not import anything that takes time.
"""

from __future__ import annotations

import sys

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
NEEDS_THEM = "torchvision._meta_registrations"
"""The module of torchvision that needs the operators; torchvision imports it right after its compiled library."""

_kept: list[object] = []  # a schema disappears when its library object is collected


class _Hook:
    """A finder that finds nothing: Python asks it before it imports a module."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Define the missing schemas if ``name`` is the module that needs them."""
        if name == NEEDS_THEM:
            define_missing()


_HOOK = _Hook()


def install() -> None:
    """Add the hook to the import system, once."""
    if _HOOK not in sys.meta_path:
        sys.meta_path.insert(0, _HOOK)


def define_missing() -> list[str]:
    """Define the schemas that torch does not know yet; return the names of their operators."""
    import torch

    missing = [name for name in SCHEMAS if not hasattr(torch.ops.torchvision, name)]
    if missing:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in missing:
            library.define(SCHEMAS[name])
        _kept.append(library)
    return missing
