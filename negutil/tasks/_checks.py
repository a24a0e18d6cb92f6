"""What every evaluation asks of the features that it is given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from negutil.errors import NegutilError


def finite(features: NDArray[np.floating], name: str) -> None:
    """Raise NegutilError that names the first row of ``features`` [N, D] with a number that is not finite.

    ``name`` says what a row is: "picture", "query", ...
    """
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise NegutilError(f"The features of {name} {bad[0]} are not finite: check the model that made them.")
