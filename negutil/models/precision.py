"""On which device and in which kind of number models encode: NEGUTIL_DEVICE and NEGUTIL_DTYPE.

The default, float32 on the CPU, is what all published tables of this repository were made with. Features are float32
rows whatever they were computed in, and they and the answers made of them are cached under device and dtype, so that
no table mixes two. Fine-tuning itself always has float32 weights.
"""

import os

import torch

from negutil.errors import NegutilError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def device() -> str:
    """The device of NEGUTIL_DEVICE, "cpu" unless it is set; "auto" is the first GPU where there is one.

    Raises NegutilError if there is no such device.
    """
    return usable(os.environ.get("NEGUTIL_DEVICE") or "cpu", "NEGUTIL_DEVICE")


def usable(chosen: str, setting: str = "--device") -> str:
    """The device ``chosen``, for "auto" the first GPU where there is one.

    Raises NegutilError, naming the ``setting``, where torch cannot compute there.
    """
    if chosen == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=chosen).cpu()  # nothing can be copied from the device "meta"
    except (RuntimeError, AssertionError) as problem:
        raise NegutilError(
            f"{setting} is '{chosen}', which torch cannot use here: choose cpu, or see that CUDA works."
        ) from problem
    return chosen


def dtype() -> torch.dtype:
    """The kind of number of NEGUTIL_DTYPE, float32 unless it is set; raises NegutilError if it is none of DTYPES."""
    chosen = os.environ.get("NEGUTIL_DTYPE") or "float32"
    if chosen not in DTYPES:
        raise NegutilError(f"NEGUTIL_DTYPE is {chosen}: set it to one of {', '.join(DTYPES)}.")
    return DTYPES[chosen]


def unit(features: torch.Tensor) -> torch.Tensor:
    """L2-normalised ``features`` [N, D] in float32: rounded to fewer digits, their lengths are a little off."""
    whole = features.float()
    return whole if features.dtype == torch.float32 else torch.nn.functional.normalize(whole, dim=-1)


def identity() -> dict[str, str]:
    """Return what the key of a cache needs besides: device and dtype where they are not the default, else nothing."""
    chosen = {"device": torch.device(device()).type, "dtype": str(dtype()).removeprefix("torch.")}
    return {} if chosen == {"device": "cpu", "dtype": "float32"} else chosen
