from __future__ import annotations

from pathlib import Path

import pytest

from training.datasets.image import DatasetError
from training.datasets.readers.manifest import read_manifest


def test_a_manifest_is_read_in_its_order(tree: Path) -> None:
    images = read_manifest(tree)
    assert [image.path.name for image in images[:3]] == ["v00_cam1.png", "v00_cam2.png", "v01_cam1.png"]
    assert images[0].vehicle_type == "truck"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,camera_id\n", "column vehicle_id is missing"),
        ("path,vehicle_id,camera_id\n", "lists no image"),
        ("path,vehicle_id,camera_id\nnone.jpg,1,c\n", "line 2: .*none.jpg does not exist"),
        ("path,vehicle_id,camera_id\nv00_cam1.png,,c\n", "line 2: vehicle_id is empty"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said_with_its_line(tree: Path, text: str, message: str) -> None:
    broken = tree.with_name("broken.csv")
    broken.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        read_manifest(broken)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.csv: no such manifest"):
        read_manifest(tmp_path / "none.csv")
