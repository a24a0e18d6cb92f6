"""Faces as CelebA: ``img_align_celeba/``, ``list_attr_celeba.txt`` and ``list_eval_partition.txt``.

Stands for CelebA in the binary probe (NegationCLIP Sec. 2.1). The layout is torchvision's, so that
``torchvision.datasets.CelebA`` and ``negutil.data.celeba`` read it; attributes that the avatars cannot express are -1.

See docs/protocols.md#binary-probe.
"""

from pathlib import Path
from typing import Any

from miniworld import faces
from miniworld.writers import _shared
from negutil.config import Splits

PARTITION = {"train": 0, "val": 1, "test": 2}


def write(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Fill ``folder`` with the faces of every split, numbered from 000001.jpg on; returns how many there are."""
    attributes: list[str] = []
    partition: list[str] = []
    for split, _, face, pixels in _shared.draw_all("celeba", sizes, seed, faces.sample, faces.draw):
        name = f"{len(partition) + 1:06d}.jpg"
        _shared.write_picture(folder / "img_align_celeba" / name, pixels)
        # The columns of the official file: the name, then 1 or -1 for each of the 40 attributes.
        flags = (" 1" if face.attributes[attribute] else "-1" for attribute in faces.CELEBA_ATTRIBUTES)
        attributes.append(" ".join([name, *flags]))
        partition.append(f"{name} {PARTITION[split]}")
    head = [str(len(attributes)), " ".join(faces.CELEBA_ATTRIBUTES)]
    _shared.write_lines(folder / "list_attr_celeba.txt", [*head, *attributes])
    _shared.write_lines(folder / "list_eval_partition.txt", partition)
    return {"faces": len(partition), "attributes_drawn": len(faces.DRAWN)}
