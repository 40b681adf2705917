"""When the shared store's file is written anew: a while after something was deleted, and at the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from index.errors import GalleryError

AFTER_S: Final = 60.0
"""s after something was deleted until it is taken out of the store's file, too."""

log = logging.getLogger(__name__)


class Rewriting:
    """Has the store's file written anew a while after the first of several deletions.

    Where the process is killed before, the next deletion by any replica does, or Redis by itself once the
    file has grown.

    Args:
        rewrite: asks for it, in the background; raises GalleryError where the store does not answer.
        after_s: s that it waits.
    """

    def __init__(self, rewrite: Callable[[], None], after_s: float = AFTER_S) -> None:
        self._rewrite = rewrite
        self._after_s = after_s
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._timer: threading.Timer | None = None
        self._is_due = False
        self._closed = False

    def wanted(self) -> None:
        """Something was deleted. Returns at once."""
        with self._lock:
            if self._is_due or self._closed:
                return
            self._is_due = True
            self._timer = threading.Timer(self._after_s, self._ask)
            self._timer.name = "shared-store-rewriting"
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Ask now for what is waited for, and end the waiting; later deletions are not heard. Idempotent."""
        with self._lock:
            self._closed = True
            timer = self._timer
        if timer is not None:
            timer.cancel()
            timer.join()
            self._ask()

    def _ask(self) -> None:
        with self._asking:
            with self._lock:
                if not self._is_due:
                    return
                # A deletion that comes while the store is asked may come too late for this one.
                self._is_due = False
            try:
                self._rewrite()
            except GalleryError as error:
                log.warning("what was deleted is still in the shared store's file: %s", error)
