"""Which failures of an embedder end its process, and how it ends."""

from __future__ import annotations

import re

LOST = 70
"""Exit status of a process whose embedder is lost: start it again (EX_SOFTWARE of sysexits.h)."""
STALL_S = 60.0
"""s that a batch may take; an embedder that is still at it then has lost its device."""

# After any of these a process cannot use its GPU any more: whatever it tries next fails as well.
_FATAL = re.compile(
    r"CUDA (error|failure)|cudaError|CUDNN_STATUS_(EXECUTION|INTERNAL|MAPPING)|"
    r"CUBLAS_STATUS_(EXECUTION|INTERNAL|MAPPING|NOT_INITIALIZED)|device-side assert|illegal memory access",
    re.IGNORECASE,
)
# Memory can be free again.
_PASSING = re.compile(r"out of memory|failed to allocate|ALLOC_FAILED", re.IGNORECASE)


class EmbedderLostError(Exception):
    """The embedder of this process will not work again; the process has to be started anew."""


def is_fatal(error: BaseException) -> bool:
    """Whether an embedder's error, or what it was raised from, means that its device is lost."""
    cause: BaseException | None = error
    while cause is not None:
        words = str(cause)
        if _FATAL.search(words) and not _PASSING.search(words):
            return True
        cause = cause.__cause__
    return False
