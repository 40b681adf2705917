"""An image file whose header has been read and whose pixels have not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from models.decoding.orientation import UPRIGHT


@dataclass(frozen=True)
class Samples:
    """What a file says of its numbers, where Pillow's mode does not.

    Attributes:
        depth: bits of a sample in the file.
        significant: bits of a sample that are used; None where the file does not say.
        white_is_zero: the largest number is black, and Pillow leaves that to its caller.
        key: the colour that is transparent, in the file's own numbers, one a channel; None where none is.
        signed: whether half of the numbers are below nought.
    """

    depth: int = 8
    significant: int | None = None
    white_is_zero: bool = False
    key: tuple[int, ...] | None = None
    signed: bool = False


@dataclass(frozen=True)
class Opened:
    """An image that has not been loaded.

    Attributes:
        image: Pillow's; of several frames, the first.
        orientation: EXIF's, 1 to 8.
        samples: see there.
        reopen: opens the same file again, where Pillow keeps but one byte of two of each sample.
        jpeg: what was opened, where it is a JPEG.
    """

    image: Image.Image
    orientation: int = UPRIGHT
    samples: Samples = Samples()
    reopen: Callable[[], Image.Image] | None = None
    jpeg: bytes | None = None
