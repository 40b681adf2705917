"""Watches: vehicles that are looked for in whatever is enrolled from now on, and the alerts that they raise.

A watch is made of a file, which is kept with it, or of an enrolled image, with which it goes; one of a file
goes with an enrolled image of the same bytes. An alert goes with its watch and with the image that raised
it. On one machine the database sees to both by itself, so that erasing an image erases all of it. The tables
are made at the first opening by software that knows them; software that does not may open the gallery all the
same.

On one machine (`index.local.watches`) images are checked in order of enrollment, and the number of the last
one that was checked is committed with the alerts: a process that is killed goes on after it, and raises none
twice. Where replicas share a gallery, `index.shared.owed` says who checks what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from index.record import Record

DeliveryState = Literal["waiting", "delivered", "dead", "dropped"]
MOST_WATCHES: Final = 1000
"""Of a gallery: each new image is compared with all of them."""
MOST_ALERTS: Final = 100_000
"""Of a gallery; the oldest go first."""
ROOM: Final = 65536
"""Bytes that a watch may take besides its file: its descriptor, and pages begun."""
OF_ONE_WATCH: Final = 4
"""Deliveries of one watch at a time: one, whose webhook does not answer, takes not all the places."""
CHECKED: Final = "watch_checked"
"""The setting with the number of the last record that all watches have looked at."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NewWatch:
    """A watch to be kept.

    Attributes:
        name: of the watch; "" for none.
        image_id: of the enrolled image that it is made of; its descriptor and camera are the watch's.
        data: the file that it is made of instead; then `descriptor` and `media_type` are given.
        descriptor: float32 `[d]`, of the file.
        media_type: of the file.
        camera_id: of the file, None where it is not known.
        threshold: least similarity that raises an alert; None for the model's.
        cameras: whose images may raise one; none for all.
        webhook: URL that alerts are delivered to; None for none.
        secret: that deliveries are signed with.
        created_by: id of the key of whoever made it; None without keys.
        created_at: aware; None for now.
    """

    name: str = ""
    image_id: str | None = None
    data: bytes | None = None
    descriptor: NDArray[np.float32] | None = None
    media_type: str | None = None
    camera_id: str | None = None
    threshold: float | None = None
    cameras: frozenset[str] = frozenset()
    webhook: str | None = None
    secret: str | None = field(default=None, repr=False)
    created_by: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """A watch that is kept; see `NewWatch`.

    Attributes:
        id: counts up, never given twice.
        image_id: of the enrolled image that it was made of; None of a file.
        alerts: that it has raised and that are kept.
    """

    id: int
    name: str
    image_id: str | None
    camera_id: str | None
    threshold: float | None
    cameras: frozenset[str]
    webhook: str | None
    created_at: datetime
    created_by: str | None
    alerts: int


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """What new images are compared with.

    Attributes:
        after: images of a greater place are looked at: those enrolled since.
        descriptor: float32 `[d]`, raw.
    """

    id: int
    after: int
    descriptor: NDArray[np.float32]
    camera_id: str | None
    threshold: float | None
    cameras: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Sightings:
    """Images that no watch has looked at yet, in order of enrollment.

    Attributes:
        last: the number to go on after.
        ids: `[n]`, of the records.
        places: `[n]`, of each in the order of enrollment, in which watches have theirs (`Watched.after`).
        cameras: of each, None where it has none.
        descriptors: float32 `[n, d]`, raw, as they are stored.
    """

    last: int
    ids: NDArray[np.int64]
    places: NDArray[np.int64]
    cameras: Sequence[str | None]
    descriptors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Raised:
    """An alert to be kept: which watch, which image (the number of its record), how similar."""

    watch_id: int
    record_id: int
    similarity: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Alert:
    """An enrolled image that is similar enough to a watched vehicle.

    Attributes:
        id: counts up, never given twice.
        record: of the image.
        similarity: of the first stage.
        threshold: that it reached.
        delivery: to the watch's webhook; `dead` where it was given up, and `dropped` where a person did
            not want that one any more. None without a webhook.
        attempts: deliveries that were tried.
        due_at: when the next is; None where none is.
        problem: what became of the last one that failed.
    """

    id: int
    watch_id: int
    watch_name: str
    record: Record
    similarity: float
    threshold: float
    raised_at: datetime
    delivery: DeliveryState | None
    attempts: int
    due_at: datetime | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class AlertPage:
    """Some alerts, the newest first; `next` is the cursor of those before, None where there are none."""

    alerts: tuple[Alert, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class WatchState:
    """How many watches there are, and alerts whose delivery waits or was given up.

    Attributes:
        behind_since: when the first image was enrolled that no watch has looked at; None where all have.
    """

    watches: int
    waiting: int
    dead: int
    behind_since: datetime | None
