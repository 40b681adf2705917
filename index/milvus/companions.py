"""What a gallery on Milvus keeps beside its vectors, and where its replicas agree.

The engine knows no transaction over two things. What has to be agreed between replicas, or changes with every
image, is behind these protocols: with one process `index.milvus.local_companions` does, with more of them a
store that all share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from index.cameras.sums import CameraSums, Sums
from index.gallery import GalleryQuotas, GalleryVerdicts
from index.gallery_watches import GalleryWatches
from index.quota import Usage
from index.record import GalleryHeader, Record


class Claim(Protocol):
    """Image ids that one replica holds."""

    def extend(self) -> bool:
        """Hold them for the whole time again; False where they are lost, and nothing may be written."""


class Claims(Protocol):
    """Who may change the image of an id at this moment: one of all replicas."""

    def claimed(self, image_ids: Sequence[str]) -> AbstractContextManager[Claim]:
        """Hold all of these ids meanwhile.

        Raises:
            DuplicateImageError: another one holds one of them; it is its `image_id`.
        """


class Numbers(Protocol):
    """Numbers of enrollments: of two draws, by whichever replica, the later one is of higher numbers."""

    def draw(self, count: int) -> int:
        """The first of so many numbers in a row, 1 or more, that were never drawn before."""

    def reach(self, number: int) -> None:
        """See that what is drawn from now on is higher than this one."""


class Room(GalleryQuotas, Protocol):
    """A quota that is reserved before something is written."""

    def reserve(self, images: int, size: int) -> Any:
        """Hold room for so many images and bytes; end it by `count` or `cancel`. Raises QuotaReachedError."""

    def count(self, reservation: Any) -> None:
        """What was reserved is written."""

    def cancel(self, reservation: Any) -> None:
        """What was reserved is not written."""

    def release(self, images: int, size: int) -> None:
        """So many images and bytes are gone."""

    def recount(self, usage: Usage) -> None:
        """This is what the images take, as they were counted; what lies beside them stays."""

    def changes(self) -> int:
        """A number that grows with every change of the usage."""

    def settle(self, changes: int, images: Usage) -> bool:
        """This is what the images take, unless the usage has changed since, or something is reserved."""


class KeptVerdicts(GalleryVerdicts, Protocol):
    """Verdicts, which go with their images."""

    def forget(self, record_ids: Sequence[int], images: Sequence[bytes] = ()) -> None:
        """Forget the verdicts on these enrollments, and on probes that are files of these images."""


class KeptSums(Protocol):
    """Each camera's sums; see `index.database.cameras`."""

    def enrolled(self, cameras: Sequence[str | None], descriptors: Sequence[NDArray[np.float32]]) -> None:
        """Count images just enrolled: the camera and the stored descriptor `[d]` of each."""

    def deleted(self, cameras: Sequence[str | None], descriptors: Sequence[NDArray[np.float32]]) -> None:
        """Count images no more that were just deleted."""

    def calibrate(
        self, camera_id: str, descriptor: NDArray[np.float32], digest: bytes, *, anew: bool = False
    ) -> bool:
        """Count an image for a camera's calibration; False where this digest is counted.

        With `anew` it takes the place of those that were counted, in one step.
        """

    def forget_calibration(self, camera_id: str) -> bool:
        """Remove a camera's calibration; False where it has none."""

    def read(self) -> Mapping[str, CameraSums]:
        """The sums of every camera that has images, by its id."""

    def replace(self, sums: Mapping[str, Sums]) -> None:
        """Set the sums of the enrolled images of all cameras."""


class KeptSettings(Protocol):
    """Whole numbers by name."""

    def get(self, name: str) -> int | None:
        """What is set; None where nothing is."""

    def set(self, name: str, value: int | None) -> None:
        """Set it, durably."""


class Enrolled(Protocol):
    """What watches ask of the images of a gallery."""

    def number(self, image_id: str) -> int | None:
        """The number of an image's enrollment; None where it is not enrolled."""

    def records(self, numbers: Sequence[int]) -> dict[int, Record]:
        """Records by their numbers; those of deleted images are not there."""

    def descriptors(self, numbers: Sequence[int]) -> dict[int, tuple[str | None, NDArray[np.float32]]]:
        """Camera and descriptor `[d]` as stored, by their numbers; those of deleted images are not there."""

    def image(self, image_id: str) -> tuple[bytes, str]:
        """An image's file and its media type. Raises UnknownImageError."""


class KeptWatches(GalleryWatches, Protocol):
    """Watches that are notified of what is written and deleted."""

    def owe(self, record_ids: Sequence[int]) -> None:
        """Rows of these numbers are about to be written; where it raises, write none."""

    def enrolled(self, record_ids: Sequence[int]) -> None:
        """They are written: watches look at them."""

    def forget_copies(self, digests: Sequence[str]) -> None:
        """Forget watches of files with the bytes of images (SHA-256, in hex) that are about to be deleted."""

    def forget(self, record_ids: Sequence[int]) -> None:
        """Forget watches made of images that were just deleted, and the alerts that these raised."""

    def sweep(self) -> int:
        """Forget what is of no image any more; how many images and watches that concerns."""


OpenWatches = Callable[[Enrolled, GalleryHeader], KeptWatches]
"""Opens watches over the images of a gallery."""


@dataclass(frozen=True, slots=True)
class Companions:
    """All of them, of one collection; without `open_watches` the gallery has no watches."""

    claims: Claims
    numbers: Numbers
    room: Room
    verdicts: KeptVerdicts
    sums: KeptSums
    settings: KeptSettings
    open_watches: OpenWatches | None = None


OpenCompanions = Callable[[Callable[[str], int | None], int], Companions]
"""Opens them, given what says the number of an image's enrollment (None: not enrolled), and d."""
