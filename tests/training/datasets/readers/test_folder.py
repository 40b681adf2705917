"""Folders a vehicle: what counts as an image, and what is said of the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.training.datasets import trees
from training.datasets.check import check
from training.datasets.findings import findings_table
from training.datasets.image import DatasetError
from training.datasets.readers.folder import read


def test_images_are_found_by_any_suffix_and_behind_links(tmp_path: Path) -> None:
    root = trees.folder(tmp_path / "in", vehicles=1)
    source = root / "v0" / "east_1.jpg"
    trees.copy(source, root / "v0" / "south_1.jfif", salt=b"1")
    trees.copy(source, root / "v0" / "north_1", salt=b"2")
    trees.copy(source, tmp_path / "elsewhere" / "east_1.jpe", salt=b"3")
    (root / "v1").symlink_to(tmp_path / "elsewhere")
    found = {(image.vehicle_id, image.camera_id) for image in read(root).train}
    assert found == {("v0", "east"), ("v0", "west"), ("v0", "south"), ("v0", "north"), ("v1", "east")}


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    root = trees.folder(tmp_path, vehicles=2)
    source = root / "v0" / "east_1.jpg"
    for name in ("v0/.thumbnails/east_1.jpg", "v0/@eaDir/deep/deeper/east_1.jpg", "v1/._east_1.jpg"):
        trees.copy(source, root / name)
    (root / "notes.txt").write_text("x", encoding="utf-8")
    (root / "v0" / "self").symlink_to(".")
    dataset = read(root)
    assert len(dataset.train) == 4
    assert dataset.notes == (
        "left out: 2 hidden, 1 no image (.txt), 1 thumbnails, 1 a link to what is taken under another name",
    )


def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    root = trees.folder(tmp_path)
    (root / "v0" / "east_9.jpg").symlink_to("gone.jpg")
    with pytest.raises(DatasetError, match=r"v0/east_9\.jpg: a link that leads nowhere"):
        read(root)


def test_names_that_are_not_utf8_are_checked_and_shown(tmp_path: Path) -> None:
    root = trees.folder(tmp_path)
    bad = root / "v0" / os.fsdecode(b"caf\xe9_1.jpg")
    bad.write_bytes(b"no image")
    findings = check(read(root))
    [finding] = [finding for finding in findings if finding.kind == "unreadable image"]
    assert finding.path.endswith(r"v0/caf\xe9_1.jpg")
    assert findings_table(findings, root).row_count == len(findings)
