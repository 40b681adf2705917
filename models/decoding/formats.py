"""Which format a file is in, by its first bytes: one that is decoded, or one that a refusal can name."""

from __future__ import annotations

from dataclasses import dataclass

from models.decoding.errors import ImageError
from models.wording import counted


@dataclass(frozen=True)
class Format:
    """A format that is decoded.

    Attributes:
        name: as people write it.
        media_type: of RFC 2046.
    """

    name: str
    media_type: str


JPEG = Format("JPEG", "image/jpeg")
PNG = Format("PNG", "image/png")
WEBP = Format("WebP", "image/webp")
BMP = Format("BMP", "image/bmp")
GIF = Format("GIF", "image/gif")
TIFF = Format("TIFF", "image/tiff")
HEIC = Format("HEIC", "image/heic")
AVIF = Format("AVIF", "image/avif")

FORMATS = (JPEG, PNG, WEBP, BMP, GIF, TIFF, HEIC, AVIF)
MEDIA_TYPES = frozenset(each.media_type for each in FORMATS)
ACCEPTED = f"{', '.join(each.name for each in FORMATS[:-1])} or {FORMATS[-1].name}"

_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"BM", BMP),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),
    (b"MM\0+", TIFF),
)
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\x01\0", "icon"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"v/1\x01", "OpenEXR"),
    (b"%!PS", "PostScript"),
    (b"%PDF", "PDF"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML"),
    (b"<!DOCTYPE", "HTML"),
    (b"<html", "HTML"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"IIU\0", "camera raw"),
    (b"IIRO", "camera raw"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"icns", "icon"),
    (b"\x01\xda", "SGI"),
    (b"\x0a\x05\x01", "PCX"),
    (b"gimp xcf", "GIMP"),
    (b"SIMPLE  =", "FITS"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"BPG\xfb", "BPG"),
    (b"FLIF", "FLIF"),
    (b"data:image/", "base64 text"),
    (b"/9j/", "base64 text"),
    (b"iVBORw0KGgo", "base64 text"),
    (b"\x1aE\xdf\xa3", "video"),
    (b"PK\x03\x04", "ZIP"),
    (b"\x1f\x8b", "gzip"),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), AVIF),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), HEIC),
}
"""Of the ISO base media file format: what codes the image, where the file says that it is one."""


def identify(data: bytes) -> Format:
    """The format of an image file.

    Raises:
        ImageError: none that is decoded; it names the format where it is known.
    """
    for start, kind in _SIGNATURES:
        if data.startswith(start):
            return kind
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WEBP
    if data[4:8] == b"ftyp" and (coded := _by_brand(data)) is not None:
        return coded
    which = "this" if len(data) == 1 else "these"
    raise ImageError(f"{which} {counted(len(data), 'byte is', 'bytes are')} {_named(data)}; send {ACCEPTED}")


def media_type(data: bytes) -> str:
    """The media type of an image file; that of any bytes for one that is not decoded."""
    try:
        return identify(data).media_type
    except ImageError:
        return "application/octet-stream"


def _by_brand(data: bytes) -> Format | None:
    """The format by the brands of the file's first box: the major one, then those it is compatible with."""
    end = min(int.from_bytes(data[:4], "big"), len(data), 256)
    brands = [data[8:12], *(data[start : start + 4] for start in range(16, end, 4))]
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)


def _named(data: bytes) -> str:
    head = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    for start, name in _OTHERS:
        if data.startswith(start) or head.lower().startswith(start.lower()):
            return f"a file of the format {name}, which is not decoded here"
    if data[4:8] == b"ftyp":
        kind = "camera raw" if data[8:11] == b"crx" else "video"
        return (
            f"a file of the format {kind} ({data[8:12].decode('latin-1').strip()}), which is not decoded here"
        )
    if data.startswith(b"RIFF"):
        return f"a RIFF file ({data[8:12].decode('latin-1').strip()}), which is not decoded here"
    if data[:1] == b"P" and data[1:2] in b"1234567" and data[2:3] in b"\r\n\t #":
        return "a file of the format PNM, which is not decoded here"
    return "no image that is known here"
