"""The first stage in batches: batching changes no match, and an error reaches its own caller alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from index import ALL, Enrollment, Filter, Found, Gallery, GalleryClosedError, LocalGallery
from service.retrieval.batched_search import MAX_BATCH, BatchedSearch

PATIENCE = 20.0
DIM = 12


def unit(count: int, seed: int) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with LocalGallery.open(tmp_path, fingerprint="f", descriptor_dim=DIM, strips_shape=None) as opened:
        for number, descriptor in enumerate(unit(30, 0)):
            opened.enroll(
                Enrollment(
                    image_id=str(number),
                    camera_id="abc"[number % 3],
                    descriptor=descriptor,
                    strips=None,
                    image=b"x",
                    media_type="image/png",
                )
            )
        yield opened


class Held:
    """A gallery whose first search waits to be let go, and which notes the probes of every search."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self.probes: list[int] = []
        self.filters: list[Filter] = []
        self.entered = threading.Event()
        self.open = threading.Event()
        self.fault: Callable[[NDArray[np.float32]], Exception | None] = lambda _probes: None

    def search(
        self,
        descriptors: NDArray[np.float32],
        k: int,
        *,
        where: Filter,
        strips: int,
        cameras: Sequence[str | None],
    ) -> list[Found]:
        self.probes.append(len(descriptors))
        self.filters.append(where)
        self.entered.set()
        assert self.open.wait(PATIENCE)
        fault = self.fault(descriptors)
        if fault is not None:
            raise fault
        return self._gallery.search(descriptors, k, where=where, strips=strips, cameras=cameras)


def together(
    held: Held, probes: NDArray[np.float32], ks: list[int], filters: list[Filter] | None = None
) -> list[Any]:
    """Answers or errors of probes that arrive while another one is searched for."""
    filters = filters or [ALL] * len(ks)
    search = BatchedSearch(held)  # type: ignore[arg-type]
    with ThreadPoolExecutor(len(probes) + 1) as pool:
        begun = pool.submit(search, unit(1, 9)[0], 1)
        assert held.entered.wait(PATIENCE)
        calls = []
        for place, (probe, k, where) in enumerate(zip(probes, ks, filters, strict=True), start=1):
            calls.append(pool.submit(search, probe, k, where=where))
            until = time.monotonic() + PATIENCE
            while search.waiting < place and time.monotonic() < until:
                time.sleep(0.001)
        held.open.set()
        begun.result(PATIENCE)
        return [call.exception(PATIENCE) or call.result() for call in calls]


def test_those_who_arrive_during_a_search_go_through_one_and_get_what_they_would_get_alone(
    gallery: Gallery,
) -> None:
    probes, ks = unit(5, 1), [1, 3, 7, 30, 50]
    held = Held(gallery)
    found = together(held, probes, ks)
    assert held.probes == [1, 5]
    assert found == [gallery.search(probe[None], k)[0] for probe, k in zip(probes, ks, strict=True)]


def test_probes_of_different_cameras_share_a_search_and_each_is_normalised_as_its_own(
    tmp_path: Path,
) -> None:
    cameras = ["a", None, "b", "unheard of"]
    with LocalGallery.open(
        tmp_path, fingerprint="f", descriptor_dim=DIM, strips_shape=None, normalisation="on"
    ) as gallery:
        gallery.enroll_many(
            [
                Enrollment(
                    image_id=str(number),
                    camera_id="ab"[number % 2],
                    descriptor=descriptor,
                    strips=None,
                    image=b"x",
                    media_type="image/png",
                )
                for number, descriptor in enumerate(unit(30, 0))
            ]
        )
        gallery.cameras.wait()
        probes, held = unit(4, 1), Held(gallery)
        search = BatchedSearch(held)  # type: ignore[arg-type]
        with ThreadPoolExecutor(5) as pool:
            pool.submit(search, probes[0], 1)
            assert held.entered.wait(PATIENCE)
            calls = [
                pool.submit(search, probe, 5, camera_id=camera)
                for probe, camera in zip(probes, cameras, strict=True)
            ]
            until = time.monotonic() + PATIENCE
            while search.waiting < len(calls) and time.monotonic() < until:
                time.sleep(0.001)
            held.open.set()
            found = [call.result(PATIENCE) for call in calls]
        assert held.probes == [1, 4]
        assert found == [
            gallery.search(probe[None], 5, cameras=[camera])[0]
            for probe, camera in zip(probes, cameras, strict=True)
        ]
        assert [of.normalisation.camera for of in found] == ["known", "global", "known", "global"]


def test_a_search_for_several_that_fails_is_made_for_each_alone(gallery: Gallery) -> None:
    probes = unit(3, 2)
    held = Held(gallery)

    def fault(given: NDArray[np.float32]) -> Exception | None:
        return RuntimeError("this one") if (given == probes[1]).all(axis=1).any() else None

    held.fault = fault
    first, second, third = together(held, probes, [2, 2, 2])
    assert held.probes == [1, 3, 1, 1, 1]
    assert isinstance(second, RuntimeError)
    assert [first, third] == [gallery.search(probe[None], 2)[0] for probe in (probes[0], probes[2])]


def test_queries_with_different_filters_never_share_a_search(gallery: Gallery) -> None:
    probes = unit(5, 4)
    a, b = (Filter(camera_ids=frozenset({camera_id})) for camera_id in "ab")
    filters = [a, b, a, ALL, b]
    held = Held(gallery)
    found = together(held, probes, [1, 2, 3, 4, 5], filters)
    assert held.filters == [ALL, a, b, ALL]
    assert held.probes == [1, 2, 2, 1]
    assert found == [
        gallery.search(probe[None], k, where=where)[0]
        for k, (probe, where) in enumerate(zip(probes, filters, strict=True), start=1)
    ]
    assert {match.record.camera_id for match in found[0]} == {"a"}


def test_strips_come_with_the_matches_of_those_who_ask_for_them(tmp_path: Path) -> None:
    with LocalGallery.open(tmp_path, fingerprint="f", descriptor_dim=DIM, strips_shape=(1, 2)) as gallery:
        [descriptor] = unit(1, 0)
        strips = np.ones((1, 2), np.float16)
        gallery.enroll(
            Enrollment(image_id="a", descriptor=descriptor, strips=strips, image=b"x", media_type="image/png")
        )
        search = BatchedSearch(gallery)
        [match] = search(descriptor, 1, strips=1)
        np.testing.assert_array_equal(np.asarray(match.strips), strips)
        [match] = search(descriptor, 1)
        assert match.strips is None


def test_no_search_is_for_more_than_the_largest_batch(gallery: Gallery) -> None:
    held = Held(gallery)
    found = together(held, unit(MAX_BATCH + 2, 3), [1] * (MAX_BATCH + 2))
    assert held.probes == [1, MAX_BATCH, 2]
    assert all(len(matches) == 1 for matches in found)


def test_a_closed_gallery_is_reported_to_everyone(gallery: Gallery) -> None:
    held = Held(gallery)
    held.fault = lambda given: GalleryClosedError() if len(given) else None
    search = BatchedSearch(held)  # type: ignore[arg-type]
    held.open.set()
    with pytest.raises(GalleryClosedError):
        search(unit(1, 0)[0], 1)
