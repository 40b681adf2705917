"""Normalising: what it takes out, that it does not depend on company, and how far estimates have moved."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from index.cameras.estimation import (
    AUTO_CAMERAS,
    AUTO_IMAGES,
    Estimates,
    are_known,
    estimate,
    is_wanted,
    weight,
)
from index.cameras.normalisation import RAW, Normalisation
from index.cameras.sums import CameraSums, Sums

DIM = 24


def unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


def camera_images(count: int, seed: int, tint: float = 3.0) -> NDArray[np.float32]:
    """Descriptors that have a camera in common."""
    random = np.random.default_rng(seed)
    common = tint * random.standard_normal(DIM)
    return unit(random.standard_normal((count, DIM)) + common)


def known(tint: float = 3.0, **counts: int) -> dict[str, CameraSums]:
    nothing = Sums.nothing(DIM)
    return {
        name: CameraSums(name, Sums.of(camera_images(count, seed, tint)), nothing)
        for seed, (name, count) in enumerate(counts.items())
    }


def version_of(estimates: Estimates | None) -> Normalisation:
    assert estimates is not None
    return Normalisation(1, 7, estimates.overall, estimates.cameras)


def test_a_camera_with_many_images_is_taken_out_of_its_descriptors() -> None:
    normalisation = version_of(estimate(known(a=2000, b=2000)))
    rows = camera_images(2000, 0)
    assert np.linalg.norm(rows.mean(axis=0)) > 0.7
    assert np.linalg.norm(normalisation.apply(rows, ["a"] * 2000).mean(axis=0)) < 0.05


def test_what_comes_out_has_unit_length_and_is_the_same_whatever_is_beside_it() -> None:
    normalisation = version_of(estimate(known(a=40, b=3)))
    rows = np.concatenate([camera_images(9, 0), camera_images(9, 5)])
    cameras = ["a", None, "b", "unheard of"] * 4 + ["a", "b"]
    together = normalisation.apply(rows, cameras)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-6)
    alone = [normalisation.apply(rows[n : n + 1], cameras[n : n + 1])[0] for n in range(len(rows))]
    np.testing.assert_array_equal(together, np.stack(alone))


def test_an_unknown_camera_and_none_get_the_estimate_of_all() -> None:
    normalisation = version_of(estimate(known(a=40, b=40)))
    rows = camera_images(4, 0)
    unknown = normalisation.apply(rows, ["unheard of"] * 4)
    np.testing.assert_array_equal(unknown, normalisation.apply(rows, [None] * 4))
    assert not np.array_equal(unknown, normalisation.apply(rows, ["a"] * 4))
    assert [normalisation.use(camera) for camera in ("a", "unheard of", None)] == [
        "known",
        "global",
        "global",
    ]


def test_without_estimates_descriptors_are_the_very_ones() -> None:
    rows = camera_images(3, 0)
    assert RAW.apply(rows, ["a"] * 3) is rows
    assert RAW.use("a") == "off"


def test_the_fewer_images_a_camera_has_the_nearer_its_estimate_is_to_that_of_all() -> None:
    shares = []
    for count in (1, 3, 10, 100, 1000):
        own = Sums.of(camera_images(count, 0))
        cameras = {"b": known(z=1, b=1000)["b"], "a": CameraSums("a", own, Sums.nothing(DIM))}
        estimates = estimate(cameras)
        assert estimates is not None
        mean, overall = estimates.cameras["a"].mean, estimates.overall.mean
        shares.append(float(np.linalg.norm(mean - overall) / np.linalg.norm(own.mean() - overall)))
        assert shares[-1] == pytest.approx(weight(own, estimates), rel=1e-4)
        assert np.isfinite(estimates.cameras["a"].deviation).all()
        assert (estimates.cameras["a"].deviation > 0).all()
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(1 / 3)
    assert shares[-1] > 0.99


def test_one_vehicle_again_and_again_counts_as_little_as_one_image_of_it() -> None:
    nothing = Sums.nothing(DIM)
    several, one = camera_images(30, 0), camera_images(1, 0)
    found = {}
    for name, rows in (("varied", several), ("once", one), ("again", np.repeat(one, 30, axis=0))):
        cameras = {"b": known(b=1000)["b"], "a": CameraSums("a", Sums.of(rows), nothing)}
        found[name] = weight(cameras["a"].pooled, estimate(cameras))
    assert found["once"] == found["again"] == pytest.approx(1 / 3)
    assert found["varied"] > 0.5


def test_images_of_both_sources_count_for_a_cameras_estimate() -> None:
    rows = camera_images(60, 0)
    other = known(b=50)["b"]
    split = CameraSums("a", Sums.of(rows[:20]), Sums.of(rows[20:]))
    whole = CameraSums("a", Sums.of(rows), Sums.nothing(DIM))
    found = [estimate({"a": camera, "b": other}) for camera in (split, whole)]
    assert found[0] is not None
    assert found[1] is not None
    np.testing.assert_array_equal(found[0].cameras["a"].mean, found[1].cameras["a"].mean)
    assert found[0].cameras["a"].count == 60


def test_half_of_the_mean_of_all_is_taken_out_of_an_unknown_camera() -> None:
    cameras = known(a=30, b=10)
    estimates = estimate(cameras)
    assert estimates is not None
    mean = (cameras["a"].pooled + cameras["b"].pooled).mean()
    np.testing.assert_allclose(estimates.overall.mean, mean / 2, rtol=1e-6)


def test_images_without_a_camera_count_for_the_estimate_of_all_alone() -> None:
    cameras = known(a=30, nobody=30)
    cameras[""] = CameraSums("", cameras.pop("nobody").enrolled, Sums.nothing(DIM))
    estimates = estimate(cameras)
    assert estimates is not None
    assert list(estimates.cameras) == ["a"]
    assert estimates.overall.count == 60


@pytest.mark.parametrize("rows", [camera_images(1, 0), np.repeat(camera_images(1, 0), 50, axis=0)])
def test_one_image_however_often_gives_no_estimate(rows: NDArray[np.float32]) -> None:
    assert estimate({"a": CameraSums("a", Sums.of(rows), Sums.nothing(DIM))}) is None
    assert estimate({}) is None


def test_a_dimension_in_which_nothing_differs_does_not_explode() -> None:
    rows = camera_images(50, 0)
    rows[:, 3] = 0.0
    normalisation = version_of(estimate({"a": CameraSums("a", Sums.of(rows), Sums.nothing(DIM))}))
    probe = rows[:1].copy()
    probe[0, 3] = 0.01
    before, after = normalisation.apply(np.concatenate([rows[:1], probe]), ["a", "a"])
    assert float(before @ after) > 0.9


def test_drift_is_the_share_by_which_descriptors_move() -> None:
    former = version_of(estimate(known(a=400, b=400)))
    rows = camera_images(3000, 0)
    moved = known(a=400, b=400)
    moved["a"] = CameraSums("a", Sums.of(rows[:700]), Sums.nothing(DIM))
    estimates = estimate(moved)
    assert estimates is not None
    drift = estimates.drift(former)
    old, new = former.estimate("a"), estimates.cameras["a"]
    assert old is not None
    scaled = [(rows - of.mean) / of.deviation for of in (old, new)]
    measured = np.sqrt(((scaled[1] - scaled[0]) ** 2).mean() / (scaled[0] ** 2).mean())
    assert drift["a"] == pytest.approx(float(measured), rel=0.2)
    assert drift["b"] < drift["a"]
    assert estimate(known(a=400, b=400)).drift(former) == {"a": 0.0, "b": 0.0}  # type: ignore[union-attr]


def test_auto_waits_for_two_cameras_with_enough_images_and_lets_go_at_half_of_them() -> None:
    enough, half = AUTO_IMAGES, -(-AUTO_IMAGES // 2)
    assert AUTO_CAMERAS == 2
    assert not is_wanted("auto", known(1.0, a=10 * enough), is_on=False)
    assert not is_wanted("auto", known(1.0, a=enough, b=enough - 1), is_on=False)
    assert is_wanted("auto", known(1.0, a=enough, b=enough), is_on=False)
    assert is_wanted("auto", known(1.0, a=enough, b=half), is_on=True)
    assert not is_wanted("auto", known(1.0, a=enough, b=half - 1), is_on=True)
    assert is_wanted("on", known(a=1), is_on=False)
    assert not is_wanted("off", known(a=enough, b=enough), is_on=True)


def test_auto_does_not_count_a_camera_that_has_seen_one_vehicle_again_and_again() -> None:
    """What its images have in common is the vehicle: taken out, the vehicle would not be found."""
    alike, more_alike = 1.9, 3.0
    counts = {"a": 5 * AUTO_IMAGES, "b": 5 * AUTO_IMAGES}
    assert not is_wanted("auto", known(alike, **counts), is_on=False)
    assert is_wanted("auto", known(alike, **counts), is_on=True), "it lets go later than it begins"
    assert not is_wanted("auto", known(more_alike, **counts), is_on=True)
    assert is_wanted("on", known(more_alike, **counts), is_on=False)
    assert are_known(known(more_alike, **counts)), "a threshold for `on` can be found all the same"
    assert not are_known(known(1.0, a=5 * AUTO_IMAGES, b=AUTO_IMAGES - 1))
    one_traffic = known(1.0, a=50) | known(more_alike, b=50)
    assert not is_wanted("auto", one_traffic, is_on=False)
    assert is_wanted("auto", one_traffic | {"c": known(1.0, x=1, c=50)["c"]}, is_on=False)
