"""BMP: Pillow's reader looks at nothing but pixels as it is."""

from __future__ import annotations

import io

from PIL.BmpImagePlugin import BmpImageFile

from models.decoding.bounds import check_size
from models.decoding.opened import Opened


def open_bmp(data: bytes) -> Opened:
    """Open a BMP file.

    Raises:
        ImageError: too many pixels.
    """
    image = BmpImageFile(io.BytesIO(data))
    check_size(*image.size)
    # Many programs write 32 bits a pixel and leave the alpha among them at nought.
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[1] == 0:
        return Opened(image.convert("RGB"))
    return Opened(image)
