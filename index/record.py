"""What goes into a gallery and what comes out of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from index.cameras.normalisation import CameraUse


@dataclass(frozen=True, slots=True)
class Record:
    """An enrolled image, without its bytes and its embedding.

    `captured_at` and `enrolled_at` are aware and in UTC; `fingerprint` is that of the model which
    embedded the image.
    """

    image_id: str
    vehicle_id: str | None
    camera_id: str | None
    captured_at: datetime | None
    view: str | None
    tags: tuple[str, ...]
    fingerprint: str
    enrolled_at: datetime
    media_type: str
    vehicle_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Enrollment:
    """An image to be enrolled, with its embedding.

    `descriptor` is float32 [d] of unit length, `strips` is float16 [s, w] or None; d, s and w are
    those the gallery was opened with. `captured_at` must be aware. `enrolled_at` is for re-embedding,
    which keeps the first enrollment's time; None means now.
    """

    image_id: str
    vehicle_id: str | None = None
    camera_id: str | None = None
    captured_at: datetime | None = None
    view: str | None = None
    tags: tuple[str, ...] = ()
    descriptor: NDArray[np.float32]
    strips: NDArray[np.float16] | None
    image: bytes
    media_type: str
    enrolled_at: datetime | None = None
    vehicle_type: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A record found by a search.

    Attributes:
        record_id: the gallery's own number for the record. It is never given again: an image that is deleted
            and enrolled anew has another one.
        record: what the gallery knows of the image.
        similarity: cosine of the two descriptors, normalised where the gallery does so; 1 at best.
        strips: of the image, float16 `[s, w]`; None where it has none, or where the search was not asked for
            them.
    """

    record_id: int
    record: Record
    similarity: float
    strips: NDArray[np.float16] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Applied:
    """What made a probe and the vectors that it was compared with.

    Attributes:
        version: of the gallery's normalisation; similarities of two versions cannot be compared.
        camera: of the probe's camera: `known`, `global` where half the mean of all images stood in for its
            own, or `off` where descriptors stayed as they were.
    """

    version: int
    camera: CameraUse


class Found(list[Match]):
    """The matches of one probe, best first, and how they were found.

    Attributes:
        normalisation: what normalised the probe and them.
        searched: images that the filter let through; None without conditions.
    """

    def __init__(self, matches: Iterable[Match], normalisation: Applied, searched: int | None = None) -> None:
        super().__init__(matches)
        self.normalisation = normalisation
        self.searched = searched


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of the gallery, in order of enrollment.

    `next` is the cursor of the page that follows, None on the last one. A cursor stays good whatever
    is enrolled or deleted meanwhile.
    """

    records: tuple[Record, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class GalleryHeader:
    """What every enrollment of one gallery has in common.

    `descriptor_dim` is d, `strips_shape` is (s, w), None where the model has no second stage.
    """

    fingerprint: str
    descriptor_dim: int
    strips_shape: tuple[int, int] | None

    def shapes(self) -> str:
        """The shapes in words, for messages."""
        strips = "no strips" if self.strips_shape is None else f"strips float16 {list(self.strips_shape)}"
        return f"descriptors float32 [{self.descriptor_dim}] and {strips}"
