"""Class folders: ImageNet's val/<wnid>/*.JPEG and Caltech101's 101_ObjectCategories/<class>/*.jpg. See
docs/protocols.md#zero-shot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset

from negutil.data import _reading
from negutil.data._reading import STRING

SUFFIXES = (
    *(".jpeg", ".jpg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
    *(".pbm", ".pnm", ".tga", ".ico", ".jp2"),
)
"""Endings of the images that Pillow reads; of several frames the first is taken."""
NOT_CLASSES = ("BACKGROUND_Google",)
"""Folders that are no class: Caltech101's background images."""
_INSIDE = ("101_ObjectCategories", "val")


def is_picture(path: Path) -> bool:
    """Whether the name of a file is that of an image, and not of what macOS puts beside one ("._a.jpg")."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith("._")


def below(folder: Path) -> list[Path]:
    """The images in ``folder`` and the folders below it, in no particular order."""
    return [file for file in folder.rglob("*") if is_picture(file) and file.is_file()]


def load(folder: Path | str, names: Mapping[str, str] | None = None) -> Dataset:
    """Images with the class that their folder says, classes and images in the order of their names.

    `folder` holds one folder per class, or the dataset's own 101_ObjectCategories or val folder with them. `names` maps
    folder names to class names ("n01440764" to "tench"). Columns: image, file_name (relative to `folder`), label
    (datasets.ClassLabel over the folder names), class_name. Raises NegutilError if there are no class folders, a
    class has no images, or `names` lacks a folder.
    """
    folder = _reading.require_folder(folder)
    folder = next((folder / name for name in _INSIDE if (folder / name).is_dir()), folder)
    classes = [part for part in sorted(folder.iterdir()) if part.is_dir() and part.name not in NOT_CLASSES]
    if not classes:
        problem = "it has no class folders"
        _reading.fail(folder, problem, "put every image in a folder named after its class")
    found: dict[str, list[Path]] = {}
    for part in classes:
        found[part.name] = sorted(file for file in part.iterdir() if is_picture(file))
        if not found[part.name]:
            _reading.fail(part, "there are no images in this class folder", "add them or remove the folder")
    _reading.known(found, names or found, "class (its folder has no name)", folder)
    labels = [name for name, pictures in found.items() for _ in pictures]
    files = [picture for pictures in found.values() for picture in pictures]
    columns: dict[str, list[Any]] = {
        "image": [str(file.resolve()) for file in files],
        "file_name": [str(file.relative_to(folder)) for file in files],
        "label": [number for number, pictures in enumerate(found.values()) for _ in pictures],
        "class_name": [names[name] for name in labels] if names else labels,
    }
    features = {"file_name": STRING, "label": ClassLabel(names=list(found)), "class_name": STRING}
    return _reading.build(folder, features, columns)
