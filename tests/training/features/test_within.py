"""The directions in which images of one vehicle differ."""

from __future__ import annotations

import numpy as np
import pytest

from training.features.within import deviations, directions

RANDOM = np.random.default_rng(0)


def scattered(vehicles: int, images: int, along: np.ndarray, strength: float) -> tuple[np.ndarray, list[str]]:
    """Descriptors of vehicles that differ in all directions, and their images mostly along one."""
    centres = RANDOM.normal(size=(vehicles, len(along))).repeat(images, axis=0)
    noise = 0.01 * RANDOM.normal(size=centres.shape)
    found = centres + noise + strength * RANDOM.normal(size=(len(centres), 1)) * along
    return found.astype(np.float32), np.arange(vehicles).repeat(images).astype(str).tolist()


def test_deviations_give_the_covariance_within_vehicles() -> None:
    descriptors = RANDOM.normal(size=(7, 5)).astype(np.float32)
    vehicles = ["a", "b", "a", "c", "b", "a", "c"]
    wanted = np.zeros((5, 5))
    for name in "abc":
        own = descriptors[[i for i, each in enumerate(vehicles) if each == name]]
        wanted += (len(own) - 1) * np.cov(own, rowvar=False, ddof=1)
    rows = deviations(descriptors, vehicles)
    np.testing.assert_allclose(rows.T @ rows, wanted / (7 - 3), atol=1e-6)


def test_vehicles_of_one_image_each_are_refused() -> None:
    with pytest.raises(ValueError, match="2 vehicles have one image each"):
        deviations(np.eye(2, dtype=np.float32), ["a", "b"])


def test_what_images_of_a_vehicle_differ_in_is_found_and_taken_out() -> None:
    along = np.zeros(20)
    along[3] = 1.0
    found = directions([deviations(*scattered(30, 4, along, 2.0))], most=1, softness=0.0)
    assert found.shape == (20, 1)
    assert abs(found[3, 0]) > 0.999
    assert np.linalg.norm(found[:, 0]) == pytest.approx(1, abs=1e-6)


def test_columns_are_orthogonal_and_soft_ones_shorter_where_there_is_less_variance() -> None:
    along = np.ones(20) / np.sqrt(20)
    rows = deviations(*scattered(30, 4, along, 1.0))
    hard = directions([rows], most=6, softness=0.0)
    soft = directions([rows], most=6, softness=0.5)
    np.testing.assert_allclose(hard.T @ hard, np.eye(6), atol=1e-5)
    lengths = np.linalg.norm(soft, axis=0)
    assert (np.diff(lengths) < 0).all()
    values = np.sort(np.linalg.eigvalsh(rows.T @ rows))[::-1][:6]
    left = 0.5 * values.mean()
    np.testing.assert_allclose(1 - lengths**2, np.sqrt(left / (values + left)), rtol=1e-4)


def test_data_sets_of_different_size_count_alike() -> None:
    first, second = np.eye(20)[3], np.eye(20)[7]
    large, small = scattered(200, 4, first, 1.0), scattered(10, 4, second, 1.0)
    found = directions([deviations(*large), deviations(*small)], most=2, softness=0.0)
    assert (np.linalg.norm(found[[3, 7]], axis=1) > 0.99).all()


def test_there_are_no_more_columns_than_images_give() -> None:
    rows = deviations(RANDOM.normal(size=(6, 20)).astype(np.float32), ["a", "a", "b", "b", "c", "c"])
    assert directions([rows], most=9, softness=0.1).shape == (20, 3)
