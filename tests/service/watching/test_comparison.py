"""New images raise alerts by the similarities, the normalisation and the threshold of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import RAW, CameraUse, Estimate, LocalGallery, NewWatch, Normalisation, Sightings, Watched
from service.watching.comparison import compare
from tests.index.samples import DIM, enrollment


def unit(*values: float) -> Any:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def watch(number: int = 1, **changes: Any) -> Watched:
    values: dict[str, Any] = {
        "id": number,
        "after": 0,
        "descriptor": unit(1, 0),
        "camera_id": None,
        "threshold": 0.8,
        "cameras": frozenset(),
    }
    return Watched(**(values | changes))


FOUND = Sightings(
    last=12,
    ids=np.array([10, 11, 12], np.int64),
    places=np.array([10, 11, 12], np.int64),
    cameras=["gate", None, "yard"],
    descriptors=np.stack([unit(1, 0), unit(1, 1), unit(2, 1)]),
)


def pairs(*watched: Watched, threshold: float | None = None) -> list[tuple[int, int]]:
    raised = compare(watched, FOUND, RAW, lambda _use: threshold)
    return [(one.watch_id, one.record_id) for one in raised]


def test_an_image_that_reaches_the_threshold_raises_an_alert() -> None:
    raised = compare([watch()], FOUND, RAW, lambda _use: None)
    assert [(one.record_id, round(one.similarity, 4)) for one in raised] == [(10, 1.0), (12, 0.8944)]
    assert {one.threshold for one in raised} == {0.8}
    exactly = float(unit(1, 0) @ FOUND.descriptors[2])
    assert pairs(watch(threshold=exactly)) == [(1, 10), (1, 12)]


def test_a_watch_without_a_threshold_takes_the_bundles_for_its_normalisation() -> None:
    assert pairs(watch(threshold=None), threshold=0.7) == [(1, 10), (1, 11), (1, 12)]
    assert pairs(watch(threshold=None)) == []


def test_a_watch_looks_at_its_cameras_and_at_what_came_after_it() -> None:
    assert pairs(watch(cameras=frozenset({"gate"})), watch(2, after=10)) == [(1, 10), (2, 12)]


def test_cameras_are_taken_out_as_a_search_does() -> None:
    asked: list[CameraUse] = []
    overall = Estimate(2, unit(1, 1), np.ones(2, np.float32))
    gate = Estimate(2, np.array([1, -1], np.float32), np.ones(2, np.float32))
    normalisation = Normalisation(1, 7, overall, {"gate": gate})

    def threshold_for(use: CameraUse) -> float:
        asked.append(use)
        return -1.0

    raised = compare(
        [watch(threshold=None, camera_id="gate"), watch(2, threshold=None)],
        FOUND,
        normalisation,
        threshold_for,
    )
    vehicles = normalisation.apply(np.stack([unit(1, 0)] * 2), ["gate", None])
    images = normalisation.apply(FOUND.descriptors, FOUND.cameras)
    expected = {
        (number, int(record)): float(images[row] @ vehicles[number - 1])
        for number in (1, 2)
        for row, record in enumerate(FOUND.ids)
    }
    assert {(one.watch_id, one.record_id): one.similarity for one in raised} == pytest.approx(expected)
    assert asked == ["known", "global"]


def test_the_similarity_is_that_of_a_search(tmp_path: Path) -> None:
    with LocalGallery.open(
        tmp_path, fingerprint="model-a", descriptor_dim=DIM, strips_shape=(2, 3)
    ) as gallery:
        gallery.enroll(enrollment("watched"))
        gallery.watches.add(NewWatch(image_id="watched", threshold=-1.0))
        gallery.enroll_many([enrollment(name) for name in "abc"])
        found = gallery.watches.unchecked(10)
        assert found is not None
        raised = compare(gallery.watches.watched(), found, gallery.cameras.normalisation(), lambda _use: None)
        probe = gallery.watches.watched()[0].descriptor[np.newaxis]
        searched = {match.record_id: match.similarity for match in gallery.search(probe, 4)[0]}
        assert {one.record_id: one.similarity for one in raised} == pytest.approx(
            {number: searched[number] for number in found.ids.tolist()}
        )
