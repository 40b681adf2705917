"""The command line's client of watches and alerts: documents as they were answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lka_reid_client.calls import watches
from lka_reid_client.errors import RefusedError
from service.remote.http import ServiceClient, with_remedy


class WatchClient(ServiceClient):
    """A `ServiceClient` that knows watches."""

    def watch(self, image: Path | None, fields: dict[str, Any]) -> dict[str, Any]:
        """What `POST /watches` answers. Raises OSError where the file cannot be read."""
        return self.send(watches.watch(image, **fields)).document()

    def watches(self) -> list[dict[str, Any]]:
        """What `GET /watches` lists."""
        return [watch.document() for watch in self.send(watches.watches()).watches]

    def remove_watch(self, watch_id: int) -> None:
        """Look for a vehicle no more."""
        self.send(watches.remove_watch(watch_id))

    def test_watch(self, watch_id: int) -> dict[str, Any]:
        """What became of a test message."""
        return self.send(watches.test_watch(watch_id)).document()

    def alerts(self, limit: int, watch_id: int | None, *, dead: bool) -> list[dict[str, Any]]:
        """The newest alerts, or those whose delivery was given up; all, or those of one watch."""
        listed = watches.dead_letters if dead else watches.alerts
        return [alert.document() for alert in self.iterate(listed(limit=limit, watch_id=watch_id))]

    def alert_events(self) -> Iterator[dict[str, Any]]:
        """Alerts as they are raised."""
        try:
            for event in self.client.alert_events():
                yield event.document()
        except RefusedError as error:
            raise with_remedy(error) from None

    def retry(self, alert_id: int) -> dict[str, Any]:
        """Have a dead letter delivered again."""
        return self.send(watches.retry_dead_letter(alert_id)).document()

    def drop(self, alert_id: int) -> None:
        """Give a dead letter up for good."""
        self.send(watches.drop_dead_letter(alert_id))
