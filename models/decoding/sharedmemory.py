"""Memory that two processes share: one puts an image file there, the other its pixels."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEPT_BYTES = 4 * 1024 * 1024
"""What stays allotted between images: an ordinary file or prepared image."""


class SharedMemory:
    """Memory without a name, from its first byte on.

    Args:
        descriptor: of memory that another process has made; None for new memory.

    Raises:
        OSError: there is none.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = _new() if descriptor is None else descriptor
        self._mapped = mmap.mmap(self.descriptor, KEPT_BYTES)

    def read(self, length: int) -> bytes:
        """The first bytes."""
        parts, start = [], 0
        while start < length and (part := os.pread(self.descriptor, length - start, start)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def write(self, data: bytes | NDArray[Any]) -> None:
        """Put bytes, or an array's, at the beginning.

        Raises:
            OSError: there is not enough memory.
        """
        left = memoryview(data) if isinstance(data, bytes) else np.ascontiguousarray(data).data.cast("B")
        start = 0
        while left:
            written = os.pwrite(self.descriptor, left, start)
            left, start = left[written:], start + written

    def array(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Bytes at the beginning, which change with the memory; it is made large enough."""
        count = math.prod(shape)
        if count > os.fstat(self.descriptor).st_size:
            os.ftruncate(self.descriptor, count)
        if count > len(self._mapped):
            self._mapped = mmap.mmap(self.descriptor, count)
        return np.frombuffer(self._mapped, np.uint8, count).reshape(shape)

    def copy(self, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any] | None:
        """A copy of the array at the beginning; None where the memory is shorter."""
        found = np.empty(shape, dtype=kind)
        left, start = found.data.cast("B"), 0
        while left:
            read = os.preadv(self.descriptor, [left], start)
            if not read:
                return None
            left, start = left[read:], start + read
        return found

    def shrink(self) -> None:
        """Give back what a large image has taken."""
        if os.fstat(self.descriptor).st_size > KEPT_BYTES:
            os.ftruncate(self.descriptor, KEPT_BYTES)

    def close(self) -> None:
        """Let go of the memory."""
        self._mapped.close()
        os.close(self.descriptor)


def _new() -> int:
    if hasattr(os, "memfd_create"):
        # In no file system, so that a read-only one does.
        descriptor = os.memfd_create("image")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, KEPT_BYTES)
    return descriptor
