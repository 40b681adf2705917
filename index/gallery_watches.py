"""What every gallery that has watches can do with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from index.watches import (
    Alert,
    AlertPage,
    DeliveryState,
    NewWatch,
    Raised,
    Sightings,
    Watch,
    Watched,
    WatchState,
)


class GalleryAlerts(Protocol):
    """What watches have raised, and the deliveries to their webhooks; see `index.watches`."""

    @property
    def others_every_s(self) -> float | None:
        """s after which to look for what other processes have raised; None where there are none."""

    def page(
        self,
        before: int | None = None,
        limit: int = 100,
        *,
        since: datetime | None = None,
        watch_id: int | None = None,
        delivery: DeliveryState | None = None,
    ) -> AlertPage:
        """Up to `limit` alerts, the newest first, from the newest or before a page's `next`.

        Args:
            before: a page's `next`.
            limit: alerts at most.
            since: raised then or later.
            watch_id: of this watch.
            delivery: whose delivery stands so.
        """

    def after(self, alert_id: int, limit: int) -> list[Alert]:
        """Up to `limit` alerts that were raised after this one, in order."""

    def last(self) -> int:
        """The greatest id that an alert was given; 0 before the first."""

    def due(self, now: datetime, limit: int) -> list[Alert]:
        """Alerts whose delivery is due, the longest waiting first; of one watch not all at a time."""

    def next_due(self) -> datetime | None:
        """When the next delivery is due; None where none waits."""

    def take(self, alert_id: int) -> int | None:
        """Have a delivery for this process alone for a while; how many were tried before.

        None where it is not due any more, as where the alert was read before its delivery was noted, or where
        another process has it. Where the process ends before it notes what became of it, another one may take
        it after that while.
        """

    def delivered(self, alert_id: int) -> None:
        """A delivery was accepted; of an alert that is gone nothing is noted."""

    def failed(self, alert_id: int, problem: str, again_at: datetime | None) -> None:
        """A delivery failed; it is tried again at a moment, or is a dead letter with None."""

    def retry(self, alert_id: int) -> Alert:
        """Have a dead letter delivered again, from now on. Raises UnknownAlertError."""

    def drop(self, alert_id: int) -> None:
        """Give a dead letter up for good; its alert stays. Raises UnknownAlertError."""


class GalleryWatches(Protocol):
    """Vehicles that new images are compared with; see `index.watches`."""

    @property
    def alerts(self) -> GalleryAlerts:
        """What they have raised."""

    def on_enrolled(self, tell: Callable[[], None]) -> None:
        """Have `tell` called after each enrollment, from its thread; it must return at once."""

    def add(self, new: NewWatch) -> Watch:
        """Keep a watch, which looks at what is enrolled from now on.

        Raises:
            UnknownImageError: the image that it is made of is not enrolled.
            DamagedImageError: that image's descriptor is not what was written.
            TooManyWatchesError: there are as many as can be.
            QuotaReachedError: the bytes would be more than the quota.
            GalleryFullError: there is no room for it.
        """

    def get(self, watch_id: int) -> Watch:
        """A watch. Raises UnknownWatchError."""

    def all(self) -> list[Watch]:
        """All watches, in order."""

    def image(self, watch_id: int) -> tuple[bytes, str]:
        """The file that a watch was made of, and its media type. Raises UnknownWatchError."""

    def webhook(self, watch_id: int) -> tuple[str, str] | None:
        """Webhook and secret of a watch; None where it has none, or is gone."""

    def remove(self, watch_id: int) -> None:
        """Forget a watch and its alerts. Raises UnknownWatchError."""

    def watched(self) -> list[Watched]:
        """What new images are compared with, in order."""

    def unchecked(self, limit: int) -> Sightings | None:
        """Images that no watch has looked at, `limit` at most; None where there are none, or no watches.

        Of several processes, one alone is given an image for a while; another one is given it where that one
        has not said `raised` by then.
        """

    def raised(self, alerts: Sequence[Raised], found: Sightings) -> list[int]:
        """Keep alerts, and that the images of `unchecked` are checked; ids of those that are new.

        A second alert of a watch and an image is none, nor is one of what was deleted meanwhile.

        Raises:
            GalleryFullError: there is no room for it; nothing was changed.
        """

    def state(self) -> WatchState:
        """How many watches and deliveries there are, and how far behind the watches are."""
