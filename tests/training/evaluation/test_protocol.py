"""A data set's tasks measured: fixed galleries, drawn ones, and each way in a row of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.inputspec import InputSpec
from models.preprocessing import Pixels, normalise
from tests.service.command_line import Command
from tests.training.bundles import write_colour_bundle
from tests.training.datasets import trees
from training.datasets.dataset import Dataset, Task
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.layouts import open_dataset
from training.evaluation.descriptors import Described, describe
from training.evaluation.measurement import Measurement, Way
from training.evaluation.protocol import REPEATS, choose_task, evaluate, measure
from training.evaluation.retrieval import Side
from training.evaluation.variants import add_flipped, centring, expanded, normalised


@dataclass(frozen=True)
class Embeddings:
    descriptors: NDArray[np.float32]
    strips: NDArray[np.float16] | None


@dataclass
class Halves:
    """Mean colours of the left and of the right half, as descriptor and as strips."""

    input: InputSpec = field(default_factory=lambda: InputSpec(height=16, width=16))
    descriptor_dim: int = 6
    strips: tuple[int, int] | None = (2, 3)
    embedded: int = 0

    def embed(self, images: Pixels) -> Embeddings:
        self.embedded += len(images)
        pixels = normalise(images, self.input)
        halves = pixels.reshape(len(images), 3, 16, 2, 8).mean(axis=(2, 4)).transpose(0, 2, 1)
        return Embeddings(normalised(halves.reshape(-1, 6)), halves.astype(np.float16))


@dataclass
class Backwards:
    """A second stage that turns the first three around."""

    candidates: int = 3

    def distances(
        self,
        probes: NDArray[np.float16],
        candidates: NDArray[np.float16],
        similarities: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        assert probes.shape == (1, 2, 3)
        assert candidates.shape[:2] == similarities.shape
        return similarities


@dataclass
class Loaded:
    embedder: Halves = field(default_factory=Halves)
    reranker: Backwards | None = field(default_factory=Backwards)


class Quiet:
    def __init__(self) -> None:
        self.parts: dict[str, tuple[int, int]] = {}

    def start(self, name: str, total: int) -> Callable[[int], None]:
        def report(done: int) -> None:
            self.parts[name] = (done, total)

        return report


def pretend(vehicles: int, cameras: int = 2, each: int = 1) -> list[VehicleImage]:
    return [
        VehicleImage(Path(f"{v}_{c}_{n}"), f"v{v}", f"c{c}")
        for v in range(vehicles)
        for c in range(cameras)
        for n in range(each)
    ]


def described(images: list[VehicleImage], noise: float = 0.0, dim: int = 32) -> Described:
    """Descriptors that know the vehicle, disturbed by noise."""
    source = np.random.default_rng(0)
    vehicles = sorted({image.vehicle_id for image in images})
    own = source.normal(size=(len(vehicles), dim))
    rows = [own[vehicles.index(i.vehicle_id)] + noise * source.normal(size=dim) for i in images]
    return Described(images, normalised(np.array(rows, dtype=np.float32)), None)


def ranks(measured: Measurement) -> list[list[list[int]]]:
    return [[each.tolist() for each in result.ranks] for result in measured.results]


def test_every_way_has_a_row_of_its_own_and_the_plain_one_is_never_touched(tmp_path: Path) -> None:
    dataset = open_dataset(trees.veri776(tmp_path, test=8))
    progress = Quiet()
    rows = {row.way: row for row in evaluate(dataset, Loaded(), list(Way), progress)}
    assert list(rows) == list(Way)
    [plain] = evaluate(dataset, Loaded(), [Way.plain], Quiet())
    assert ranks(rows[Way.plain]) == ranks(plain)
    assert {row.queries for row in rows.values()} == {16}
    assert {row.result.gallery for row in rows.values()} == {32}
    assert len({row.figures()["mAP"] for row in rows.values()}) == len(Way)
    assert all(done == total for done, total in progress.parts.values())


def test_images_are_embedded_once_for_all_tasks_and_once_more_for_the_flip(tmp_path: Path) -> None:
    dataset = open_dataset(trees.veriwild(tmp_path))
    models = Loaded()
    rows = list(evaluate(dataset, models, [Way.plain, Way.centring], Quiet()))
    assert models.embedder.embedded == 8
    assert [(row.task.name, row.way) for row in rows] == [
        (size, way) for way in (Way.plain, Way.centring) for size in ("3000", "5000", "10000")
    ]
    list(evaluate(dataset, models, [Way.plain, Way.flip], Quiet()))
    assert models.embedder.embedded == 8 + 16


def test_the_second_stage_re_orders_the_first_candidates() -> None:
    images = pretend(1, cameras=5)
    # From the probe's side: c1 nearest, then c2 ... c4; only c2 is another vehicle.
    images[2] = VehicleImage(Path("other"), "other", "c2")
    angles = np.linspace(0, 1, 5)
    store = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    strips = np.zeros((5, 2, 3), dtype=np.float16)
    task = Task("test", images[:1], images[1:])
    made = Described(images, store, strips)
    plain = measure(task, made, Way.plain, Backwards(), Quiet())
    both = measure(task, made, Way.reranked, Backwards(), Quiet())
    # c1 other c3 c4 becomes c3 other c1 c4: the same places.
    assert ranks(both) == ranks(plain)
    images[1], images[2] = images[2], images[1]
    task = Task("test", images[:1], [images[2], images[1], *images[3:]])
    made = Described([images[0], images[2], images[1], *images[3:]], store, strips)
    first = measure(task, made, Way.plain, Backwards(2), Quiet())
    turned = measure(task, made, Way.reranked, Backwards(2), Quiet())
    assert (first.figures()["R1"], turned.figures()["R1"]) == (100.0, 0.0)


def test_vehicleid_is_the_mean_over_ten_random_galleries() -> None:
    images = [VehicleImage(Path(f"{v}_{n}"), f"v{v}", "") for v in range(12) for n in range(4)]
    made = described(images, noise=1.2)
    row = measure(Task("800", images, None), made, Way.plain, None, Quiet())
    assert (len(row.results), row.result.gallery, row.queries) == (REPEATS, 12, 36)
    spread = row.spread()
    assert spread is not None
    assert spread["mAP"] > 0
    # One correct match a query: average precision and inverse penalty are both one over its rank.
    assert row.figures()["mAP"] == pytest.approx(row.figures()["mINP"])
    assert ranks(measure(Task("800", images, None), made, Way.plain, None, Quiet())) == ranks(row)


def test_images_of_unknown_camera_are_left_out_of_nothing_but_their_own_query() -> None:
    images = [VehicleImage(Path(f"{v}_{n}"), f"v{v}", "") for v in range(5) for n in range(3)]
    row = measure(Task("all", images, images), described(images), Way.plain, None, Quiet())
    assert row.queries == 15
    assert row.figures()["mAP"] == pytest.approx(100.0)


def test_ways_that_do_not_apply_give_no_row(tmp_path: Path) -> None:
    dataset = open_dataset(trees.vehicleid(tmp_path))
    ways = {row.way for row in evaluate(dataset, Loaded(reranker=None), list(Way), Quiet())}
    assert ways == {Way.plain, Way.expansion, Way.flip}
    flips = Loaded(Halves(InputSpec(height=16, width=16, flip=True)), reranker=None)
    ways = {row.way for row in evaluate(dataset, flips, list(Way), Quiet())}
    assert ways == {Way.plain, Way.expansion}, "mirrored once more it would be the same"


def test_centring_takes_each_cameras_mean_out() -> None:
    images = pretend(40)
    made = described(images, noise=0.3)
    cameras = made.cameras
    shifted = made.descriptors + np.where(cameras == "c1", 3.0, 0.0)[:, None].astype(np.float32)
    made = Described(images, normalised(shifted), None)
    change = centring(made.descriptors, cameras, block=7)
    centred = made.side(images, change).block(0, len(images))
    np.testing.assert_allclose(np.linalg.norm(centred, axis=1), 1, rtol=1e-5)
    before = measure(Task("all", images, images), made, Way.plain, None, Quiet())
    after = measure(Task("all", images, images), made, Way.centring, None, Quiet())
    assert after.figures()["mAP"] > before.figures()["mAP"]


def test_expansion_adds_neighbours_of_other_cameras_by_their_similarity() -> None:
    store = normalised(np.array([[1, 0, 0], [1, 1, 0], [1, 0.1, 0], [-1, 0, 0]], dtype=np.float32))
    labels = np.array(["a"] * 4), np.array(["c1", "c2", "c1", "c2"])
    queries = Side(store, np.array([0]), labels[0][:1], labels[1][:1])
    gallery = Side(store, np.arange(4), *labels)
    found = expanded(queries, gallery, neighbours=3, alpha=3).block(0, 1)[0]
    # Row 2 is of the query's own camera and row 3 looks the other way: row 1 alone takes part.
    expected = store[0] + (store[0] @ store[1]) ** 3 * store[1]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), rtol=1e-6)


def test_flip_augmentation_sees_an_image_and_its_mirror_alike(tmp_path: Path) -> None:
    dataset = open_dataset(trees.veri776(tmp_path))
    embedder = Halves()
    made = describe(embedder, dataset.train)
    plain = made.descriptors.copy()
    mirrored = plain.reshape(-1, 2, 3)[:, ::-1].reshape(-1, 6)
    add_flipped(made.descriptors, slice(0, len(plain)), mirrored)
    halves = made.descriptors.reshape(-1, 2, 3)
    np.testing.assert_allclose(halves[:, 0], halves[:, 1], atol=1e-6)
    assert not np.allclose(plain, made.descriptors)


def test_an_image_that_does_not_decode_is_named_with_its_row(tmp_path: Path) -> None:
    dataset = open_dataset(trees.veri776(tmp_path))
    dataset.train[3].path.write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"name_train\.txt, line 4.*data check"):
        describe(Halves(), dataset.train)


def test_a_task_is_chosen_by_name_or_size(tmp_path: Path) -> None:
    small, large = pretend(2), pretend(3)
    dataset = Dataset("x", tmp_path, [], [Task("large", large, large), Task("small", small, small)])
    assert choose_task(dataset, None).name == "large"
    assert choose_task(dataset, "small").name == "small"
    with pytest.raises(DatasetError, match="no task 'none'; there are large, small"):
        choose_task(dataset, "none")
    with pytest.raises(DatasetError, match="no queries and gallery"):
        choose_task(Dataset("x", tmp_path, large, []), None)


def test_the_command_measures_a_bundle_by_onnx_runtime(tmp_path: Path, command: Command) -> None:
    bundle = write_colour_bundle(tmp_path / "bundle")
    data = trees.veri776(tmp_path / "VeRi", test=6)
    outcome = command("evaluate", "--bundle", bundle, "--data", data)
    assert outcome.code == 0
    assert "first stage + flip" in outcome.out
    assert "no row 'both stages': the bundle has no second stage" in outcome.err
    outcome = command("evaluate", "--bundle", bundle, "--data", data, "--way", "plain", "--json")
    answer = json.loads(outcome.out)
    assert answer["layout"] == "veri776"
    [row] = answer["rows"]
    assert (row["way"], row["queries"], row["gallery"], row["repeats"]) == ("plain", 12, 24, 1)
    assert 0 < row["mAP"] <= 100
    assert {"R1", "R5", "R10", "mINP"} <= set(row)


def test_the_command_shows_the_spread_of_drawn_galleries(tmp_path: Path, command: Command) -> None:
    bundle = write_colour_bundle(tmp_path / "bundle")
    data = trees.vehicleid(tmp_path / "VehicleID", test=8)
    outcome = command("evaluate", "--bundle", bundle, "--data", data, "--way", "plain")
    assert outcome.code == 0
    assert "(10 draws)" in outcome.out
    assert "±" in outcome.out


@pytest.mark.parametrize("wrong", ["bundle", "data", "runtime"])
def test_what_cannot_be_used_is_named_and_ends_with_2(tmp_path: Path, command: Command, wrong: str) -> None:
    parts = {
        "bundle": tmp_path / "none" if wrong == "bundle" else write_colour_bundle(tmp_path / "bundle"),
        "data": tmp_path / "none" if wrong == "data" else trees.manifest(tmp_path / "data"),
        "runtime": "abacus" if wrong == "runtime" else "cpu",
    }
    outcome = command("evaluate", *(word for name, value in parts.items() for word in (f"--{name}", value)))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("Error: ")
