"""The bytes of a text file as text, by their byte order mark or the encoding that the caller names."""

from __future__ import annotations

import codecs

# UTF-32 before UTF-16, whose little-endian mark begins the other's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class EncodingError(ValueError):
    """Bytes that are no text in their encoding; the message has the line and the byte."""


def decode_text(data: bytes, encoding: str | None = None) -> str:
    """Decode the bytes of a text file.

    Args:
        data: all of them. What a byte order mark at their start says wins over `encoding`.
        encoding: as Python names it; None for UTF-8.

    Raises:
        EncodingError: no such encoding, bytes that are not in it, or the zeros of an undeclared UTF-16.
    """
    mark, name = next(
        ((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", encoding or "utf-8")
    )
    data = data[len(mark) :]
    # Before anything is decoded: letters beyond ASCII would be the fault that is found.
    if not mark and encoding is None and b"\0" in data.partition(b"\n")[0]:
        raise EncodingError("line 1: holds zero bytes: it is utf-16-le or utf-16-be, or no text at all")
    try:
        return data.decode(name)
    except UnicodeDecodeError as error:
        # A line end holds this byte in UTF-8, UTF-16 and all other encodings of tables.
        line, byte = data[: error.start].count(b"\n") + 1, len(mark) + error.start
        raise EncodingError(
            f"line {line}: is not {_spelled(name)}: byte 0x{data[error.start]:02X} at {byte}, {error.reason}"
        ) from None
    except (LookupError, UnicodeError):
        raise EncodingError(
            f"{name!r} is no encoding of text; there are utf-8, utf-16, cp1252, latin-1, gb18030 and more"
        ) from None


def _spelled(name: str) -> str:
    return "UTF-8" if name == "utf-8" else name
