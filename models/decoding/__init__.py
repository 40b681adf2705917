"""From the bytes of an image file to RGB pixels: formats, bounds, orientation, colours.

Whatever the bytes are, `ImageError` is all that leaves `decode`.
"""

from models.decoding.errors import ImageError
from models.decoding.imagefile import decode

__all__ = ["ImageError", "decode"]
