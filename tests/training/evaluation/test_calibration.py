"""Threshold calibration: the rate that was asked for, how sure it is, and when it is refused."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.bundle import Bundle
from tests.service.command_line import Command
from tests.training.bundles import write_colour_bundle
from tests.training.datasets import trees
from training.commands.calibrate import alarms
from training.evaluation.calibration import (
    CalibrationError,
    calibrate,
    effective_pairs,
    wilson,
)
from training.evaluation.calibration_plot import plot_calibration
from training.evaluation.pairs import count_pairs
from training.evaluation.retrieval import Side
from training.evaluation.tail import pair_count
from training.evaluation.variants import normalised


def images(vehicles: int, seed: int = 0, *, cameras: int = 2, noise: float = 0.5, dim: int = 16) -> Side:
    """Each vehicle once before each camera."""
    source = np.random.default_rng(seed)
    own = np.repeat(source.normal(size=(vehicles, dim)), cameras, axis=0)
    store = normalised((own + noise * source.normal(size=own.shape)).astype(np.float32))
    names = np.repeat(np.arange(vehicles), cameras).astype(str)
    return Side(store, np.arange(len(store)), names, np.tile(np.arange(cameras), vehicles).astype(str))


def pairs(side: Side) -> tuple[list[float], list[float]]:
    """Similarities of pairs of one vehicle and of two, from two cameras, by loops."""
    same: list[float] = []
    different: list[float] = []
    for a, b in combinations(range(len(side)), 2):
        if side.cameras[a] != side.cameras[b]:
            kind = same if side.vehicles[a] == side.vehicles[b] else different
            kind.append(float(np.float32(side.store[a] @ side.store[b])))
    return same, different


@pytest.mark.slow
@given(st.integers(0, 10_000), st.sampled_from([1, 5000, 2**20]), st.sampled_from([0.1, 0.25, 0.5]))
@settings(max_examples=25, deadline=None)
def test_the_threshold_is_the_lowest_with_at_most_the_wanted_rate(
    seed: int, workspace: int, rate: float
) -> None:
    side = images(20, seed, cameras=3)
    same, different = pairs(side)
    found, _ = calibrate(side, rate, workspace=workspace)
    assert (found.negative_pairs, found.positive_pairs) == (len(different), len(same))
    # Similarities are summed in another order here, so those at the threshold may fall on either side.
    near = 2 / len(different)
    assert found.false_match_rate <= rate + near
    assert found.false_match_rate == pytest.approx(np.mean(np.array(different) >= found.similarity), abs=near)
    assert np.mean(np.array(different) >= found.similarity - 4e-6) > rate - near
    assert found.true_match_rate == pytest.approx(
        np.mean(np.array(same) >= found.similarity), abs=2 / len(same)
    )
    low, high = found.false_match_interval
    assert low <= found.false_match_rate <= high
    assert found.similarity_interval[0] <= found.similarity <= found.similarity_interval[1]


def test_pairs_of_one_camera_do_not_count() -> None:
    side = images(30)
    one = Side(side.store, side.rows, side.vehicles, np.full(len(side), "cam1"))
    curves = count_pairs(one)
    assert curves.same.sum() == curves.different.sum() == 0
    both = count_pairs(side)
    assert (both.same.sum(), both.different.sum()) == (30, 30 * 29)


def test_a_rate_that_the_pairs_are_too_few_for_is_refused_with_what_they_can_show() -> None:
    side = images(40)
    with pytest.raises(CalibrationError, match=r"1,560 pairs .* too few .* something of is 6\.4e-06"):
        calibrate(side, 1e-6)
    assert calibrate(side, 0.02)[0].counted
    with pytest.raises(CalibrationError, match="cannot show any rate"):
        calibrate(images(3), 1e-3)


def test_a_rate_too_low_to_count_is_followed_along_the_tail_and_no_pair_passes_that_was_seen() -> None:
    side = images(30)
    found, curves = calibrate(side, 1e-4)
    assert not found.counted
    _, different = pairs(side)
    assert found.similarity > max(different)
    assert found.false_match_rate == pytest.approx(1e-4, rel=0.05)
    low, high = found.false_match_interval
    # 870 pairs say little of one in 10,000, and the interval does not hide it.
    assert low < 5e-5 < 4e-4 < high
    assert found.similarity_interval[0] < found.similarity < found.similarity_interval[1]
    true_rates = curves.match_rates()[1]
    assert found.true_match_rate == true_rates[np.searchsorted(curves.edges, found.similarity)]


def test_the_tail_counts_pairs_as_loops_do() -> None:
    source = np.random.default_rng(0)
    seen, weights = source.integers(0, 3, (5, 3)), source.integers(0, 3, 5).astype(np.float64)
    rows = [(v, c) for v in range(5) for c in range(3) for _ in range(seen[v, c])]
    wanted = sum(
        weights[a] * weights[b] for (a, one), (b, other) in combinations(rows, 2) if a != b and one != other
    )
    assert pair_count(seen, weights) == pytest.approx(wanted)


@pytest.mark.slow
def test_the_interval_of_thirty_vehicles_covers_the_true_rate() -> None:
    rate = 1e-3
    truth = images(700, seed=1, dim=32)
    different = truth.store[::2] @ truth.store[1::2].T
    different = different[~np.eye(len(different), dtype=bool)]
    covered, draws = 0, 12
    for seed in range(draws):
        chosen = np.random.default_rng(seed).choice(700, 30, replace=False)
        rows = np.sort(np.concatenate((2 * chosen, 2 * chosen + 1)))
        found, _ = calibrate(Side(truth.store, rows, truth.vehicles[rows], truth.cameras[rows]), rate)
        low, high = found.false_match_interval
        covered += low <= float(np.mean(different >= found.similarity)) <= high
    assert covered >= 10


def test_without_a_vehicle_before_two_cameras_nothing_is_calibrated() -> None:
    side = images(60)
    alone = Side(side.store, side.rows, np.arange(len(side)).astype(str), side.cameras)
    with pytest.raises(CalibrationError, match="no vehicle was seen by two cameras"):
        calibrate(alone, 0.1)


def test_images_that_are_all_alike_give_no_threshold() -> None:
    side = images(30)
    alike = np.zeros_like(side.store)
    alike[:, 0] = 1
    with pytest.raises(CalibrationError, match="have similarity 1"):
        calibrate(Side(alike, side.rows, side.vehicles, side.cameras), 0.1)


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, 2.0])
def test_a_rate_outside_0_and_1_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibrate(images(5), rate)


def test_progress_counts_both_passes() -> None:
    counted: list[int] = []
    calibrate(images(30), 0.1, report=counted.append)
    assert counted == list(range(1, 121))


def test_wilsons_interval_is_the_published_one() -> None:
    # Newcombe (1998), table I: 81 of 263 and 0 of 20, method 3.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_pairs_that_share_a_vehicle_count_for_less_than_independent_ones() -> None:
    totals = np.full(50, 100)
    spread = np.full(50, 4)
    # All matches are those of two vehicles with each other and the rest.
    crowded = np.zeros(50, dtype=np.int64)
    crowded[:2] = 100
    assert spread.sum() == crowded.sum()
    assert effective_pairs(totals, spread) == 2500
    assert effective_pairs(totals, crowded) < 100


@pytest.mark.slow
def test_the_interval_covers_the_true_rate_as_often_as_it_says() -> None:
    # The true rate at a fixed threshold comes from many vehicles; samples of 40 are then drawn.
    covered, draws, rate = 0, 40, 0.1
    truth = images(700, seed=1)
    similarities = truth.store[::2] @ truth.store[1::2].T
    different = similarities[~np.eye(len(similarities), dtype=bool)]
    for seed in range(draws):
        chosen = np.random.default_rng(seed).choice(700, 40, replace=False)
        rows = np.sort(np.concatenate((2 * chosen, 2 * chosen + 1)))
        found, _ = calibrate(Side(truth.store, rows, truth.vehicles[rows], truth.cameras[rows]), rate)
        true = float(np.mean(different >= found.similarity))
        low, high = found.false_match_interval
        covered += low <= true <= high
    assert covered >= 0.85 * draws


@pytest.mark.slow
def test_the_plot_is_an_image_with_something_on_it(tmp_path: Path) -> None:
    side = images(40)
    found, curves = calibrate(side, 0.05)
    plot_calibration(found, curves, "title", tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as plot:
        assert plot.width > 1000
        assert len(plot.convert("RGB").getcolors(2**20) or []) > 20


@pytest.mark.slow
def test_the_command_writes_the_threshold_and_leaves_the_fingerprint(
    tmp_path: Path, command: Command
) -> None:
    bundle = write_colour_bundle(tmp_path / "bundle")
    before = Bundle.load(bundle)
    words = ["--bundle", bundle, "--data", trees.manifest(tmp_path / "data", 30), "--false-match-rate", 0.05]
    words += ["--plot", tmp_path / "plot.png"]
    outcome = command("calibrate", *words, "--no-write")
    assert outcome.code == 0
    assert "left as it is" in outcome.out
    assert Bundle.load(bundle) == before
    outcome = command("calibrate", *words, "--json")
    answer = json.loads(outcome.out)
    after = Bundle.load(bundle)
    assert after.fingerprint == before.fingerprint
    assert after.manifest.threshold is not None
    assert after.manifest.threshold.similarity == answer["similarity"]
    assert after.manifest.threshold.false_match_rate <= 0.05
    assert after.manifest.threshold.measured_on.startswith(
        "data (manifest), all against all: 60 images of 30"
    )
    assert (tmp_path / "plot.png").is_file()
    normalised = after.manifest.normalised_threshold
    assert normalised is not None
    assert normalised.similarity == answer["normalised"]["similarity"] != answer["similarity"]
    assert normalised.false_match_rate <= 0.05
    assert after.manifest.threshold_for("known") == after.manifest.threshold_for("global") == normalised
    assert after.manifest.threshold_for("off") == after.manifest.threshold


@pytest.mark.slow
def test_the_command_answers_in_false_alarms_per_search(tmp_path: Path, command: Command) -> None:
    bundle = write_colour_bundle(tmp_path / "bundle")
    words = [
        "--bundle",
        bundle,
        "--data",
        trees.manifest(tmp_path / "data", 30),
        "--plot",
        tmp_path / "p.png",
    ]
    words += ["--false-alarms", 0.5, "--gallery", 500]
    outcome = command("calibrate", *words)
    assert outcome.code == 0, outcome.err
    assert "per search in a gallery of 500" in outcome.out
    assert "too few pairs to count" in outcome.out
    threshold = Bundle.load(bundle).manifest.threshold
    assert threshold is not None
    assert threshold.measured_on.endswith("at most 0.5 false alarms per search in a gallery of 500")
    assert threshold.false_match_interval is not None
    assert threshold.false_match_rate <= 1e-3 < threshold.false_match_interval[1]


def test_the_command_refuses_and_leaves_the_bundle(tmp_path: Path, command: Command) -> None:
    bundle = write_colour_bundle(tmp_path / "bundle")
    outcome = command("calibrate", "--bundle", bundle, "--data", trees.manifest(tmp_path / "data", 5))
    assert (outcome.code, outcome.out) == (2, "")
    assert "too few for a false-match rate of 0.001" in outcome.err
    assert Bundle.load(bundle).manifest.threshold is None
    assert not Path("calibration.png").exists()


def test_false_alarms_are_printed_without_powers_of_ten() -> None:
    assert [alarms(number) for number in (0, 1.9e-5, 0.0012, 0.71, 12)] == [
        "0",
        "less than 0.001",
        "0.0012",
        "0.71",
        "12",
    ]
