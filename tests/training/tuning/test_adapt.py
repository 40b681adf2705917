"""Thresholds from crops of unknown vehicles, and pairs that a person labels."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.bundle import Bundle, write_thresholds
from models.manifest import Threshold
from tests.service.command_line import Command
from tests.training.bundles import write_colour_bundle
from tests.training.evaluation.test_calibration import images
from training.datasets.image import DatasetError, VehicleImage
from training.evaluation.calibration import CalibrationError, calibrate
from training.evaluation.retrieval import Side
from training.evaluation.unlabelled import threshold_without_labels
from training.tuning.crops import CameraFrom, evenly, read_crops
from training.tuning.pairs import LabelledPair, pairs_to_ask, read_pairs, write_pairs


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Forty coloured vehicles before two cameras, a folder each."""
    source = np.random.default_rng(0)
    root = tmp_path / "crops"
    for camera in ("gate-1", "gate-2"):
        (root / camera).mkdir(parents=True)
    for number in range(40):
        quarters = source.integers(0, 255, (2, 2, 3))
        for camera in ("gate-1", "gate-2"):
            pixels = np.kron(quarters, np.ones((16, 16, 1))) + source.normal(0, 8, (32, 32, 3))
            image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            image.save(root / camera / f"{source.integers(10**9)}_{number}.png")
    return root


def test_a_threshold_without_labels_is_near_the_one_with_labels() -> None:
    side = images(300, seed=3, dim=32)
    labelled, _ = calibrate(side, 1e-3)
    guess = threshold_without_labels(side, 1e-3)
    different = (side.store[::2] @ side.store[1::2].T)[~np.eye(300, dtype=bool)]
    assert 2e-4 < float(np.mean(different >= guess.similarity)) < 4e-3
    assert guess.similarity == pytest.approx(labelled.similarity, abs=0.06)
    renamed = Side(side.store, side.rows, np.full(len(side), "all"), side.cameras)
    assert threshold_without_labels(renamed, 1e-3) == guess, "no vehicle is looked at"


def test_too_few_crops_and_too_high_a_rate_are_refused() -> None:
    with pytest.raises(CalibrationError, match="too few for a threshold without labels"):
        threshold_without_labels(images(10), 1e-3)
    with pytest.raises(ValueError, match=r"between 0 and 0\.03"):
        threshold_without_labels(images(100), 0.1)


def test_crops_say_their_camera_by_folder_or_by_name(crops: Path, tmp_path: Path) -> None:
    found = read_crops(crops, CameraFrom.folder)
    assert {image.camera_id for image in found} == {"gate-1", "gate-2"}
    assert len({image.vehicle_id for image in found}) == len(found) == 80
    assert len({image.camera_id for image in read_crops(crops, CameraFrom.prefix)}) == 80
    assert {i.camera_id for i in evenly(found, 10)} == {"gate-1", "gate-2"}
    assert len(evenly(found, 10)) == 10
    with pytest.raises(DatasetError, match="says no camera"):
        read_crops(crops / "gate-1", CameraFrom.folder)
    with pytest.raises(DatasetError, match="does not exist"):
        read_crops(tmp_path / "none", CameraFrom.folder)


def test_pairs_on_both_sides_of_the_threshold_are_asked_for_each_image_once() -> None:
    side = images(60, seed=1)
    known = [VehicleImage(Path(f"{n}.jpg"), f"v{n}", camera) for n, camera in enumerate(side.cameras)]
    asked = pairs_to_ask(known, side, 0.6, 20)
    rows = [(int(pair.first.stem), int(pair.second.stem)) for pair in asked]
    assert len(asked) == 20
    assert len({number for row in rows for number in row}) == 40
    assert all(side.cameras[one] != side.cameras[other] for one, other in rows)
    assert sum(float(side.store[one] @ side.store[other]) >= 0.6 for one, other in rows) == 10


