from __future__ import annotations

import numpy as np
import pytest
import torch

from models.manifest import BOTH_STAGES, FIRST_STAGE
from models.reranker import RerankerConfig, StripReranker
from tests.training.conftest import pretend
from training.evaluation.cross_camera import both_stages, cross_camera, cross_camera_row, pooled
from training.evaluation.metrics import REIDENTIFICATION, figure, figures, shown
from training.evaluation.result import won_and_lost
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


def test_each_camera_queries_the_others_images() -> None:
    found = cross_camera(features())
    assert [set(d.queries.cameras) for d in found] == [{"c0"}, {"c1"}]
    assert [set(d.gallery.cameras) for d in found] == [{"c1"}, {"c0"}]
    assert len(pooled(found).answerable().queries) == 28
    assert figures([pooled(found)], shown(REIDENTIFICATION)) == {
        "mAP": 100.0,
        "R1": 100.0,
        "R5": 100.0,
        "R10": 100.0,
        "mINP": 100.0,
    }


def test_the_second_stage_permutes_the_first_ten_and_leaves_the_tail() -> None:
    noisy = features(noise=1.0)
    before = cross_camera(noisy)
    after = cross_camera(noisy, StripReranker(RerankerConfig(strip_width=16, heads=4)))
    for first, both in zip(before, after, strict=True):
        np.testing.assert_array_equal(np.sort(first.positions[:, :10]), np.sort(both.positions[:, :10]))
        np.testing.assert_array_equal(first.positions[:, 10:], both.positions[:, 10:])


def test_won_and_lost_queries_explain_the_change_of_r1() -> None:
    noisy = features(noise=0.7)
    before = pooled(cross_camera(noisy))
    after = pooled(cross_camera(noisy, StripReranker(RerankerConfig(strip_width=16, heads=4))))
    won, lost = won_and_lost(before, after)
    # The strips of a vehicle are the same before both cameras: the second stage sees what the first missed.
    assert won > 0
    assert lost == 0
    gain = figure(after, "R1") - figure(before, "R1")
    assert gain * 28 / 100 == np.float64(won - lost).round(6)


def test_a_row_holds_each_camera_and_their_mean() -> None:
    found = cross_camera_row("ours", cross_camera(features(noise=0.8)))
    parts = found.by_querying_camera
    assert set(parts) == {"c0", "c1"}
    assert found.cmc[1] == pytest.approx((parts["c0"].cmc[1] + parts["c1"].cmc[1]) / 2)
    assert (found.name, found.protocol, found.queries) == ("ours", "cross-camera", 28)
    assert (found.won, found.lost) == (None, None)


def test_the_row_of_both_stages_says_what_the_second_has_moved() -> None:
    noisy = features(noise=0.7)
    first, both = both_stages(noisy, StripReranker(RerankerConfig(strip_width=16, heads=4)))
    assert (first.name, both.name) == (FIRST_STAGE, BOTH_STAGES)
    assert first.won is None
    assert both.won is not None
    assert both.lost is not None
    assert (both.cmc[1] - first.cmc[1]) * 28 / 100 == pytest.approx(both.won - both.lost)


def test_an_untrained_reranker_with_all_weight_on_the_first_stage_changes_nothing() -> None:
    noisy = features(noise=1.0)
    reranker = StripReranker(RerankerConfig(strip_width=16, heads=4, fusion=1e6))
    with torch.inference_mode():
        after = cross_camera(noisy, reranker)
    for first, both in zip(cross_camera(noisy), after, strict=True):
        np.testing.assert_array_equal(first.positions, both.positions)
