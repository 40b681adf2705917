"""From the bytes of an image file to RGB pixels: formats, bounds, orientation, colours.

Whatever the bytes are, `ImageError` is all that leaves `decode`; `pool` decodes in processes that can be
ended.
"""

from models.decoding.errors import BoxError, DecodePoolError, DetectorError, ImageError, TogetherError
from models.decoding.imagefile import decode

__all__ = ["BoxError", "DecodePoolError", "DetectorError", "ImageError", "TogetherError", "decode"]
