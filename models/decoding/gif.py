"""GIF: its first frame."""

from __future__ import annotations

import io

from PIL.GifImagePlugin import GifImageFile

from models.decoding.bounds import check_size
from models.decoding.errors import ImageError
from models.decoding.opened import Opened

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL = 0xF9
"""The extension that says which colour is transparent."""


def open_gif(data: bytes) -> Opened:
    """Open a GIF file as if its first frame were all it has.

    Raises:
        ImageError: there is no frame, or it has too many pixels.
    """
    flags = data[10]
    position = 13 + _table(flags)
    head, control = data[:position], b""
    while data[position] != _TRAILER:
        if data[position] == _EXTENSION:
            end = _past_blocks(data, position + 2)
            if data[position + 1] == _CONTROL:
                control = data[position:end]
            position = end
        elif data[position] == _IMAGE:
            left, top, width, height, flags = (
                *(int.from_bytes(data[position + at : position + at + 2], "little") for at in (1, 3, 5, 7)),
                data[position + 9],
            )
            screen = (int.from_bytes(data[at : at + 2], "little") for at in (6, 8))
            check_size(*map(max, screen, (left + width, top + height)))
            end = _past_blocks(data, position + 11 + _table(flags))
            frame = head + control + data[position:end] + bytes([_TRAILER])
            return Opened(GifImageFile(io.BytesIO(frame)))
        else:
            position += 1
    raise ImageError("the GIF has no frame")


def _table(flags: int) -> int:
    """Bytes of the colour table that is announced."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _past_blocks(data: bytes, position: int) -> int:
    """Where the sub-blocks that begin here end.

    Raises:
        IndexError: after the end of the file.
    """
    while data[position]:
        position += 1 + data[position]
    return position + 1
