"""Enrollments whose content follows from their image_id, small enough to make by the hundred."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from index import Enrollment, LocalGallery
from index.milvus import MilvusGallery

DIM = 8
STRIPS = (2, 3)

FIXTURES = Path(__file__).parent / "fixtures"

Open = Callable[..., LocalGallery]
AnyGallery = LocalGallery | MilvusGallery
OpenAny = Callable[..., AnyGallery]


def enrollment(name: str, **changes: Any) -> Enrollment:
    """The enrollment of the image_id `name`, with any field changed."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    descriptor = random.standard_normal(DIM)
    values: dict[str, Any] = {
        "image_id": name,
        "vehicle_id": f"vehicle of {name}",
        "camera_id": "camera-7",
        "captured_at": datetime(2024, 2, 29, 23, 59, 59, 123457, tzinfo=UTC),
        "view": "rear",
        "tags": ("bus", "größer"),
        "descriptor": (descriptor / np.linalg.norm(descriptor)).astype(np.float32),
        "strips": random.standard_normal(STRIPS).astype(np.float16),
        "image": random.bytes(50),
        "media_type": "image/png",
    }
    return Enrollment(**(values | changes))


def enroll_of_ages(gallery: AnyGallery) -> None:
    """Images taken and enrolled so many days ago, None where it is not known when they were taken."""
    now = datetime.now(UTC)
    for name, taken, enrolled in (
        ("old", 40, 1),
        ("older than its time", 1, 40),
        ("old without a time", None, 40),
        ("young", 20, 1),
        ("young without a time", None, 1),
        ("from the future", -400, 1),
    ):
        captured = None if taken is None else now - timedelta(days=taken)
        at = now - timedelta(days=enrolled)
        gallery.enroll(enrollment(name, captured_at=captured, enrolled_at=at))


def version_1(kind: str, folder: Path) -> None:
    """Make `folder` the gallery of schema version 1 that was "closed" or "killed"; see `earlier_version`."""
    earlier_version(1, kind, folder)


def earlier_version(version: int, kind: str, folder: Path) -> None:
    """Make `folder` the gallery of this schema version that was "closed" or "killed".

    See the fixtures' README. It holds a, d, e and f, of which f has no strips.
    """
    with tarfile.open(FIXTURES / f"version-{version}-{kind}.tar.gz") as archive:
        archive.extractall(folder.parent / f"{folder.name}.extracted", filter="data")
    (folder.parent / f"{folder.name}.extracted" / "gallery").rename(folder)
