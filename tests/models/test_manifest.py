"""What a manifest's fingerprint covers, and that its parts are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.bundle import MANIFEST, Bundle, BundleError
from models.inputspec import InputSpec
from models.manifest import EMBEDDER, Accuracy, FileEntry, Manifest, RerankerEntry
from tests.service.fakes import write_bundle

OTHER = FileEntry(sha256="f" * 64, bytes=1)


def manifest(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "name": "small",
        "input": InputSpec(height=32, width=64),
        "descriptor_dim": 8,
        "strips": (4, 2),
        "network": {},
        "files": {EMBEDDER: FileEntry(sha256="e" * 64, bytes=1)},
    }
    return Manifest(**(fields | changes))


@pytest.mark.parametrize(
    "change",
    [
        {"input": InputSpec(height=64, width=32)},
        {"input": InputSpec(height=32, width=64, mean=(0.5, 0.5, 0.5))},
        {"descriptor_dim": 16},
        {"strips": (2, 4)},
        {"strips": None},
        {"files": {EMBEDDER: OTHER}},
    ],
)
def test_what_decides_descriptors_and_strips_changes_the_fingerprint(change: dict[str, Any]) -> None:
    assert manifest(**change).fingerprint() != manifest().fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"network": {"width": 64}},
        {"reranker": RerankerEntry(candidates=10, config={})},
        {"accuracy": Accuracy(measured_on="vehicles", rows=())},
        {"activations": (4, 2, 2)},
        {"files": {EMBEDDER: manifest().files[EMBEDDER], "reranker.onnx": OTHER}},
        {"supersedes": ("a" * 64,)},
    ],
)
def test_nothing_else_changes_the_fingerprint(change: dict[str, Any]) -> None:
    assert manifest(**change).fingerprint() == manifest().fingerprint()


def test_a_fingerprint_is_the_same_on_every_machine_and_day() -> None:
    expected = "bb5d8e0e915debe839ae380d4c05b2fdf361745a0bba898826e262d34864f814"
    assert manifest().fingerprint() == expected
    assert Manifest.model_validate_json(manifest().model_dump_json()).fingerprint() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {"data": "vehicles"}}, r"training\.data: Input should be an object"),
        ({"accuracy": {"measured_on": "x", "results": {}}}, r"accuracy\.rows: Field required"),
        ({"colour": "red"}, r"colour: Extra inputs are not permitted"),
        ({"format": 3}, r"is of format 3, this version reads 2; update lka-reid"),
    ],
)
def test_a_manifest_of_another_shape_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    folder = write_bundle(tmp_path / "bundle")
    written = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(written | change), encoding="utf-8")
    with pytest.raises(BundleError, match=rf"manifest\.json: {message}"):
        Bundle.load(folder)


def test_a_bundle_without_an_embedder_is_refused(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    written = json.loads((folder / MANIFEST).read_bytes())
    del written["files"][EMBEDDER]
    (folder / MANIFEST).write_text(json.dumps(written), encoding="utf-8")
    with pytest.raises(BundleError, match=r"manifest\.json: lists no embedder\.onnx"):
        Bundle.load(folder)
