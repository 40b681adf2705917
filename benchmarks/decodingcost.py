"""What the largest images that are accepted cost a decoding process, and files that are made to cost more.

python -m benchmarks.decodingcost     # on Linux

Each is prepared by a pool of one process; it prints the processor's seconds that the process took, or why the
file is refused.
"""

from __future__ import annotations

import io
import os
import platform
import struct
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pillow_heif import register_heif_opener
from rich.console import Console

from models.decoding import ImageError
from models.decoding.bounds import MAX_PIXELS
from models.decoding.pool import DecodePool
from models.inputspec import InputSpec

SIDE = int(MAX_PIXELS**0.5)
SPEC = InputSpec(height=256, width=256)
DEADLINE_S = 120.0
LOOK_S = 0.05


def smooth(channels: int = 3) -> Image.Image:
    """Noise that was enlarged: about as hard to compress as a photograph."""
    small = np.random.default_rng(0).integers(0, 256, (SIDE // 16, SIDE // 16, channels), dtype=np.uint8)
    return Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def saved(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    """An image file of the largest size."""
    stream = io.BytesIO()
    (image or smooth()).save(stream, kind, **options)
    return stream.getvalue()


def deep_png(colour: int, channels: int, *chunks: bytes) -> bytes:
    """A PNG of 16 bits a sample of which few are used."""
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, colour, 0, 0, 0)
    packer = zlib.compressobj(1)
    row = b"\0" + b"\0\x7f" * (SIDE * channels)
    rows = b"".join([*(packer.compress(row) for _ in range(SIDE)), packer.flush()])
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def repeated_avif(times: int) -> bytes:
    """An AVIF that has its frame so many times."""
    data = saved("AVIF", Image.new("RGB", (SIDE, SIDE)), quality=40, speed=10)
    start = data.index(b"mdat") + 4
    frame = data[data.index(b"\x32", start) :]
    body = data[start:] + frame * times
    length = struct.pack(">I", len(data) - start)
    head = data[: start - 8].replace(length, struct.pack(">I", len(body)))
    return head + struct.pack(">I", len(body) + 8) + b"mdat" + body


def empty_segments() -> bytes:
    """A JPEG with 10 MB of segments that hold nothing."""
    data = saved("JPEG", Image.new("RGB", (64, 64)))
    return data[:2] + b"\xff\xfe\0\2" * 2_500_000 + data[2:]


FILES: Mapping[str, Callable[[], bytes]] = {
    "JPEG": lambda: saved("JPEG", quality=60),
    "JPEG, progressive": lambda: saved("JPEG", quality=60, progressive=True),
    "PNG, 8 bits, alpha": lambda: saved(
        "PNG", Image.new("RGBA", (SIDE, SIDE), (9, 9, 9, 99)), compress_level=1
    ),
    "PNG, 16 bits, transparent colour": lambda: deep_png(2, 3, chunk(b"tRNS", bytes(6))),
    "PNG, 16 bits, alpha": lambda: deep_png(6, 4),
    "WebP": lambda: saved("WEBP", method=0),
    "WebP, lossless": lambda: saved("WEBP", Image.new("RGB", (SIDE, SIDE)), lossless=True, method=0),
    "GIF": lambda: saved("GIF", Image.linear_gradient("L").resize((SIDE, SIDE))),
    "TIFF, deflate": lambda: saved(
        "TIFF", Image.linear_gradient("L").resize((SIDE, SIDE)), compression="tiff_adobe_deflate"
    ),
    "TIFF, LZW": lambda: saved("TIFF", Image.new("RGB", (SIDE, SIDE)), compression="tiff_lzw"),
    "HEIC": lambda: saved("HEIF", quality=50),
    "AVIF": lambda: saved("AVIF", quality=50, speed=10),
    "AVIF, its frame 2,000 times": lambda: repeated_avif(2_000),
    "JPEG, 2.5 million empty segments": empty_segments,
}


def spent(process: int) -> float | None:
    """Seconds of a processor that a process has taken so far; None once it has ended."""
    try:
        words = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def cost(pool: DecodePool, data: bytes) -> tuple[float, str]:
    """The processor's seconds that one file took, and what came of it."""
    (process,) = pool.pids
    before = after = spent(process) or 0.0
    future = pool.prepare([data], SPEC, time.monotonic() + DEADLINE_S)
    while not wait([future], LOOK_S).done:
        after = spent(process) or after
    after = spent(process) or after
    found = future.result()[0]
    return after - before, str(found) if isinstance(found, ImageError) else "decoded"


def main() -> None:
    """Measure and print."""
    register_heif_opener()
    console = Console(width=140)
    for name, make in FILES.items():
        data = make()
        pool = DecodePool(1)
        try:
            pool.start()
            pool.wait_until_ready()
            seconds, what = cost(pool, data)
        finally:
            pool.close()
        console.print(f"{name:34} {len(data) / 1e6:6.1f} MB {seconds:5.2f} s  {what}", highlight=False)
    console.print(f"{SIDE} x {SIDE} px; {platform.platform()}, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
