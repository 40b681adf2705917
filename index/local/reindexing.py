"""Another kind of index when the gallery has grown out of its own, made in the background."""

from __future__ import annotations

import logging
import time
from typing import Final

from index.cameras.normalisation import Normalisation
from index.errors import GalleryClosedError, GalleryError
from index.local.mirror import Mirror
from index.local.ondemand import OnDemand
from index.local.successor import Successor
from index.states import IndexState
from index.vectors.kind import Kind
from index.vectors.vectors import Vectors

WASTED: Final = 0.3
"""Share of the codes whose images are gone from which on the index is made anew."""
RETRY: Final = 1.1
"""Times as many images as when it failed are waited for before it is tried again."""

log = logging.getLogger(__name__)


class Reindexing:
    """Makes an index of the kind that is wanted, in a thread, when another one is in use."""

    def __init__(self, mirror: Mirror, successor: Successor) -> None:
        self._mirror = mirror
        self._successor = successor
        self._thread = OnDemand("gallery-index", self._switch_if_due)
        self._least = 0.0
        self._seconds: float | None = None
        self._building = False

    @property
    def state(self) -> IndexState:
        """As it is now."""
        vectors, device = self._mirror.vectors, self._successor.builder.device
        return IndexState(
            vectors.kind,
            self._building,
            self._seconds,
            vectors.memory_bytes,
            vectors.recent,
            vectors.left_out,
            device.name,
            device.left_out,
        )

    def look(self) -> None:
        """Have the thread make another index where one is due; returns at once."""
        if self._is_due():
            self._thread.ask()

    def wait(self) -> None:
        """Wait until the thread has nothing to do."""
        self._thread.wait()

    def close(self) -> None:
        """End the thread; an index that is not made yet is given up. Idempotent."""
        self._thread.close()

    def _is_due(self) -> bool:
        vectors = self._mirror.vectors
        if vectors.count < self._least:
            return False
        outgrown = vectors.wasted > WASTED or vectors.outgrown
        return outgrown or self._kind(vectors) != vectors.kind

    def _kind(self, vectors: Vectors) -> Kind:
        return self._successor.builder.setup.choose(vectors.count, vectors.kind)

    def _switch_if_due(self) -> None:
        if self._is_due():
            self._switch_or_log()

    def _switch_or_log(self) -> None:
        started, count = time.monotonic(), self._mirror.vectors.count
        self._building = True
        try:
            vectors = self._successor.switch(self._wanted_of, on_piece=self._stop_when_closing)
        except GalleryClosedError:
            return
        except GalleryError as error:  # no room, or damage
            self._least = RETRY * count
            log.error("the vector index stays as it is: %s", error)
        except Exception:
            self._least = RETRY * count
            log.exception("the vector index stays as it is: no other one could be made")
        else:
            self._least = 0.0
            self._seconds = time.monotonic() - started
            log.info(
                "the vector index is of kind %s now: %d vectors, %.0f MB, made in %.1f s",
                vectors.kind,
                vectors.count,
                vectors.memory_bytes / 1e6,
                self._seconds,
            )
        finally:
            self._building = False

    def _wanted_of(self, current: Vectors) -> tuple[Kind, Normalisation]:
        return self._kind(current), current.normalisation

    def _stop_when_closing(self) -> None:
        if self._thread.closing:
            raise GalleryClosedError
