"""Snapshots of the vector index, written by a thread whenever one is due."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from index.errors import GalleryClosedError, GalleryFullError
from index.local.mirror import Mirror
from index.local.ondemand import OnDemand
from index.record import GalleryHeader
from index.vectors.snapshot import Manifest, SnapshotFolder
from index.vectors.vectors import Vectors, VectorsUnusableError

log = logging.getLogger(__name__)


class SnapshotWriter:
    """Keeps the snapshot on disk near to the index, so that the next opening need not build it.

    A snapshot is due after `every` changes, or after as many as make a tenth of the gallery if that is more:
    it costs a write of all codes. (That of a flat index holds none: its vectors are read from the database.)
    It stands for the last change before it, and those go on while it is written: it need not hold what is
    enrolled meanwhile, and may still hold what is deleted; whoever opens it goes by the database. One that
    cannot be written is logged, and due again after as many changes.

    Args:
        mirror: the index, and the database that it agrees with.
        folder: where snapshots go.
        header: of the gallery.
        manifest: of the snapshot on disk, None where there is none.
        every: changes.
        due: whether one is due already.
    """

    def __init__(
        self,
        mirror: Mirror,
        folder: SnapshotFolder,
        header: GalleryHeader,
        manifest: Manifest | None,
        *,
        every: int,
        due: bool,
    ) -> None:
        self._mirror = mirror
        self._folder = folder
        self._header = header
        self._manifest = manifest
        self._every = every
        self._counted_from: float = -math.inf if due else 0 if manifest is None else manifest.sequence
        self._writing = threading.Lock()  # taken before the mirror's, never within it
        self._thread = OnDemand("gallery-snapshot", self._write_or_log)

    def write_if_due(self) -> None:
        """Have a snapshot written by the thread if one is due; returns at once."""
        if self._is_due():
            self._thread.ask()

    def wait(self) -> None:
        """Wait until the thread has nothing to do: what was due has been written, or has failed."""
        self._thread.wait()

    def write(self) -> None:
        """Write a snapshot now.

        Raises:
            OSError, GalleryFullError: it cannot be written; the former one stays.
            GalleryClosedError: the gallery is closed, or was meanwhile.
        """
        with self._writing:
            changes = self._mirror.store.changes
            staged = None
            while staged is None:
                # Waits for an index that is being filled anew.
                with self._mirror.settled():
                    sequence, vectors = changes.last(), self._mirror.vectors
                    token, history = changes.token(sequence), changes.history()
                self._counted_from = sequence
                self._mirror.store.space.check(vectors.file_bytes)
                with suppress(VectorsUnusableError):
                    staged = self._folder.stage(self._blocks(vectors))
            self._manifest = self._folder.publish(
                staged,
                sequence=sequence,
                token=token or 0,
                descriptor_dim=self._header.descriptor_dim,
                fingerprint=self._header.fingerprint,
                normalisation=self._mirror.vectors.normalisation.token,
                history=history,
            )
            with self._mirror.settled():
                changes.drop_before(sequence)

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """While it is held no snapshot is written, and the log of changes is not shortened."""
        with self._writing:
            yield

    def outdate(self) -> None:
        """Say that the snapshot on disk is of no use any more, and have another one written."""
        self._manifest = None
        self._counted_from = -math.inf
        self.write_if_due()

    def age_seconds(self) -> float | None:
        """Seconds since the snapshot on disk was written, None where there is none."""
        manifest = self._manifest
        return None if manifest is None else max(0.0, time.time() - manifest.written_at)

    def sequence(self) -> int:
        """The last change that the snapshot on disk holds, 0 where there is none."""
        manifest = self._manifest
        return 0 if manifest is None else manifest.sequence

    def changes_since(self) -> int:
        """Changes that the snapshot on disk does not hold, all where there is none."""
        return (self._mirror.vectors.sequence or 0) - self.sequence()

    def close(self) -> None:
        """End the thread: what is being copied out is abandoned, what is complete is published. Idempotent.

        A snapshot that is not written costs the next opening the time to catch up, and nothing else.
        """
        self._thread.close()
        with self._writing:
            pass

    def _is_due(self) -> bool:
        pending = (self._mirror.vectors.sequence or 0) - self._counted_from
        return pending >= max(self._every, self._mirror.vectors.count // 10)

    def _write_or_log(self) -> None:
        try:
            # A change that came while the last one was written may have asked for one in vain.
            if self._is_due():
                self.write()
        except GalleryClosedError:
            pass
        except GalleryFullError as error:
            self._counted_from = self._mirror.vectors.sequence or 0
            log.warning("the snapshot of the vector index was not written: %s", error)
        except Exception:
            self._counted_from = self._mirror.vectors.sequence or 0
            log.exception("the snapshot of the vector index could not be written")

    def _blocks(self, vectors: Vectors) -> Iterator[bytes | memoryview]:
        for block in vectors.blocks():
            if self._thread.closing:
                raise GalleryClosedError
            yield block
