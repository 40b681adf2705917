"""What a gallery's cameras are to its operator: how many images, how far apart, what normalising does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.cameras.estimation import DRIFT_LIMIT, estimate
from index.cameras.normalisation import RAW, Normalisation
from index.cameras.report import CameraOverview, CameraState, Effect, states
from index.cameras.sums import CameraSums
from index.database.changes import DESCRIPTORS, Described, described
from index.errors import UnknownCameraError
from index.local.mirror import Mirror
from index.local.renewal import Renewal
from index.record import GalleryHeader
from index.states import RenewalState
from index.validation import check_calibration

NEIGHBOURS: Final = 10
SAMPLE: Final = 200
"""Images of a camera, and as many of all others, that its effect is measured on at most."""
# Drawn by a fixed hash of their numbers: the same images again, and not those of one day.
_SAMPLE = "SELECT id FROM record WHERE {} ORDER BY id * 2654435761 % 4294967296 LIMIT ?"


class LocalCameras:
    """The cameras of a local gallery; see `index.gallery.GalleryCameras`.

    `forgotten` is called after a calibration was forgotten, so that it is erased from every file.
    """

    def __init__(
        self, mirror: Mirror, renewal: Renewal, header: GalleryHeader, forgotten: Callable[[], None]
    ) -> None:
        self._mirror = mirror
        self._renewal = renewal
        self._header = header
        self._forgotten = forgotten

    def normalisation(self) -> Normalisation:
        """The version in force."""
        return self._mirror.vectors.normalisation

    def renewal(self) -> RenewalState:
        """How the version in force stands to what is known of the cameras."""
        return self._renewal.state

    def overview(self) -> CameraOverview:
        """All cameras, and the normalisation in force."""
        state, known = self._renewal.state, self._known()
        in_force = self.normalisation()
        cameras = states(known, in_force)
        return CameraOverview(
            mode=self._renewal.mode or "as found",
            normalisation=in_force,
            drift=max((camera.drift or 0.0 for camera in cameras), default=0.0),
            drift_limit=DRIFT_LIMIT,
            is_renewing=state.is_renewing,
            seconds=state.seconds,
            cameras=cameras,
        )

    def state(self, camera_id: str) -> CameraState:
        """One camera. Raises UnknownCameraError where it has no images."""
        found = {state.camera_id: state for state in states(self._known(), self.normalisation())}
        if camera_id not in found:
            raise UnknownCameraError(camera_id)
        return found[camera_id]

    def effect(self, camera_id: str) -> Effect | None:
        """What normalising does to a camera; None where it or all others have too few images enrolled."""
        estimates = estimate(self._known())
        own, others = self._sample(camera_id)
        if estimates is None or own is None or others is None or len(own.ids) + len(others.ids) <= NEIGHBOURS:
            return None
        fresh = Normalisation(overall=estimates.overall, cameras=estimates.cameras)
        count = len(own.ids) + len(others.ids)
        return Effect(
            images=count,
            expected=(len(own.ids) - 1) / (count - 1),
            before=_share(RAW, own, others),
            after=_share(fresh, own, others),
        )

    def calibrate(
        self, camera_id: str, descriptor: NDArray[np.float32], digest: bytes, *, anew: bool = False
    ) -> bool:
        """Count an image for a camera's calibration; False where it is counted already.

        With `anew` it takes the place of those that were counted, in one transaction.

        Raises InvalidEnrollmentError, QuotaReachedError and GalleryFullError.
        """
        check_calibration(camera_id, descriptor, self._header)
        store = self._mirror.store
        with self._mirror.settled(), store.adding(16 * self._header.descriptor_dim):
            is_new = store.cameras.calibrate(camera_id, descriptor, digest, anew=anew)
        if is_new:
            self._renewal.changed()
        if anew:
            self._forgotten()
        return is_new

    def forget_calibration(self, camera_id: str) -> None:
        """Forget what a camera was calibrated with. Raises UnknownCameraError where that is nothing."""
        store = self._mirror.store
        with self._mirror.settled(), store.freeing():
            if not store.cameras.forget_calibration(camera_id):
                raise UnknownCameraError(camera_id)
        self._renewal.changed(self._mirror.vectors.count)
        self._forgotten()

    def renew_if_due(self) -> bool:
        """Make a new version now where one is due; whether it was. See `Renewal.renew_if_due`."""
        return self._renewal.renew_if_due()

    def wait(self) -> None:
        """Wait until a version that is due or under way has been made, or has failed."""
        self._renewal.wait()

    def _known(self) -> dict[str, CameraSums]:
        with self._mirror.store.moment() as moment:
            return dict(moment.cameras())

    def _sample(self, camera_id: str) -> tuple[Described | None, Described | None]:
        pieces = []
        with self._mirror.store.reading() as connection:
            for condition in ("camera_id = ?", "camera_id <> ?"):
                chosen = _SAMPLE.format(condition)
                query = f"{DESCRIPTORS} WHERE id IN ({chosen})"
                pieces.append(next(described(connection, query, camera_id, SAMPLE), None))
        return pieces[0], pieces[1]


def _share(normalisation: Normalisation, own: Described, others: Described) -> float:
    """Share of `own` among the nearest neighbours of each of them, but itself."""
    probes = normalisation.apply(own.descriptors, own.cameras)
    rest = normalisation.apply(others.descriptors, others.cameras)
    similarities = np.concatenate([probes @ probes.T, probes @ rest.T], axis=1)
    np.fill_diagonal(similarities, -np.inf)
    nearest = np.argpartition(-similarities, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    return float((nearest < len(own.ids)).mean())
