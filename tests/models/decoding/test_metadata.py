"""Everything around an image may be odd or broken: it is decoded all the same, and turned as it says."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import MAX_TEXT_CHUNK, PngInfo

from models.decoding import ImageError, decode
from models.decoding.orientation import read_orientation
from tests.models.decoding.samples import (
    chunk,
    encoded,
    entry,
    exif,
    far_apart,
    orientation,
    scene,
    with_chunks,
    with_riff_chunk,
    with_segment,
)

BEYOND = 8 + 2 + 2 * 12 + 4
"""Where the values of a block with two entries lie."""
TURNS = (
    None,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)
TURNED = scene().transpose(Image.Transpose.ROTATE_270)

ODD_BLOCKS = {
    "a rational of -1/0": exif(
        [orientation(6), entry(0x011A, 10, 1, struct.pack("<I", BEYOND))], struct.pack("<ii", -1, 0)
    ),
    "a double as copyright": exif(
        [orientation(6), entry(0x8298, 12, 1, struct.pack("<I", BEYOND))], struct.pack("<d", 1.5)
    ),
    "a rational as make": exif(
        [orientation(6), entry(0x010F, 5, 1, struct.pack("<I", BEYOND))], struct.pack("<II", 1, 1)
    ),
    "a float as artist": exif([orientation(6), entry(0x013B, 11, 1, struct.pack("<f", 1.0))]),
    "an unknown type": exif([orientation(6), entry(0x013B, 99, 1, b"")]),
    "four billion values": exif([orientation(6), entry(0x013B, 2, 0xFFFF_FFFF, b"\xff\xff\xff\xff")]),
    "a directory that is its own next": exif([orientation(6), entry(0x8769, 4, 1, struct.pack("<I", 8))]),
    "more entries than there are": exif([orientation(6)])[:8] + b"\xff\xff" + exif([orientation(6)])[10:],
    "orientation as a long": exif([entry(0x0112, 4, 1, struct.pack("<I", 6))]),
    "big-endian order": b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
    "a second prefix": b"Exif\0\0" + exif([orientation(6)]),
}
BROKEN_BLOCKS = {
    "nothing": b"",
    "a header alone": b"II*\0",
    "a directory beyond the end": b"II*\0\xff\xff\xff\xff",
    "an entry cut short": exif([orientation(6)])[:20],
    "noise": bytes(range(256)),
    "an orientation of 9": exif([orientation(9)]),
    "an orientation of 0": exif([orientation(0)]),
    "no values": exif([entry(0x0112, 3, 0, b"\x06\0")]),
    "an orientation in words": exif([entry(0x0112, 2, 4, b"six\0")]),
}


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_an_image_is_turned_upright_by_its_orientation(kind: str, value: int) -> None:
    tags = Image.Exif()
    tags[0x0112] = value
    source = scene()
    # Both formats have properties for it, which Pillow's savers make of EXIF.
    if kind == "HEIF":
        source.info["exif"] = tags.tobytes()
        data = encoded(source, kind)
    else:
        data = encoded(source, kind, exif=tags)
    turn = TURNS[value - 1]
    assert far_apart(decode(data), scene() if turn is None else scene().transpose(turn)) < 6


@pytest.mark.parametrize("block", ODD_BLOCKS.values(), ids=ODD_BLOCKS)
def test_odd_exif_leaves_the_image_and_its_orientation(block: bytes) -> None:
    jpeg = with_segment(encoded(scene(), "JPEG"), 0xE1, b"Exif\0\0" + block)
    png = with_chunks(encoded(scene(), "PNG"), chunk(b"eXIf", block))
    webp = with_riff_chunk(encoded(scene(), "WEBP", exif=b"Exif\0\0"), b"EXIF", block)
    for data in (jpeg, png, webp):
        assert far_apart(decode(data), TURNED) < 6


@pytest.mark.parametrize("block", BROKEN_BLOCKS.values(), ids=BROKEN_BLOCKS)
def test_broken_exif_means_no_orientation(block: bytes) -> None:
    assert read_orientation(block) == 1
    jpeg = with_segment(encoded(scene(), "JPEG"), 0xE1, b"Exif\0\0" + block)
    png = with_chunks(encoded(scene(), "PNG"), chunk(b"eXIf", block))
    webp = with_riff_chunk(encoded(scene(), "WEBP", exif=b"Exif\0\0"), b"EXIF", block)
    for data in (jpeg, png, webp):
        assert far_apart(decode(data), scene()) < 6


def test_exif_goes_on_in_further_segments_of_a_jpeg() -> None:
    block = exif([entry(0x010F, 2, 4, b"abc\0")] * 8 + [orientation(6)])
    jpeg = encoded(scene(), "JPEG")
    for part in (block[40:], block[:40]):
        jpeg = with_segment(jpeg, 0xE1, b"Exif\0\0" + part)
    assert far_apart(decode(jpeg), TURNED) < 6


def test_orientation_comes_from_xmp_where_exif_has_none() -> None:
    xmp = b'<rdf tiff:Orientation="6"/>'
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    assert far_apart(decode(encoded(scene(), "JPEG", xmp=xmp)), TURNED) < 6
    assert far_apart(decode(encoded(scene(), "WEBP", xmp=xmp)), TURNED) < 6
    assert far_apart(decode(encoded(scene(), "PNG", pnginfo=info)), TURNED) < 6
    assert read_orientation(exif([orientation(3)]), xmp) == 3


@pytest.mark.parametrize(
    "written",
    [
        b"<rdf tiff:Orientation='6'/>",
        b'<rdf tiff:Orientation = "6"/>',
        b"<tiff:Orientation>\n 6</tiff:Orientation>",
    ],
)
def test_orientation_is_read_from_xmp_however_xml_writes_it(written: bytes) -> None:
    assert read_orientation(b"", written) == 6


def test_orientation_comes_from_a_profile_in_text_as_imagemagick_writes_it() -> None:
    block = exif([orientation(6)])
    text = f"\nexif\n{len(block):8}\n{block.hex()}\n"
    for compressed in (False, True):
        info = PngInfo()
        info.add_text("Raw profile type exif", text, zip=compressed)
        assert far_apart(decode(encoded(scene(), "PNG", pnginfo=info)), TURNED) < 6


BOMB = zlib.compress(bytes(100_000_000), 9)
ODD_CHUNKS = {
    "a text beyond Pillow's bound": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2 * MAX_TEXT_CHUNK))),
    "XMP beyond Pillow's bound": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * 70_000_000),
    "a compressed XMP bomb": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB),
    "an EXIF bomb in text": chunk(b"zTXt", b"Raw profile type exif\0\0" + BOMB),
    "a colour profile that inflates to nothing": chunk(b"iCCP", b"sRGB\0\0" + b"\xff" * 20),
    "a colour profile bomb": chunk(b"iCCP", b"sRGB\0\0" + BOMB),
    "a colour profile without a name": chunk(b"iCCP", b""),
    "gamma of one byte": chunk(b"gAMA", b"\1"),
    "no gamma at all": chunk(b"gAMA", b""),
    "chromaticities of one byte": chunk(b"cHRM", b"\1"),
    "a density of two bytes": chunk(b"pHYs", b"\1\2"),
    "transparency of one byte": chunk(b"tRNS", b"\1"),
    "transparency of no byte": chunk(b"tRNS", b""),
    "an animation without numbers": chunk(b"acTL", b""),
    "a frame without numbers": chunk(b"fcTL", b"\0"),
    "a text without end": chunk(b"tEXt", b"Comment"),
    "a wrong checksum": chunk(b"gAMA", b"\0\0\xb1\x8f")[:-1] + b"\0",
    "a wrong checksum of transparency": chunk(b"tRNS", b"\0\x28\0\x3c\0\x78")[:-1] + b"\0",
    "an unknown chunk": chunk(b"quXx", b"?"),
    "ten thousand chunks": chunk(b"tEXt", b"a\0b") * 10_000,
}


@pytest.mark.parametrize("odd", ODD_CHUNKS.values(), ids=ODD_CHUNKS)
def test_odd_chunks_leave_a_png_as_it_is(odd: bytes) -> None:
    whole = encoded(scene())
    before, after = with_chunks(whole, odd), whole[:-12] + odd + whole[-12:]
    for data in (before, after):
        assert np.array_equal(np.asarray(decode(data)), np.asarray(scene()))


def test_transparency_for_more_colours_than_a_palette_has_is_none() -> None:
    image = scene().quantize(8)
    whole = encoded(image)
    at = whole.index(b"IDAT") - 4
    for length in (0, 9, 256, 300):
        data = whole[:at] + chunk(b"tRNS", bytes(length)) + whole[at:]
        assert np.array_equal(np.asarray(decode(data)), np.asarray(image.convert("RGB"))), length


def test_a_png_without_its_palette_is_refused() -> None:
    whole = encoded(scene().quantize(8))
    start, end = whole.index(b"PLTE") - 4, whole.index(b"IDAT") - 4
    with pytest.raises(ImageError, match="its palette is missing"):
        decode(whole[:start] + whole[end:])


ODD_SEGMENTS = {
    "a short JFIF": (0xE0, b"JFIF\0"),
    "a JFIF of one byte": (0xE0, b"JFIF\0\1"),
    "a short Adobe": (0xEE, b"Adobe"),
    "an Adobe of six bytes": (0xEE, b"Adobe\0"),
    "a colour profile without a number": (0xE2, b"ICC_PROFILE\0"),
    "a second image that is not there": (0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff"),
    "a second image without numbers": (0xE2, b"MPF\0"),
    "a Photoshop resource": (0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0"),
    "FlashPix": (0xE2, b"FPXR\0"),
    "XMP without end": (0xE1, b"http://ns.adobe.com/xap/1.0/\0<"),
    "a comment": (0xFE, b"\xff\xda\xff\xd9"),
}


@pytest.mark.parametrize(("marker", "body"), ODD_SEGMENTS.values(), ids=ODD_SEGMENTS)
def test_odd_segments_leave_a_jpeg_as_it_is(marker: int, body: bytes) -> None:
    plain = encoded(scene(), "JPEG")
    assert np.array_equal(np.asarray(decode(with_segment(plain, marker, body))), np.asarray(decode(plain)))


def test_bytes_after_a_jpeg_are_no_part_of_it() -> None:
    plain = encoded(scene(), "JPEG")
    video = b"\xff\xda\0\x08" * 10_000
    assert np.array_equal(np.asarray(decode(plain + video)), np.asarray(decode(plain)))


def test_padding_between_segments_leaves_a_jpeg_as_it_is() -> None:
    plain = encoded(scene(), "JPEG")
    padded = plain[:2] + b"\xff" * 1_000_000 + plain[2:]
    assert np.array_equal(np.asarray(decode(padded)), np.asarray(decode(plain)))


@pytest.mark.parametrize("name", [b"EXIF", b"XMP ", b"ICCP", b"abcd"])
def test_odd_chunks_leave_a_webp_as_it_is(name: bytes) -> None:
    plain = encoded(scene(), "WEBP", lossless=True, exif=b"Exif\0\0")
    odd = with_riff_chunk(plain, name, b"\xff" * 33)
    cut = odd[:-20]
    for data in (odd, cut):
        assert np.array_equal(np.asarray(decode(data)), np.asarray(scene()))


@pytest.mark.parametrize("block", [*ODD_BLOCKS.values(), *BROKEN_BLOCKS.values()])
def test_odd_tags_leave_a_tiff_as_it_is(block: bytes) -> None:
    plain = encoded(scene(), "TIFF")
    # Behind the file, a directory of its own, which the first one names as that of EXIF.
    count = struct.unpack_from("<H", plain, start := struct.unpack_from("<I", plain, 4)[0])[0]
    entries = plain[start + 2 : start + 2 + 12 * count]
    extra = [entry(34665, 4, 1, struct.pack("<I", len(plain) + 500)), entry(282, 5, 1, b"\xff\xff\xff\xff")]
    directory = struct.pack("<H", count + 2) + entries + b"".join(extra) + b"\0" * 4
    data = plain[:4] + struct.pack("<I", len(plain)) + plain[8:] + directory.ljust(500, b"\0") + block
    assert np.array_equal(np.asarray(decode(data)), np.asarray(scene()))


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_broken_exif_leaves_an_image_in_boxes_turned_as_they_say(kind: str) -> None:
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = 6, "a maker"
    source = scene()
    if kind == "HEIF":
        source.info["exif"] = tags.tobytes()
        data = encoded(source, kind)
    else:
        data = encoded(source, kind, exif=tags)
    at = data.rindex(b"Exif\0\0")
    broken = data[:at] + b"\xff" * 20 + data[at + 20 :]
    assert far_apart(decode(broken), TURNED) < 6
