"""Directions that codes are made along."""

from __future__ import annotations

import numpy as np
import pytest

from index.vectors.projection import kept, learn, turned
from tests.index.vectors.kinds import DIM, drawn


def test_turned_directions_are_of_the_same_span() -> None:
    directions = learn(drawn(300, 2), 24)
    other = turned(directions)
    np.testing.assert_allclose(other @ other.T, np.eye(24), atol=1e-4)
    vectors = drawn(20, 3)
    np.testing.assert_allclose(
        np.linalg.norm(vectors @ other.T, axis=1), np.linalg.norm(vectors @ directions.T, axis=1), atol=1e-4
    )
    sizes = np.square(vectors @ other.T).mean(axis=0)
    assert sizes.max() / sizes.mean() < np.square(vectors @ directions.T).mean(axis=0).max() / sizes.mean()


def test_directions_keep_more_of_vectors_than_a_random_choice_does() -> None:
    vectors = drawn(400, 2)
    directions = learn(vectors[:300], 24)
    np.testing.assert_allclose(directions @ directions.T, np.eye(24), atol=1e-4)
    singular = np.linalg.svd(vectors[:300], compute_uv=False)
    best_possible = float((singular[:24] ** 2).sum() / (singular**2).sum())
    assert kept(vectors[:300], directions) == pytest.approx(best_possible, rel=1e-2)
    assert kept(vectors[300:], directions) > 0.75
    np.testing.assert_array_equal(learn(vectors, DIM), np.eye(DIM, dtype=np.float32))
