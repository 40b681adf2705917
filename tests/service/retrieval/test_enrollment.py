"""Enrolling: concurrent enrollments share a transaction, and none harms another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from anyio import CapacityLimiter

from index import Enrollment, LocalGallery, Record
from service.inference.embedder import EmbeddedImage
from service.inference.forward import Features
from service.retrieval.enrollment import AlreadyEnrolledError, Description, Enroller
from tests.service.fakes import DIM, image_file, open_gallery

FAR = 1e12


class Ready:
    """An embedder that costs nothing."""

    async def embed(self, _data: bytes, _deadline: float) -> EmbeddedImage:
        descriptor = np.full(DIM, DIM**-0.5, np.float32)
        return EmbeddedImage(Features(descriptor, np.zeros((2, 4), np.float16)), 0, 0, 0)


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The enrollments of each transaction; the first waits until five others have come."""
    made: list[int] = []
    first = threading.Event()
    enroll_many = LocalGallery.enroll_many

    def watched(gallery: LocalGallery, enrollments: Sequence[Enrollment]) -> list[Record]:
        if not made:
            made.append(len(enrollments))
            first.wait(0.5)
        else:
            made.append(len(enrollments))
        return enroll_many(gallery, enrollments)

    monkeypatch.setattr(LocalGallery, "enroll_many", watched)
    return made


def enroll_together(folder: Path, names: Sequence[str]) -> list[Record | BaseException]:
    async def scene() -> list[Record | BaseException]:
        enroller = Enroller(Ready(), gallery, CapacityLimiter(16))  # type: ignore[arg-type]
        work = (enroller.enroll(image_file(), Description(name), FAR) for name in names)
        found = await asyncio.gather(*work, return_exceptions=True)
        return [one if isinstance(one, BaseException) else one[0] for one in found]

    with open_gallery(folder) as gallery:
        outcomes = asyncio.run(scene())
        there = {record.image_id for record in gallery.page().records}
        assert there == {one.image_id for one in outcomes if isinstance(one, Record)}
    return outcomes


@pytest.mark.slow
def test_concurrent_enrollments_share_a_transaction(tmp_path: Path, transactions: list[int]) -> None:
    outcomes = enroll_together(tmp_path, ["a", "b", "c", "d", "e", "f"])
    assert all(isinstance(one, Record) for one in outcomes)
    assert transactions == [1, 5]


@pytest.mark.slow
def test_one_that_cannot_be_made_keeps_no_other_from_it(tmp_path: Path, transactions: list[int]) -> None:
    outcomes = enroll_together(tmp_path, ["a", "b", "b", "c"])
    assert sum(isinstance(one, Record) for one in outcomes) == 3
    [refused] = [one for one in outcomes if not isinstance(one, Record)]
    assert isinstance(refused, AlreadyEnrolledError)
    assert refused.differs == ()
    assert transactions == [1, 3, 1, 1, 1]
