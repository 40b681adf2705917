from __future__ import annotations

import numpy as np
import torch

from models.reranker import RerankerConfig, StripReranker
from tests.training.conftest import pretend
from training.evaluation.cross_camera import directions, pooled_accuracy, results, won_and_lost
from training.features.extract import Features


def features(vehicles: int = 14, noise: float = 0.0, seed: int = 0) -> Features:
    """Two cameras' images; each vehicle has its own direction, disturbed by noise."""
    source = np.random.default_rng(seed)
    images = pretend(vehicles)
    own = np.repeat(np.eye(vehicles, dtype=np.float32), 2, axis=0)
    descriptors = own + noise * source.normal(size=own.shape).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    strips = np.repeat(source.normal(size=(vehicles, 4, 16)), 2, axis=0).astype(np.float32)
    return Features(images, descriptors, strips)


def test_each_camera_queries_the_others_pictures() -> None:
    found = directions(features())
    assert [set(d.queries.cameras) for d in found] == [{"c0"}, {"c1"}]
    assert [set(d.gallery.cameras) for d in found] == [{"c1"}, {"c0"}]
    assert pooled_accuracy(found).row() == {
        "queries": 28,
        "mAP": 100.0,
        "R1": 100.0,
        "R5": 100.0,
        "R10": 100.0,
        "mINP": 100.0,
    }


def test_the_second_stage_permutes_the_first_ten_and_leaves_the_tail() -> None:
    noisy = features(noise=1.0)
    before = directions(noisy)
    after = directions(noisy, StripReranker(RerankerConfig(strip_width=16, heads=4)))
    for first, both in zip(before, after, strict=True):
        np.testing.assert_array_equal(np.sort(first.ranking[:, :10]), np.sort(both.ranking[:, :10]))
        np.testing.assert_array_equal(first.ranking[:, 10:], both.ranking[:, 10:])


def test_won_and_lost_queries_explain_the_change_of_r1() -> None:
    noisy = features(noise=0.7)
    before = directions(noisy)
    after = directions(noisy, StripReranker(RerankerConfig(strip_width=16, heads=4)))
    won, lost = won_and_lost(before, after)
    # The strips of a vehicle are the same before both cameras: the second stage sees what the first missed.
    assert won > 0
    assert lost == 0
    gain = pooled_accuracy(after).cmc[1] - pooled_accuracy(before).cmc[1]
    assert gain * 28 / 100 == np.float64(won - lost).round(6)


def test_results_hold_each_direction_and_their_mean() -> None:
    found = results(directions(features(noise=0.8)))
    parts = found["by_querying_camera"]
    assert set(parts) == {"c0", "c1"}
    assert abs(found["R1"] - (parts["c0"]["R1"] + parts["c1"]["R1"]) / 2) <= 0.1


def test_an_untrained_reranker_with_all_weight_on_the_first_stage_changes_nothing() -> None:
    noisy = features(noise=1.0)
    reranker = StripReranker(RerankerConfig(strip_width=16, heads=4, fusion=1e6))
    with torch.inference_mode():
        after = directions(noisy, reranker)
    for first, both in zip(directions(noisy), after, strict=True):
        np.testing.assert_array_equal(first.ranking, both.ranking)
