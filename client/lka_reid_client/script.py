"""Errors of short programs, in one sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lka_reid_client.errors import ClientError


@contextmanager
def exit_on_error() -> Iterator[None]:
    """End the program with status 1 and a sentence, and no traceback, where the service refuses or cannot be
    reached, or a file cannot be read.
    """
    try:
        yield
    except (ClientError, OSError) as error:
        sys.exit(str(error))
