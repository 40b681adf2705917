"""The verdicts of a gallery on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from index.database import verdicts
from index.database.verdicts import SELECT_VERDICT, read_verdict, stored_digest
from index.errors import GalleryDamagedError, UnknownImageError, UnknownVerdictError
from index.local.mirror import Mirror
from index.validation import check_limit, storable
from index.verdicts import Decision, Verdict, VerdictPage, digest_of, size_of


class LocalVerdicts:
    """The verdicts of a gallery on this machine; see `index.gallery.GalleryVerdicts`.

    Args:
        mirror: the database and the index.
        forgotten: called after something was forgotten, so that it is erased from every file.
    """

    def __init__(self, mirror: Mirror, forgotten: Callable[[], None]) -> None:
        self._mirror = mirror
        self._forgotten = forgotten

    def decide(self, decision: Decision) -> Verdict:
        """Keep a verdict.

        Raises UnknownImageError, TooManyVerdictsError, QuotaReachedError and GalleryFullError.
        """
        if not storable(decision.image_id):
            raise UnknownImageError(decision.image_id)
        with self._mirror.settled(), self._mirror.store.adding(size_of(decision)) as writer:
            return verdicts.decide(writer, decision)

    def undo(self, probe: str, image_id: str) -> None:
        """Forget a verdict. Raises UnknownVerdictError."""
        with self._mirror.settled(), self._mirror.store.freeing() as writer:
            if not storable(image_id) or not verdicts.undo(writer, probe, image_id):
                raise UnknownVerdictError(probe, image_id)
        self._forgotten()

    def of(self, probe: str) -> tuple[Verdict, ...]:
        """The verdicts on a probe, none for one that is not known."""
        return tuple(
            map(
                read_verdict,
                self._rows(f"{SELECT_VERDICT} WHERE digest = ? ORDER BY verdict.id", stored_digest(probe)),
            )
        )

    def page(self, after: int | None = None, limit: int = 100) -> VerdictPage:
        """Up to `limit` verdicts, from the start or after a page's `next`."""
        check_limit(limit)
        rows = self._rows(
            f"{SELECT_VERDICT} WHERE verdict.id > ? ORDER BY verdict.id LIMIT ?", after or 0, limit + 1
        )
        shown = rows[:limit]
        return VerdictPage(tuple(map(read_verdict, shown)), shown[-1][0] if len(rows) > limit else None)

    def probe(self, probe: str) -> tuple[bytes, str]:
        """A probe's file and its media type. Raises UnknownVerdictError and GalleryDamagedError."""
        rows = self._rows("SELECT data, media_type FROM probe WHERE digest = ?", stored_digest(probe))
        if not rows:
            raise UnknownVerdictError(probe, None)
        data, media_type = rows[0]
        store = self._mirror.store
        with store.failures_named():
            if digest_of(data) != probe:
                raise GalleryDamagedError(store.database, f"the file of probe {probe} is not as it was kept")
        return data, media_type

    def _rows(self, query: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        with self._mirror.store.reading() as connection:
            return connection.execute(query, values).fetchall()
