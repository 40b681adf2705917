from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.evaluation.rankings import of_images, ranked
from training.evaluation.ranking import Ranking, rank_gallery, reorder_first


def test_ties_keep_the_gallery_order() -> None:
    assert rank_gallery(np.array([[0.5, 0.9, 0.5, 0.9]])).tolist() == [[1, 3, 0, 2]]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 4))
def test_only_the_first_are_re_ordered_and_equals_keep_their_order(distances: list[int], tail: int) -> None:
    order = np.arange(len(distances) + tail)[::-1]
    found = reorder_first(order, np.array(distances, dtype=np.float32))
    assert found[len(distances) :].tolist() == order[len(distances) :].tolist()
    by_loops = sorted(range(len(distances)), key=lambda place: distances[place])
    assert found[: len(distances)].tolist() == [order[place] for place in by_loops]


def test_the_same_vehicle_from_the_same_camera_is_left_out() -> None:
    found = ranked(np.array([[3.0, 2.0, 1.0]]), ["a"], ["c1"], ["a", "b", "a"], ["c1", "c2", "c2"])
    assert found.result().ranks[0].tolist() == [2]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([[0, 1]], r"shape \(1, 2\), not \(1, 3\)"),
        ([[0, 1, 1]], r"q0\.jpg: its ranking is no permutation"),
        ([[0, 1, 3]], r"q0\.jpg: its ranking is no permutation"),
        ([[0, 1, -1]], r"q0\.jpg: its ranking is no permutation"),
    ],
)
def test_what_is_no_permutation_of_the_gallery_is_refused(order: list[list[int]], message: str) -> None:
    queries, gallery = of_images("q", ["a"], ["c1"]), of_images("g", ["a", "b", "a"], ["c2"] * 3)
    with pytest.raises(ValueError, match=message):
        Ranking(queries, gallery, np.array(order))


def test_where_each_image_queries_all_others_none_ranks_itself() -> None:
    images = of_images("i", ["a", "a", "b"], ["", "", ""])
    found = Ranking(images, images, np.array([[1, 2], [2, 0], [0, 1]]))
    assert found.against_others
    assert [ranks.tolist() for ranks in found.result().ranks] == [[1], [2], []]
    with pytest.raises(ValueError, match=r"i1\.jpg: its ranking is no permutation"):
        replace(found, positions=np.array([[1, 2], [1, 2], [0, 1]]))
