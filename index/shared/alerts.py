"""The alerts of a collection in the shared store, and whose delivery some replica tries now.

An alert names its image by the number of its enrollment alone; what is known of the image is asked of the
gallery, so that nothing of one that was deleted is shown, whatever is left here. Moments are the store's own,
so that no two replicas have to agree on theirs.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from index import watches
from index.database.rows import to_datetime, to_microseconds
from index.errors import UnknownAlertError
from index.milvus.companions import Enrolled
from index.record import Record
from index.shared import alertscripts
from index.shared.watchscripts import WatchScripts
from index.validation import check_limit
from index.watches import OF_ONE_WATCH, Alert, AlertPage, DeliveryState, Raised

TAKEN_S: Final = 60.0
"""s that a replica has a delivery for itself: longer than it may take with its noting."""
PIECE: Final = 500
"""Alerts that one script raises or forgets."""
LOOKED_AT_EVERY_S: Final = 1.0
"""s after which whoever listens looks for alerts that another replica raised."""


class SharedAlerts:
    """See `index.gallery_watches.GalleryAlerts`.

    Args:
        scripts: of the collection's watches.
        enrolled: the images of the gallery.
    """

    others_every_s = LOOKED_AT_EVERY_S

    def __init__(self, scripts: WatchScripts, enrolled: Enrolled) -> None:
        self._scripts = scripts
        self._enrolled = enrolled
        self._replica = secrets.token_hex(8)

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
        moment = None if since is None else to_microseconds(since)
        given = ("" if value is None else value for value in (before, moment, watch_id, delivery))
        rows = self._scripts.run(alertscripts.PAGE, *given, limit + 1)
        shown = rows[:limit]
        return AlertPage(tuple(self._alerts(shown)), int(shown[-1][0]) if len(rows) > limit else None)

    def after(self, alert_id: int, limit: int) -> list[Alert]:
        """Up to `limit` alerts that were raised after this one, in order."""
        while True:
            rows = self._scripts.run(alertscripts.AFTER, alert_id, limit)
            found = self._alerts([row for row in rows if len(row) > 1])
            # Those of images that are just being deleted must not hide what comes after them.
            if found or len(rows) < limit:
                return found
            alert_id = int(rows[-1][0])

    def last(self) -> int:
        """The greatest id that an alert was given; 0 before the first."""
        with self._scripts.store.client() as client:
            found = client.get(self._scripts.key("last-alert"))
        with self._scripts.store.understood("the last alert's id"):
            return int(found or 0)

    def due(self, now: datetime, limit: int) -> list[Alert]:  # noqa: ARG002 - by the store's clock
        """Alerts whose delivery is due and which no replica has taken, the longest waiting first."""
        return self._alerts(self._scripts.run(alertscripts.DUE, OF_ONE_WATCH, limit))

    def next_due(self) -> datetime | None:
        """When the next delivery is due, or one that a replica has taken may be taken again."""
        soonest = self.waiting()[0]
        return None if soonest is None else to_datetime(soonest)

    def take(self, alert_id: int) -> int | None:
        """Have a delivery for this replica alone for a while; see `GalleryAlerts.take`."""
        tried: int | None = self._scripts.run(alertscripts.TAKE, alert_id, self._replica, int(TAKEN_S * 1e6))
        return tried

    def delivered(self, alert_id: int) -> None:
        """A delivery was accepted; of an alert that is gone nothing is noted."""
        self._scripts.run(alertscripts.NOTE, alert_id, self._replica, "delivered", "-", "")

    def failed(self, alert_id: int, problem: str, again_at: datetime | None) -> None:
        """A delivery failed; it is tried again at a moment, or is a dead letter with None."""
        state = "dead" if again_at is None else "waiting"
        due = "-" if again_at is None else to_microseconds(again_at)
        self._scripts.run(alertscripts.NOTE, alert_id, self._replica, state, due, problem)

    def retry(self, alert_id: int) -> Alert:
        """Have a dead letter delivered again, from now on. Raises UnknownAlertError."""
        self._change_dead(alert_id, "waiting")
        for alert in self.after(alert_id - 1, 1):
            if alert.id == alert_id:
                return alert
        raise UnknownAlertError(alert_id)

    def drop(self, alert_id: int) -> None:
        """Give a dead letter up for good; its alert stays. Raises UnknownAlertError."""
        self._change_dead(alert_id, "dropped")

    def raise_all(self, alerts: Sequence[Raised]) -> list[int]:
        """Keep alerts; ids of those that are new."""
        made: list[int] = []
        for first in range(0, len(alerts), PIECE):
            piece = alerts[first : first + PIECE]
            values = [
                value
                for one in piece
                for value in (one.watch_id, one.record_id, repr(one.similarity), repr(one.threshold))
            ]
            made += map(int, self._scripts.run(alertscripts.RAISE, watches.MOST_ALERTS, *values))
        return made

    def waiting(self) -> tuple[int | None, int, int]:
        """us when the next may be delivered, how many wait, and how many are dead letters."""
        soonest, waiting, dead = self._scripts.run(alertscripts.WAITING)
        with self._scripts.store.understood("what waits for its delivery"):
            return int(soonest) if soonest else None, int(waiting), int(dead)

    def forget_watch(self, watch_id: int) -> None:
        """Forget the alerts of a watch."""
        self._forget("watch", watch_id)

    def forget_records(self, numbers: Sequence[int]) -> int:
        """Forget the alerts of images; how many there were."""
        return sum(self._forget(*numbers[first : first + PIECE]) for first in range(0, len(numbers), PIECE))

    def _forget(self, *which: str | int) -> int:
        gone = 0
        while True:
            count = int(self._scripts.run(alertscripts.FORGET, PIECE, *which))
            gone += count
            if count < PIECE:
                return gone

    def _change_dead(self, alert_id: int, state: DeliveryState) -> None:
        if not self._scripts.run(alertscripts.CHANGE_DEAD, alert_id, state):
            raise UnknownAlertError(alert_id)

    def _alerts(self, rows: Sequence[Any]) -> list[Alert]:
        with self._scripts.store.understood("an alert"):
            kept = [
                (int(row[0]), row[1].decode().split(), row[2].decode(), json.loads(row[3])) for row in rows
            ]
            numbers = {int(values[1]) for _, values, _, _ in kept}
            numbers |= {int(watch["record"]) for _, _, _, watch in kept if "record" in watch}
        records = self._enrolled.records(sorted(numbers))
        with self._scripts.store.understood("an alert"):
            return [alert for one in kept if (alert := _alert(*one, records)) is not None]


def _alert(
    number: int, values: list[str], delivery: str, watch: dict[str, Any], records: Mapping[int, Record]
) -> Alert | None:
    """An alert; None where its image, or the one that its watch is made of, is gone."""
    watch_id, record_id, similarity, threshold, raised_at = values
    record = records.get(int(record_id))
    if record is None or ("record" in watch and int(watch["record"]) not in records):
        return None
    state, attempts, due_at, problem = delivery.split(" ", 3) if delivery else (None, "0", "-", "")
    return Alert(
        id=number,
        watch_id=int(watch_id),
        watch_name=watch["name"],
        record=record,
        similarity=float(similarity),
        threshold=float(threshold),
        raised_at=to_datetime(int(raised_at)),
        delivery=state,  # type: ignore[arg-type]
        attempts=int(attempts),
        due_at=None if due_at == "-" else to_datetime(int(due_at)),
        problem=problem or None,
    )
