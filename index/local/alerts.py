"""The alerts of a gallery on this machine, and what became of their deliveries."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from index.database.moment import SELECT_IDS
from index.database.rows import read_record, to_datetime, to_microseconds
from index.database.watches import SELECT_ALERT, read_alert
from index.errors import DamagedImageError, UnknownAlertError
from index.local.mirror import Mirror
from index.record import GalleryHeader, Record
from index.validation import check_limit
from index.watches import OF_ONE_WATCH, Alert, AlertPage, DeliveryState

DUE = (
    "alert.id IN (SELECT id FROM (SELECT id, due_at, row_number() OVER (PARTITION BY watch_id "
    "ORDER BY due_at, id) AS place FROM alert WHERE delivery = 'waiting' AND due_at <= ?1) "
    "WHERE place <= ?2 ORDER BY due_at, id LIMIT ?3) ORDER BY due_at, alert.id"
)

log = logging.getLogger(__name__)


class LocalAlerts:
    """The alerts of a gallery on this machine; see `index.gallery.GalleryAlerts`.

    Args:
        mirror: the database and the index.
        header: of the gallery.
    """

    others_every_s = None

    def __init__(self, mirror: Mirror, header: GalleryHeader) -> None:
        self._mirror = mirror
        self._header = header

    def page(
        self,
        before: int | None = None,
        limit: int = 100,
        *,
        since: datetime | None = None,
        watch_id: int | None = None,
        delivery: DeliveryState | None = None,
    ) -> AlertPage:
        """Up to `limit` alerts, the newest first; see `GalleryAlerts.page`."""
        check_limit(limit)
        rows, found = self._read(
            "(?1 IS NULL OR alert.id < ?1) AND (?2 IS NULL OR raised_at >= ?2) AND (?3 IS NULL OR "
            "watch_id = ?3) AND (?4 IS NULL OR delivery = ?4) ORDER BY alert.id DESC LIMIT ?5",
            *(before, None if since is None else to_microseconds(since), watch_id, delivery, limit + 1),
        )
        if len(rows) <= limit:
            return AlertPage(tuple(found), None)
        last = rows[limit - 1][0]
        return AlertPage(tuple(alert for alert in found if alert.id >= last), last)

    def after(self, alert_id: int, limit: int) -> list[Alert]:
        """Up to `limit` alerts that were raised after this one, in order."""
        return self._read("alert.id > ? ORDER BY alert.id LIMIT ?", alert_id, limit)[1]

    def last(self) -> int:
        """The greatest id that an alert was given; 0 before the first."""
        query = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'alert'"
        with self._mirror.store.reading() as connection:
            return int(connection.execute(query).fetchone()[0])

    def due(self, now: datetime, limit: int) -> list[Alert]:
        """Alerts whose delivery is due, the longest waiting first; of one watch not all at a time."""
        return self._read(DUE, to_microseconds(now), OF_ONE_WATCH, limit)[1]

    def next_due(self) -> datetime | None:
        """When the next delivery is due; None where none waits."""
        with self._mirror.store.reading() as connection:
            query = "SELECT min(due_at) FROM alert WHERE delivery = 'waiting'"
            [found] = connection.execute(query).fetchone()
        return None if found is None else to_datetime(found)

    def take(self, alert_id: int) -> int | None:
        """How many deliveries were tried, where one is due; there is no other process that could take it."""
        now = to_microseconds(datetime.now(UTC))
        with self._mirror.store.reading() as connection:
            query = "SELECT attempts FROM alert WHERE id = ? AND delivery = 'waiting' AND due_at <= ?"
            found = connection.execute(query, (alert_id, now)).fetchone()
        return None if found is None else int(found[0])

    def delivered(self, alert_id: int) -> None:
        """A delivery was accepted; of an alert that is gone nothing is noted."""
        self._note(
            "UPDATE alert SET delivery = 'delivered', attempts = attempts + 1, due_at = NULL, problem = NULL "
            "WHERE id = ? AND delivery = 'waiting'",
            alert_id,
        )

    def failed(self, alert_id: int, problem: str, again_at: datetime | None) -> None:
        """A delivery failed; it is tried again at a moment, or is a dead letter with None."""
        self._note(
            "UPDATE alert SET delivery = iif(?1 IS NULL, 'dead', 'waiting'), attempts = attempts + 1, "
            "due_at = ?1, problem = ?2 WHERE id = ?3 AND delivery = 'waiting'",
            *(None if again_at is None else to_microseconds(again_at), problem, alert_id),
        )

    def retry(self, alert_id: int) -> Alert:
        """Have a dead letter delivered again, from now on. Raises UnknownAlertError."""
        now = to_microseconds(datetime.now(UTC))
        self._change_dead("delivery = 'waiting', attempts = 0, due_at = ?1", now, alert_id)
        found = self._read("alert.id = ?", alert_id)[1]
        if not found:
            raise UnknownAlertError(alert_id)
        return found[0]

    def drop(self, alert_id: int) -> None:
        """Give a dead letter up for good; its alert stays. Raises UnknownAlertError."""
        self._change_dead("delivery = 'dropped', due_at = ?1", None, alert_id)

    def _change_dead(self, change: str, due_at: int | None, alert_id: int) -> None:
        statement = f"UPDATE alert SET {change} WHERE id = ?2 AND delivery = 'dead'"  # noqa: S608 - of ours
        if not self._note(statement, due_at, alert_id):
            raise UnknownAlertError(alert_id)

    def _note(self, statement: str, *values: Any) -> int:
        with self._mirror.settled(), self._mirror.store.noting() as writer:
            return writer.execute(statement, values).rowcount

    def _read(self, condition: str, *values: Any) -> tuple[list[tuple[Any, ...]], list[Alert]]:
        """Rows, and the alerts of those whose record is sound; both as of one moment."""
        with self._mirror.store.reading_at_once() as connection:
            rows = connection.execute(f"{SELECT_ALERT} WHERE {condition}", values).fetchall()
            ids = str(sorted({row[3] for row in rows}))
            records = dict(map(self._record, connection.execute(SELECT_IDS, (ids,))))
        sound = [(row, record) for row in rows if (record := records.get(row[3])) is not None]
        return rows, [read_alert(row, record) for row, record in sound]

    def _record(self, row: tuple[Any, ...]) -> tuple[int, Record | None]:
        try:
            return row[0], read_record(row, self._header.fingerprint)
        except DamagedImageError as error:
            log.warning("the alerts of record %d are left out: %s", row[0], error)
            return row[0], None
