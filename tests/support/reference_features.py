"""Store features of the shipped models; run after their weights changed: python tests/support/reference_features.py

The loader's test compares with these files, so a wrong activation, preprocessing or file is noticed.
"""

from __future__ import annotations

import model_files
import numpy as np

from negutil import paths
from negutil.models import encode, loader, registry


def main() -> None:
    """Write tests/reference/<name>.npz with ``images`` and ``texts`` [3, D] for every model that the package ships."""
    folder = paths.ROOT / "tests" / "reference"
    folder.mkdir(exist_ok=True)
    for name in [name for name, entry in registry.entries().items() if entry.package]:
        model = loader.load(name)
        images = encode.images(model, model_files.pictures(), cached=False)
        texts = encode.texts(model, model_files.TEXTS, cached=False)
        np.savez(folder / f"{name}.npz", images=images, texts=texts)


if __name__ == "__main__":
    main()
