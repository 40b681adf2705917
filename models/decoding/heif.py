"""HEIC and AVIF: images in boxes, which say themselves how they are turned."""

from __future__ import annotations

import io
import re

from PIL import AvifImagePlugin
from PIL.AvifImagePlugin import AvifImageFile

from models.decoding.avifframes import check_frames
from models.decoding.opened import Opened
from models.decoding.orientation import read_orientation

# Decoding is one thread's work, of as many images at a time as are let.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

# An item's type, in the list of items: version, flags, id of 2 or 4 bytes, protection.
_EXIF_ITEM = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))Exif", re.DOTALL)


def open_heic(data: bytes) -> Opened:
    """Open a HEIC file; libheif turns it upright."""
    # Here, and not above: few files need it.
    from pillow_heif import HeifImageFile, options

    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    return Opened(HeifImageFile(_without_exif(data)))  # type: ignore[no-untyped-call]


def open_avif(data: bytes) -> Opened:
    """Open an AVIF file; Pillow passes on as EXIF, of its own making, how the boxes turn it.

    Raises:
        ImageError: an image has too many frames.
    """
    check_frames(data)
    image = AvifImageFile(_without_exif(data))
    return Opened(image, read_orientation(image.info.get("exif", b"")))


def _without_exif(data: bytes) -> io.BytesIO:
    """The file, its EXIF no longer named so.

    In this format EXIF does not say how an image is turned, and damaged EXIF makes readers fail.
    """
    return io.BytesIO(_EXIF_ITEM.sub(rb"\1free", data))