def test_pairs_survive_their_file_and_what_is_wrong_there_is_named(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    one, other = tmp_path / "a.jpg", tmp_path / "b.jpg"
    said = [
        LabelledPair(one, other, same=True),
        LabelledPair(other, one, same=False),
        LabelledPair(one, other),
    ]
    path = tmp_path / "pairs.csv"
    write_pairs(path, said)
    assert read_pairs(path) == said[:2]
    path.write_bytes("first;second;same\r\na.jpg;b.jpg;Yes\r\nb.jpg;a.jpg;no\r\n".encode("utf-8-sig"))
    assert read_pairs(path) == said[:2], "as a spreadsheet saves it"
    for wrong, message in (
        ("first,second\na.jpg,b.jpg\n", "column same is missing"),
        ("first,second,same\na.jpg,b.jpg,yes,no\n", "line 2: has 4 values for 3 columns"),
        ("first,second,same\nx\\a.jpg,b.jpg,yes\n", "does not exist; write / and not"),
        ("first,second,same\na.jpg,b.jpg,maybe\n", "line 2: same is 'maybe'; write yes or no"),
        ("first,second,same\na.jpg,c.jpg,yes\n", "c.jpg does not exist"),
        ("first,second,same\na.jpg,b.jpg,\n", "no pair is labelled"),
    ):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(DatasetError, match=message):
            read_pairs(path)


@pytest.mark.slow
def test_the_commands_adapt_a_copy_label_pairs_and_roll_back(
    crops: Path, tmp_path: Path, command: Command
) -> None:
    bundle = write_colour_bundle(tmp_path / "bundle")
    before = (bundle / "manifest.json").read_bytes()
    out = tmp_path / "adapted"
    words = ["adapt", crops, "--bundle", bundle, "--out", out]
    outcome = command(*words)
    assert outcome.code == 0, outcome.err
    assert (bundle / "manifest.json").read_bytes() == before, "the bundle itself stays"
    adapted = Bundle.load(out / "bundle")
    assert adapted.fingerprint == Bundle.load(bundle).fingerprint, "galleries stay valid"
    assert adapted.manifest.threshold is not None
    assert adapted.manifest.threshold.true_match_rate is None, "nobody knows"
    assert adapted.manifest.normalised_threshold is not None
    assert "lka-reid cameras calibrate gate-1" in outcome.out

    pairs = tmp_path / "pairs.csv"
    asked = command("label", crops, "--bundle", bundle, "--out", pairs, "--pairs", 6, "--json")
    answer = {"pairs": 6, "file": str(pairs), "page": str(pairs.with_suffix(".html"))}
    assert (asked.code, json.loads(asked.out)) == (0, answer)
    page = pairs.with_suffix(".html").read_text(encoding="utf-8")
    assert len(re.findall("<figure>", page)) == 6
    assert page.count("data:image/jpeg;base64,") == 12
    assert "http" not in page, "nothing is loaded from anywhere"
    with pairs.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    # What a person says turns the new threshold into the worse one: all pairs are of two vehicles.
    low = Threshold(
        similarity=1.0, false_match_rate=0, false_match_interval=None, true_match_rate=None,
        measured_on="test", fingerprint=adapted.fingerprint,
    )  # fmt: skip
    write_thresholds(bundle, low)
    pairs.write_text(
        "first,second,same\n" + "".join(f"{r['first']},{r['second']},no\n" for r in rows), encoding="utf-8"
    )
    outcome = command(*words, "--pairs", pairs)
    assert outcome.code == 0, outcome.err
    assert "Rolled back" in outcome.out
    kept = Bundle.load(out / "bundle").manifest.threshold
    assert kept is not None
    assert kept.similarity == 1.0
    answer = json.loads(command(*words, "--pairs", pairs, "--json").out)
    assert (answer["kept"], answer["labelled"]["pairs"], answer["bundle"]) == (False, 6, str(out / "bundle"))
