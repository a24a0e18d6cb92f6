"""WiSE-FT (Wortsman et al. 2022): the weights between an original and a fine-tuned text tower."""

import copy
import hashlib
from dataclasses import replace

from negutil.errors import NegutilError
from negutil.models import text_tower
from negutil.models.loader import LoadedModel


def interpolate(base: LoadedModel, tuned: LoadedModel, alpha: float) -> LoadedModel:
    """Return a model in memory with the text tower (1 - alpha) base + alpha tuned; 0 is ``base``, 1 is ``tuned``.

    Its name is that of ``tuned`` with ``@alpha``, and its image features are those of ``base``. Raises NegutilError
    where alpha is not between 0 and 1, or the models do not have the same image tower and the same tensors.
    """
    if not 0 <= alpha <= 1:
        raise NegutilError(f"alpha is {alpha}; interpolate between 0 (the original) and 1 (the fine-tuned model).")
    if base.fingerprint["image_tower_sha256"] != tuned.fingerprint["image_tower_sha256"]:
        raise NegutilError(f"'{tuned.name}' was not fine-tuned from '{base.name}'; interpolate a model and its base.")
    entry = replace(tuned.entry, name=f"{tuned.name}@{alpha:g}")
    if alpha in (0, 1):  # the very weights, whose features are in the cache
        return replace(tuned if alpha else base, entry=entry)
    original, other = text_tower.state(base.model), text_tower.state(tuned.model)
    model = copy.deepcopy(tuned.model)
    mixed = {name: (1 - alpha) * value + alpha * other[name] for name, value in original.items() if name in other}
    text_tower.put(model, mixed, f"'{base.name}'")
    parts = [str(each.fingerprint["weights_sha256"]) for each in (base, tuned)]
    digest = hashlib.sha256(" ".join([*parts, repr(float(alpha))]).encode()).hexdigest()
    return replace(tuned, model=model, entry=entry, fingerprint=tuned.fingerprint | {"weights_sha256": digest})
