"""Keeping the vectors' normalisation near to what is known of the cameras: a new version when they moved.

The order is the protocol: the estimates are taken from the sums that are committed; every vector is made anew
from its descriptor, beside the index in use; what changed meanwhile follows from the log of changes; then,
while nothing changes, the new version is committed to the database (the commit point) and the new index takes
the old one's place. A search uses one or the other as a whole. A process killed before the commit goes on
with the old version, after it with the new one, whose index the next opening builds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Final

from index.cameras.estimation import DRIFT_LIMIT, Estimates, Mode, estimate, is_wanted
from index.cameras.normalisation import Normalisation
from index.errors import GalleryClosedError, GalleryError
from index.local.mirror import Mirror
from index.local.successor import Successor
from index.states import RenewalState
from index.vectors.kind import Kind
from index.vectors.vectors import Vectors

CHECK_SHARE: Final = 20
"""Estimates are looked at after as many changes as make one part of so many of the gallery."""
LINGER_S: Final = 30.0
"""s after which they are looked at, too, where changes were fewer, and after an opening."""
PAUSE: Final = 4
"""Times as long as the last renewal took the next one waits, so that it takes a fifth of a core at most."""

log = logging.getLogger(__name__)


class Renewal:
    """Makes a new version, in a thread, when one is due.

    Args:
        mirror: the index, and the database that it agrees with.
        successor: makes the index of a new version.
        mode: what is wanted; None leaves the version that is there.
    """

    def __init__(self, mirror: Mirror, successor: Successor, mode: Mode | None) -> None:
        self._mirror = mirror
        self._successor = successor
        self.mode = mode
        self._state = RenewalState(0.0, is_renewing=False, seconds=None)
        self._waking = threading.Condition()
        self._renewing = threading.Lock()  # taken before the snapshots' and the mirror's
        self._changes = 0
        self._is_drift_due = False
        self._is_opening = False
        self._wanted = False
        self._busy = False
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> RenewalState:
        """As it is now."""
        return self._state

    def changed(self, changes: int = 1) -> None:
        """So many images came or went: have the thread look, if they are enough; returns at once."""
        with self._waking:
            self._changes += changes
            self._is_drift_due = True
            self._wake(now=self._changes * CHECK_SHARE >= self._mirror.vectors.count)

    def opened(self) -> None:
        """Have the thread see to a gallery that was opened; returns at once.

        Where it was opened in another mode, that is now. What a former process learned and had not looked at
        is looked at after `LINGER_S`, as after a change: until then answers are those from before.
        """
        with self._waking:
            self._is_opening = True
            self._wake(now=True)

    def wait(self) -> None:
        """Wait until the thread has nothing to do."""
        with self._waking:
            self._waking.wait_for(lambda: not self._wanted and not self._busy)

    def renew_if_due(self, *, also_for_drift: bool = True) -> bool:
        """Look at the estimates, and make a new version where one is due; whether it was.

        Args:
            also_for_drift: and not only where the mode wants another one than is in force.

        Raises:
            DamagedImageError: a descriptor is damaged; the version that was stays.
            GalleryClosedError: the gallery is closed, or was meanwhile.
        """
        if self.mode is None:
            return False
        with self._renewing:
            current = self._mirror.vectors.normalisation
            estimates = self._estimates(current)
            drift = 0.0 if estimates is None else max(estimates.drift(current).values(), default=0.0)
            has_moved = drift > DRIFT_LIMIT or (
                estimates is not None and _knows_more(current, estimates.cameras)
            )
            is_due = current.is_raw != (estimates is None) or (
                also_for_drift and not current.is_raw and has_moved
            )
            self._tell(drift=0.0 if current.is_raw else drift, is_renewing=is_due)
            if not is_due:
                return False
            try:
                self._renew(estimates)
            finally:
                self._tell(is_renewing=False)
            return True

    def forget_the_gone(self) -> bool:
        """Make a new version where the one in force knows a camera without images; whether it was made.

        What a version knows of a camera with one image is near to that image's descriptor.

        Raises: as `renew_if_due`.
        """
        with self._renewing:
            current = self._mirror.vectors.normalisation
            with self._mirror.store.moment() as moment:
                known = moment.cameras()
            if current.is_raw or not _knows_more(current, known):
                return False
            mode: Mode = self.mode or "on"
            self._renew(estimate(known) if is_wanted(mode, known, is_on=True) else None)
            return True

    def close(self) -> None:
        """End the thread; a version that is not made yet is given up. Idempotent."""
        with self._waking:
            self._closing = True
            self._wanted = False
            self._waking.notify_all()
        if self._thread is not None:
            self._thread.join()
        with self._renewing:
            pass

    def _estimates(self, current: Normalisation) -> Estimates | None:
        with self._mirror.store.moment() as moment:
            cameras = moment.cameras()
        is_on = not current.is_raw
        return estimate(cameras) if is_wanted(self.mode or "off", cameras, is_on=is_on) else None

    def _renew(self, estimates: Estimates | None) -> None:
        started = time.monotonic()

        def prepare(current: Vectors) -> tuple[Kind, Normalisation]:
            return current.kind, _provisional(estimates)

        def commit(vectors: Vectors) -> None:
            vectors.normalisation = self._mirror.store.renew(estimates)

        vectors = self._successor.switch(prepare, commit, self._stop_when_closing)
        seconds = time.monotonic() - started
        self._tell(drift=0.0, seconds=seconds)
        log.info(
            "version %d of the camera normalisation is in force: %s; %d vectors took %.1f s",
            vectors.normalisation.version,
            "descriptors stay as they are" if estimates is None else f"{len(estimates.cameras)} cameras",
            vectors.count,
            seconds,
        )

    def _stop_when_closing(self) -> None:
        if self._closing:
            raise GalleryClosedError

    def _tell(
        self, drift: float | None = None, is_renewing: bool | None = None, seconds: float | None = None
    ) -> None:
        was = self._state
        self._state = RenewalState(
            was.drift if drift is None else drift,
            was.is_renewing if is_renewing is None else is_renewing,
            was.seconds if seconds is None else seconds,
        )

    def _run(self) -> None:
        while self._awaited():
            try:
                started = time.monotonic()
                if self._renew_or_log():
                    self._pause(PAUSE * (time.monotonic() - started))
            finally:
                with self._waking:
                    self._busy = False
                    self._waking.notify_all()

    def _wake(self, *, now: bool) -> None:
        if self.mode is None or self._closing:
            return
        self._wanted = self._wanted or now
        self._waking.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="gallery-renewal", daemon=True)
            self._thread.start()

    def _awaited(self) -> bool:
        """Wait until there may be something to do; False where there will be nothing any more."""
        with self._waking:
            while not self._waking.wait_for(lambda: self._wanted or self._closing, LINGER_S):
                self._wanted = self._is_drift_due
            self._busy, self._wanted, self._changes = self._wanted and not self._closing, False, 0
            return self._busy

    def _pause(self, seconds: float) -> None:
        with self._waking:
            self._busy = False
            self._waking.notify_all()
            self._waking.wait_for(lambda: self._closing, timeout=seconds)

    def _renew_or_log(self) -> bool:
        with self._waking:
            # An opening's own look is for the mode alone; the next one is for drift.
            also_for_drift, self._is_drift_due = self._is_drift_due, self._is_opening
            self._is_opening = False
        try:
            return self.renew_if_due(also_for_drift=also_for_drift)
        except GalleryClosedError:
            pass
        except GalleryError as error:  # no room, or damage
            log.error("no new version of the camera normalisation can be made: %s", error)
        except Exception:
            log.exception("no new version of the camera normalisation could be made")
        return False


def _knows_more(current: Normalisation, cameras: Mapping[str, object]) -> bool:
    """Whether a version knows a camera that is not among these."""
    return not current.cameras.keys() <= cameras.keys()


def _provisional(estimates: Estimates | None) -> Normalisation:
    """What the next version will be, without its number."""
    if estimates is None:
        return Normalisation()
    return Normalisation(overall=estimates.overall, cameras=estimates.cameras)
