"""The cameras of a gallery on Milvus: counted, and not normalised.

Vectors in the engine are the descriptors as they are. A gallery on Milvus that is to normalise cameras is
refused at its start: a new version would be a new Milvus collection, filled from every descriptor, which is
not there yet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from index.cameras.estimation import DRIFT_LIMIT
from index.cameras.normalisation import RAW, Normalisation
from index.cameras.report import CameraOverview, CameraState, Effect, states
from index.errors import UnknownCameraError
from index.milvus.companions import KeptSums
from index.record import GalleryHeader
from index.states import RenewalState
from index.validation import check_calibration


class MilvusCameras:
    """See `index.gallery.GalleryCameras`.

    Args:
        sums: what is known of them.
        header: of the gallery.
    """

    def __init__(self, sums: KeptSums, header: GalleryHeader) -> None:
        self._sums = sums
        self._header = header

    def normalisation(self) -> Normalisation:
        """That descriptors stay as they are."""
        return RAW

    def renewal(self) -> RenewalState:
        """That no version is made."""
        return RenewalState(0.0, is_renewing=False, seconds=None)

    def overview(self) -> CameraOverview:
        """All cameras."""
        return CameraOverview(
            mode="off",
            normalisation=RAW,
            drift=0.0,
            drift_limit=DRIFT_LIMIT,
            is_renewing=False,
            seconds=None,
            cameras=states(dict(self._sums.read()), RAW),
        )

    def state(self, camera_id: str) -> CameraState:
        """One camera. Raises UnknownCameraError where it has no images."""
        for state in self.overview().cameras:
            if state.camera_id == camera_id:
                return state
        raise UnknownCameraError(camera_id)

    def effect(self, camera_id: str) -> Effect | None:
        """None: nothing is normalised, and no descriptors are read to see what it would do."""
        del camera_id
        return None

    def calibrate(
        self, camera_id: str, descriptor: NDArray[np.float32], digest: bytes, *, anew: bool = False
    ) -> bool:
        """Count an image for a camera's calibration, with `anew` in the place of those that were counted.

        Raises InvalidEnrollmentError.
        """
        check_calibration(camera_id, descriptor, self._header)
        return self._sums.calibrate(camera_id, descriptor, digest, anew=anew)

    def forget_calibration(self, camera_id: str) -> None:
        """Forget what a camera was calibrated with. Raises UnknownCameraError where that is nothing."""
        if not self._sums.forget_calibration(camera_id):
            raise UnknownCameraError(camera_id)
