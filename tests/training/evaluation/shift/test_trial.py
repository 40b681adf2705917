"""A trial ranks by the protocol, and each remedy changes what it says and nothing else."""

from __future__ import annotations

import numpy as np

from tests.training.evaluation.shift.made_up import biased, features
from training.evaluation.shift.conditions import both_ways
from training.evaluation.shift.trial import Trial, Variant


class Oracle:
    """A second stage that knows: strips hold the vehicle's number."""

    candidates = 3

    def distances(self, probes: np.ndarray, candidates: np.ndarray, similarities: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.abs(candidates[..., 0, 0] - probes[:, None, 0, 0]).astype(np.float32)
        assert found.shape == similarities.shape
        return found


def test_a_gallery_image_of_the_querys_vehicle_and_camera_does_not_count() -> None:
    # By hand: the first image of a is nearest to its own neighbour before the same camera, then to b, then
    # to a before the other camera.
    c1 = features(["a", "a"], "c1", np.array([[1.0, 0], [1, 0.01]]))
    c2 = features(["a", "b"], "c2", np.array([[1, 1.0], [1, 0.5]]))
    everything = np.arange(4)
    trial = Trial("hand", (c1, c2), ((np.array([0]), everything),))
    (result,) = [trial.measure(None)[Variant.first]]
    assert [ranks.tolist() for ranks in result.ranks] == [[2]]
    assert result.vehicles.tolist() == ["a"]


def test_taking_cameras_out_undoes_what_cameras_did() -> None:
    first, second = biased(60, noise=0.15)
    found = Trial("t", (first, second), both_ways(first, second)).measure(None)
    assert set(found) == {Variant.first, Variant.normalised}
    share = {variant: float(np.mean(result.first == 1)) for variant, result in found.items()}
    assert share[Variant.first] < 0.5
    assert share[Variant.normalised] > 0.9


def test_statistics_are_of_the_known_parts_alone() -> None:
    first, second = biased(40, noise=0.2)
    # Bad probes before the first camera, far from all else.
    bad = features(first.vehicles.tolist(), "c1", np.asarray(first.descriptors) + 5 * np.eye(16)[0])
    searches = ((np.arange(40), 40 + np.arange(40)),)
    parts = (first, second)
    alone = Trial("t", parts, searches).measure(None)[Variant.normalised]
    beside = Trial("t", (*parts, bad), searches, known=2).measure(None)[Variant.normalised]
    counted = Trial("t", (*parts, bad), searches).measure(None)[Variant.normalised]
    assert [r.tolist() for r in alone.ranks] == [r.tolist() for r in beside.ranks]
    assert [r.tolist() for r in alone.ranks] != [r.tolist() for r in counted.ranks]


def test_the_second_stage_reorders_its_candidates_under_both_ways_of_ranking() -> None:
    first, second = biased(30, noise=0.8)
    strips = np.arange(30, dtype=np.float16).reshape(30, 1, 1)
    parts = tuple(
        features(part.vehicles.tolist(), camera, np.asarray(part.descriptors), strips)
        for part, camera in ((first, "c1"), (second, "c2"))
    )
    found = Trial("t", parts, both_ways(*parts)).measure(Oracle())
    assert set(found) == set(Variant)
    for variant in (Variant.both, Variant.both_normalised):
        against = variant.against
        assert against is not None
        before, after = found[against].first, found[variant].first
        assert np.array_equal(after, np.where(before <= 3, 1, before))
    assert not np.array_equal(found[Variant.first].first, found[Variant.normalised].first)


def test_without_cameras_nothing_is_taken_out_and_each_image_searches_all_others() -> None:
    images = features(["a", "a", "b", "b"], "", np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]]))
    everything = np.arange(4)
    found = Trial("classes", (images,), ((everything, everything),)).measure(None)
    assert list(found) == [Variant.first]
    assert [ranks.tolist() for ranks in found[Variant.first].ranks] == [[1]] * 4


def test_queries_of_several_searches_stay_apart() -> None:
    first, second = biased(5, noise=0.1)
    result = Trial("t", (first, second), both_ways(first, second)).measure(None)[Variant.first]
    assert len(set(result.queries.tolist())) == 10
    assert result.gallery == 5


def test_a_camera_without_known_images_gets_what_is_common_to_all() -> None:
    first, second = biased(40, noise=0.1)
    alone = Trial("t", (first, second), both_ways(first, second), known=1).measure(None)
    both = Trial("t", (first, second), both_ways(first, second)).measure(None)
    assert np.mean(alone[Variant.normalised].first == 1) < np.mean(both[Variant.normalised].first == 1)
