"""The benchmark of index kinds measures a gallery that is like real descriptors, and right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.index import Exact, enroll, measured
from benchmarks.index_data import IMAGES_A_VEHICLE, Drawn, Real, character, unit
from benchmarks.index_stages import right_answers
from index import Kind

DIM = 64
COUNT = 800


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    random = np.random.default_rng(0)
    vehicles = np.repeat(np.arange(100), 2)
    centres = random.standard_normal((100, DIM)) * np.linspace(2, 0.1, DIM)
    images = centres[vehicles] + 0.3 * random.standard_normal((200, DIM))
    return Drawn(Real(unit(images.astype(np.float32)), vehicles))


def test_drawn_images_are_as_alike_as_real_ones(drawn: Drawn) -> None:
    pieces = list(drawn.gallery(COUNT, 100))
    descriptors = np.concatenate([piece for _, piece in pieces])
    vehicles = np.concatenate([of for of, _ in pieces])
    assert descriptors.shape == (COUNT, DIM)
    assert np.bincount(vehicles).tolist() == [IMAGES_A_VEHICLE] * (COUNT // IMAGES_A_VEHICLE)
    here = character(descriptors, vehicles)
    real = character(drawn._real.descriptors, drawn._real.vehicles)
    assert here["similarity of one vehicle's"] == pytest.approx(real["similarity of one vehicle's"], abs=0.08)
    assert here["spread in 16 directions"] == pytest.approx(real["spread in 16 directions"], abs=0.1)
    again = np.concatenate([piece for _, piece in drawn.gallery(COUNT, 150)])
    np.testing.assert_array_equal(again, descriptors)


def test_queries_are_images_of_the_gallerys_vehicles_and_not_in_it(drawn: Drawn) -> None:
    vehicles, queries = drawn.queries(COUNT, 20)
    descriptors = np.concatenate([piece for _, piece in drawn.gallery(COUNT, 100)])
    assert (queries @ descriptors.T).max() < 0.9999
    assert len(set(vehicles.tolist())) == 20
    assert vehicles.max() < COUNT // IMAGES_A_VEHICLE


def test_the_nearest_are_kept_while_images_stream_by(drawn: Drawn) -> None:
    _, queries = drawn.queries(COUNT, 5)
    descriptors = np.concatenate([piece for _, piece in drawn.gallery(COUNT, 100)])
    exact = Exact(queries)
    for first in range(0, COUNT, 130):
        exact.add(descriptors[first : first + 130], first)
    np.testing.assert_array_equal(exact.nearest, np.argsort(-(queries @ descriptors.T), axis=1)[:, :10])


@pytest.mark.slow
def test_a_flat_index_finds_all_and_codes_nearly_all(drawn: Drawn, tmp_path: Path) -> None:
    vehicles, queries = drawn.queries(COUNT, 20)
    exact = Exact(queries)
    enroll(tmp_path, drawn, COUNT, exact)
    kinds: tuple[Kind, ...] = ("flat", "compressed")
    found = {kind: measured(tmp_path, kind, queries, vehicles, exact) for kind in kinds}
    # Neighbours that float16 cannot tell apart may change places.
    assert found["flat"]["recall"] >= 0.99
    assert found["compressed"]["recall"] >= 0.97
    for row in found.values():
        assert row["R1"] > 0.9
        assert 0 < row["p50"] <= row["p95"]


def test_a_gallery_that_was_kept_is_measured_again_and_never_with_other_queries(
    drawn: Drawn, tmp_path: Path
) -> None:
    first = Exact(drawn.queries(COUNT, 5)[1])
    first.kept_in(tmp_path, lambda: enroll(tmp_path, drawn, COUNT, first))
    again = Exact(drawn.queries(COUNT, 5)[1])
    again.kept_in(tmp_path, lambda: pytest.fail("enrolled a second time"))
    np.testing.assert_array_equal(again.nearest, first.nearest)
    with pytest.raises(SystemExit, match="holds a gallery of other images"):
        Exact(drawn.queries(COUNT, 6)[1]).kept_in(tmp_path, lambda: None)


@pytest.mark.slow
def test_both_stages_answer_with_the_nearest_of_real_images() -> None:
    random = np.random.default_rng(0)
    shape = (16, 128)
    vehicles = np.repeat(np.arange(300), 2)
    images = random.standard_normal((300, DIM))[vehicles] + 0.02 * random.standard_normal((600, DIM))
    strips = random.standard_normal((300, *shape))[vehicles].astype(np.float16)
    first, both, size, number = right_answers(Real(unit(images.astype(np.float32)), vehicles, strips), "flat")
    assert (first, both, size, number) == (1, 1, 300, 300)
