"""Images that are kept for so many days and then deleted, by a thread.

An image's age counts from when it was taken, or from its enrollment where that is earlier or all that is
known. How many days is a setting of the gallery, in its database; without one everything is kept. What is too
old goes in small transactions, as any deletion, within an hour; a process that is killed goes on after its
next start.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from index.errors import GalleryClosedError, GalleryError, InvalidRetentionError

RETENTION: Final = "retention_days"
MOST_DAYS: Final = 36_500
EVERY_S: Final = 3600.0
"""s between two looks for images that are too old."""
FIRST_S: Final = 60.0
"""s after an opening that the first look waits, so that a start is not held up."""

log = logging.getLogger(__name__)


class RetentionHome(Protocol):
    """Where a gallery keeps its days, and what finds and deletes its images."""

    def days(self) -> int | None:
        """What is set."""

    def keep_days(self, days: int | None) -> None:
        """Set it, durably. Raises GalleryFullError."""

    def count_before(self, moment: datetime) -> int:
        """How many images were taken or enrolled before that moment."""

    def delete_before(self, moment: datetime) -> int:
        """Delete them; how many there were."""


@dataclass(frozen=True, slots=True)
class RetentionState:
    """How the retention of a gallery stands.

    Attributes:
        days: that images are kept; None where all are.
        deleted: images that it has deleted since the gallery was opened.
        failed: whether the last look did not come to its end.
    """

    days: int | None
    deleted: int
    failed: bool


class Retention:
    """The retention of one gallery.

    Args:
        home: where its days are kept.
    """

    def __init__(self, home: RetentionHome) -> None:
        self._home = home
        self._waking = threading.Condition()
        self._looking = threading.Lock()
        self._due_in = FIRST_S
        self._wanted = False
        self._closing = False
        self._thread: threading.Thread | None = None
        self._state = RetentionState(home.days(), 0, failed=False)

    @property
    def state(self) -> RetentionState:
        """As it is now; costs nothing."""
        return self._state

    def opened(self) -> None:
        """Begin to look, where images are kept for a time only; returns at once."""
        with self._waking:
            if self._state.days is not None:
                self._start()

    def set(self, days: int | None) -> None:
        """Keep images for so many days, None for ever, durably; what is too old then goes from now on.

        Raises:
            InvalidRetentionError: not 1 to 36,500 days.
            GalleryFullError: there is no room for it.
        """
        _check(days)
        self._home.keep_days(days)
        with self._waking:
            self._state = replace(self._state, days=days)
            if days is not None:
                self._start()
                self._wanted = True
                self._waking.notify_all()

    def expired(self, days: int | None = None) -> int:
        """How many images are too old now: by the days that are set, or by others; 0 where none are set.

        Raises:
            InvalidRetentionError: not 1 to 36,500 days.
        """
        _check(days)
        days = self._state.days if days is None else days
        if days is None:
            return 0
        return self._home.count_before(_limit(days))

    def apply(self) -> int:
        """Delete what is too old now; how many images.

        Raises:
            GalleryFullError: there is not even room to delete.
            GalleryClosedError: the gallery is closed, or was meanwhile.
        """
        with self._looking:
            days = self._state.days
            if days is None:
                return 0
            deleted = self._home.delete_before(_limit(days))
            with self._waking:
                self._state = replace(self._state, deleted=self._state.deleted + deleted, failed=False)
            if deleted:
                log.info("%d images were older than %d days and are deleted", deleted, days)
            return deleted

    def close(self) -> None:
        """End the thread after the deletion under way. Idempotent."""
        with self._waking:
            self._closing = True
            self._waking.notify_all()
        if self._thread is not None:
            self._thread.join()

    @property
    def closing(self) -> bool:
        """Whether what is under way is to end soon."""
        return self._closing

    def _start(self) -> None:
        if self._thread is None and not self._closing:
            self._thread = threading.Thread(target=self._run, name="gallery-retention", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while self._awaited():
            try:
                self.apply()
            except GalleryClosedError:
                return
            except GalleryError as error:  # no room, damage, or a store that does not answer
                log.error("images that are too old could not be deleted, it is tried again: %s", error)
                self._failed()
            except Exception:
                log.exception("images that are too old could not be deleted; it is tried again")
                self._failed()

    def _failed(self) -> None:
        with self._waking:
            self._state = replace(self._state, failed=True)

    def _awaited(self) -> bool:
        """Wait until it is time to look; False where it will not be any more."""
        with self._waking:
            self._waking.wait_for(lambda: self._wanted or self._closing, self._due_in)
            self._wanted, self._due_in = False, EVERY_S
            return not self._closing


def _limit(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _check(days: int | None) -> None:
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise InvalidRetentionError(days, MOST_DAYS)
