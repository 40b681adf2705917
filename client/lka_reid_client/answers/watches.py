"""Vehicles that are looked for, and where they were seen."""

from __future__ import annotations

from datetime import datetime

from lka_reid_client.answers.base import Answer


class WatchAnswer(Answer):
    """A vehicle that is looked for.

    Attributes:
        name: empty where it has none.
        image_id: of the enrolled image that it was made of; null for a file.
        camera_id: of the image that it was made of, where it is known.
        threshold: least similarity that raises an alert; null for the bundle's threshold of a match.
        only_camera_id: cameras whose images may raise one; empty for all.
        created_at: UTC; images that were enrolled before are not looked at.
        created_by: id of the key of whoever made it; null without keys.
        alerts: that it has raised and that are kept.
    """

    id: int
    name: str
    image_id: str | None
    camera_id: str | None
    threshold: float | None
    only_camera_id: list[str]
    webhook: str | None
    created_at: datetime
    created_by: str | None
    alerts: int


class WatchesAnswer(Answer):
    """All watches of a collection, the first made first."""

    watches: list[WatchAnswer]


class WatchTestAnswer(Answer):
    """What became of a test message.

    Attributes:
        problem: what came instead of an answer 2xx; null where it was accepted.
    """

    delivered: bool
    problem: str | None


class DeliveryAnswer(Answer):
    """Where the delivery of an alert stands.

    Attributes:
        state: `waiting`, `delivered`, `dead` after the last attempt, or `dropped` by a person then.
        due_at: UTC; of the next attempt.
        problem: what became of the last attempt that failed.
    """

    state: str
    attempts: int
    due_at: datetime | None
    problem: str | None


class AlertEvent(Answer):
    """An enrolled image that is similar enough to a watched vehicle.

    Attributes:
        id: counts up within a collection.
        watch_name: empty where the watch has none.
        image_id: of the enrolled image.
        captured_at: UTC.
        similarity: cosine of the two descriptors, as searches have it.
        threshold: that it reached.
        raised_at: UTC.
    """

    id: int
    collection: str
    watch_id: int
    watch_name: str
    image_id: str
    vehicle_id: str | None
    camera_id: str | None
    captured_at: datetime | None
    view: str | None
    vehicle_type: str | None
    similarity: float
    threshold: float
    raised_at: datetime


class AlertAnswer(AlertEvent):
    """An alert, and where its delivery stands; null where the watch has no webhook."""

    delivery: DeliveryAnswer | None


class AlertsAnswer(Answer):
    """Some alerts, the newest first.

    Attributes:
        next: pass it as `after` for the next page; null on the last one.
    """

    alerts: list[AlertAnswer]
    next: str | None
