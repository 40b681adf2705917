"""The connection to Milvus, and the one error of all that can go wrong with it."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from index.errors import GalleryError

SETTING: Final = "LKA_REID_MILVUS_URL"


class MilvusError(GalleryError):
    """Milvus cannot be used or does not answer; the message says what to look at."""


def connect(url: str, timeout_s: float, token: str | None = None) -> Any:
    """A client of pymilvus.

    Raises:
        MilvusError: pymilvus is not installed, or nothing answers there.
    """
    try:
        package = importlib.import_module("pymilvus")
    except ImportError as error:
        raise MilvusError(
            "the package pymilvus is not installed, which a gallery on Milvus needs; install lka-reid[milvus]"
        ) from error
    # It logs every error that it raises, with its trace.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    make: Callable[..., Any] = package.MilvusClient
    with failures():
        return make(url, token=token or "", timeout=timeout_s)


@contextmanager
def failures() -> Iterator[None]:
    """Raise MilvusError for whatever pymilvus and its transport raise."""
    try:
        yield
    except GalleryError:
        raise
    except Exception as error:
        words = _words(error)
        raise MilvusError(
            f"Milvus, which {SETTING} names, did not do what was asked of it: {words[:300]}; see that it "
            "runs, that its address is right, and its log"
        ) from error


def _words(error: Exception) -> str:
    """What went wrong, as far as the error says it."""
    message = getattr(error, "message", "")
    if message:
        return str(message)
    # pymilvus passes errors of gRPC on as they are where it does not try again.
    code, details = getattr(error, "code", None), getattr(error, "details", None)
    if callable(code) and callable(details):
        return f"{details()} ({code().name})"
    return type(error).__name__
