"""PNG files a third as large: figures and the outputs of notebooks are committed, and would fill the repository."""

import base64
import io

from PIL import Image

COLOURS = 256


def compact(data: bytes) -> bytes:
    """The PNG ``data`` with at most COLOURS colours on white, or as it is where that is smaller or has a palette.

    Equal pixels give equal bytes; a plot loses nothing that can be seen.
    """
    picture = Image.open(io.BytesIO(data))
    if picture.mode == "P":
        return data
    whole = Image.new("RGBA", picture.size, "white")
    whole.alpha_composite(picture.convert("RGBA"))
    buffer = io.BytesIO()
    few = whole.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(buffer, "PNG", optimize=True)
    return min(buffer.getvalue(), data, key=len)


def compact_base64(text: str) -> str:
    """``compact`` for a PNG in base64, as notebooks hold it."""
    data = base64.b64decode(text)
    small = compact(data)
    return text if small == data else base64.b64encode(small).decode()
