"""CSV manifests as data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.datasets.image import DatasetError
from training.datasets.layouts import open_dataset
from training.datasets.readers.manifest import read, read_manifest


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


def write(folder: Path, data: str | bytes) -> Path:
    path = folder / "data.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        "path, vehicle_id, camera_id\na.jpg, bus 9, gate-3\n",
        "Path;Vehicle ID;Camera-ID\r\na.jpg;bus 9;gate-3\r\n",
        "path\tvehicleId\tcameraId\na.jpg\tbus 9\tgate-3\n".encode("utf-16"),
    ],
)
def test_however_it_is_written_the_same_is_read(tmp_path: Path, data: str | bytes) -> None:
    [image] = read(write(tmp_path, data)).train
    assert (image.path, image.vehicle_id, image.camera_id) == (tmp_path / "a.jpg", "bus 9", "gate-3")


def test_a_camera_under_another_name_is_refused_and_not_trained_without(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"not known: column camera \(camera_id\?\); rename it"):
        read(write(tmp_path, "path,vehicle_id,camera\na.jpg,1,c\n"))


def test_columns_that_are_not_read_are_noted(tmp_path: Path) -> None:
    path = write(tmp_path, "path,vehicle_id,image_id,weather\na.jpg,1,x,rain\nb.jpg,1,y,sun\n")
    assert read(path).notes == (
        "cameras are unknown: no column camera_id",
        "columns that are not read: image_id, weather",
    )


@pytest.mark.parametrize("name", ["../a.jpg", "link/a.jpg", "a-link.jpg", "in/../../a.jpg"])
def test_an_image_from_elsewhere_is_read_only_by_the_layout_that_says_so(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "a.jpg").touch()
    (folder / "link").symlink_to(tmp_path)
    (folder / "a-link.jpg").symlink_to(tmp_path / "a.jpg")
    path = write(folder, f"path,vehicle_id\nb.jpg,1\n{name},1\n")
    said = rf"data\.csv, line 3: path '{name}' leads to .*; name the layout manifest-anywhere to take it"
    for layout in ("auto", "manifest"):
        with pytest.raises(DatasetError, match=said):
            open_dataset(path, layout, look_for_images=False)
    found = open_dataset(path, "manifest-anywhere", look_for_images=False)
    assert [image.path.name for image in found.train] == ["b.jpg", Path(name).name]


def test_all_rows_that_are_wrong_are_counted_and_the_first_named(tmp_path: Path) -> None:
    rows = ["a.jpg,1,c,", "b.jpg,,c", "c.jpg,bus, red,c", *["d.jpg,,c"] * 12, "e.jpg"]
    with pytest.raises(DatasetError) as caught:
        read(write(tmp_path, "\n".join(["path,vehicle_id,camera_id", *rows])))
    first, *_, last = str(caught.value).splitlines()
    assert first == f"{tmp_path}/data.csv, line 3: vehicle_id is empty"
    assert "line 4: has 4 values for 3 columns, 'c' beyond them" in str(caught.value)
    assert last == "  and 5 more rows"


@pytest.mark.parametrize(
    "data", [b"path,vehicle_id\n\xe4.jpg,1\n", b"\xff\xd8\xff\xe0", b"path,vehicle_id\nn\0l.jpg,1\n"]
)
def test_bytes_that_are_no_table_are_refused_with_their_line(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DatasetError, match=r"data\.csv, line \d"):
        read(write(tmp_path, data))
