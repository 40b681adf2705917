"""A detector's folder: what is shipped, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from models.bundle import BundleError
from models.detection.bundle import DEFAULT_DETECTOR, DETECTOR, DetectorBundle
from models.detection.loading import DetectorError, load_detector
from models.detection.vehicle import VEHICLE_TYPES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(DEFAULT_DETECTOR, tmp_path / "detector")


def change(folder: Path, **fields: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields), encoding="utf-8")


def test_the_shipped_one_finds_all_types_and_says_whose_it_is() -> None:
    manifest = DetectorBundle.load(DEFAULT_DETECTOR).manifest
    assert set(manifest.classes.values()) == set(VEHICLE_TYPES)
    assert manifest.licence == "Apache-2.0"
    assert "Megvii" in (DEFAULT_DETECTOR / "NOTICE").read_text(encoding="utf-8")


def test_its_description_is_json() -> None:
    described = DetectorBundle.load(DEFAULT_DETECTOR).described()
    assert json.loads(json.dumps(described)) == described


def test_no_detector_says_what_one_is(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"No such file.*a folder with manifest.json and detector.onnx"):
        DetectorBundle.load(tmp_path)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "other"}, "kind: Input should be 'yolox'"),
        ({"height": 400}, "height: .*multiple of 32"),
        ({"classes": {"2": "spaceship"}}, "classes.2: "),
        ({"classes": {"-1": "car"}}, "an index is 0 or more|index is 0 or more"),
        ({"files": {}}, "lists no detector.onnx"),
        ({"more": 1}, "more: Extra inputs"),
    ],
)
def test_a_wrong_manifest_says_where(folder: Path, fields: dict[str, object], said: str) -> None:
    change(folder, **fields)
    with pytest.raises(BundleError, match=said):
        DetectorBundle.load(folder)


def test_a_file_that_was_changed_is_refused(folder: Path) -> None:
    data = bytearray((folder / DETECTOR).read_bytes())
    data[-1] ^= 1
    (folder / DETECTOR).write_bytes(data)
    with pytest.raises(BundleError, match="SHA-256 is not the manifest's"):
        DetectorBundle.load(folder)


def test_a_file_that_changes_after_it_was_checked_is_not_loaded(folder: Path) -> None:
    described = DetectorBundle.load(folder).described()
    (folder / DETECTOR).write_bytes(b"another")
    with pytest.raises(DetectorError, match="was changed"):
        load_detector(described)
    (folder / DETECTOR).unlink()
    with pytest.raises(DetectorError, match="No such file"):
        load_detector(described)


def test_a_file_that_is_no_model_says_so(folder: Path) -> None:
    (folder / DETECTOR).write_bytes(b"no model")
    from models.manifest import FileEntry

    change(folder, files={DETECTOR: FileEntry.of(folder / DETECTOR).model_dump()})
    with pytest.raises(DetectorError, match="ONNX Runtime cannot load it"):
        load_detector(DetectorBundle.load(folder).described())
