"""Readers of the public layouts: what they read, and that they name all that is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tests.training.datasets import trees
from training.datasets.dataset import Dataset
from training.datasets.image import DatasetError
from training.datasets.layouts import open_dataset
from training.datasets.statistics import statistics, statistics_table

MAKERS: dict[str, Callable[[Path], Path]] = {
    "veri776": trees.veri776,
    "vehicleid": trees.vehicleid,
    "veriwild": trees.veriwild,
    "manifest": trees.manifest,
    "folder": trees.folder,
}


@pytest.mark.parametrize("layout", MAKERS)
def test_every_layout_is_recognised(tmp_path: Path, layout: str) -> None:
    assert open_dataset(MAKERS[layout](tmp_path)).layout == layout


def test_veri776_is_read_with_labels_in_gb2312_views_and_tracks(tmp_path: Path) -> None:
    dataset = open_dataset(trees.veri776(tmp_path))
    image = dataset.train[0]
    assert image.path == tmp_path / "image_train" / "0001_c001_00000100_0.jpg"
    assert (image.vehicle_id, image.camera_id, image.time) == ("0001", "c001", "00000100")
    assert (image.colour, image.vehicle_type, image.view) == ("white", "suv", "front")
    assert image.origin == "name_train.txt, line 1"
    [task] = dataset.tasks
    assert task.gallery is not None
    assert (len(dataset.train), len(task.queries), len(task.gallery)) == (16, 6, 12)
    assert [g.track for g in task.gallery[:3]] == ["00001", "00001", "00002"]
    assert task.gallery[2].view == "left front"
    assert [q.path.name for q in task.queries[:1]] == ["0005_c001_00000500_0.jpg"]
    assert dataset.notes == ("colours and types of its images are unknown: no test_label.xml",)


def test_veri776_without_labels_and_views_is_read_and_says_so(tmp_path: Path) -> None:
    trees.veri776(tmp_path)
    for name in ("train_label.xml", "keypoint_train.txt", "keypoint_test.txt", "test_track.txt"):
        trees.forget(tmp_path / name)
    dataset = open_dataset(tmp_path)
    assert len(dataset.notes) == 4
    assert {(i.colour, i.view, i.track) for i in dataset.images()} == {("", "", "")}


def test_vehicleid_has_a_task_of_each_size_and_draws_its_galleries(tmp_path: Path) -> None:
    dataset = open_dataset(trees.vehicleid(tmp_path))
    assert [task.name for task in dataset.tasks] == ["800", "1600", "2400"]
    assert all(task.gallery is None for task in dataset.tasks)
    assert dataset.train[0].path == tmp_path / "image" / "0000001.jpg"
    assert [(i.vehicle_id, i.colour, i.vehicle_type) for i in dataset.train[::2]] == [
        ("1", "colour 3", "model 17"),
        ("2", "", "model 4"),
        ("3", "", ""),
    ]
    assert dataset.train[0].camera_id == ""


@pytest.mark.parametrize("with_id", [True, False])
def test_veriwild_is_read_in_both_spellings_of_its_lists(tmp_path: Path, with_id: bool) -> None:
    dataset = open_dataset(trees.veriwild(tmp_path, with_id=with_id))
    assert [task.name for task in dataset.tasks] == ["3000", "5000", "10000"]
    assert all(len(task.queries) == len(task.gallery or []) == 4 for task in dataset.tasks)
    image = dataset.train[1]
    assert image.path == tmp_path / "images" / "00001" / "000002.jpg"
    assert (image.vehicle_id, image.camera_id, image.time) == ("00001", "21", "2018-03-11 08:01:02")
    assert (image.vehicle_type, image.colour) == ("suv", "white")


def test_a_manifest_without_roles_lets_every_image_query_all_others(tmp_path: Path) -> None:
    dataset = open_dataset(trees.manifest(tmp_path))
    [task] = dataset.tasks
    assert task.queries == task.gallery == dataset.train
    assert not dataset.has_split
    assert {(image.colour, image.time) for image in dataset.train} == {("red", "noon")}


def test_a_manifest_with_roles_is_split_by_them(tmp_path: Path) -> None:
    [task] = open_dataset(trees.manifest(tmp_path, role=True)).tasks
    assert {image.camera_id for image in task.queries} == {"cam1"}
    assert task.gallery is not None
    assert {image.camera_id for image in task.gallery} == {"cam2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,vehicle_id,role\na.jpg,1,guest\n", "line 2: role 'guest' is none of"),
        ("path,vehicle_id,role\na.jpg,1,query\n", "none of the other"),
        ("path,vehicle_id,camera_id\na.jpg,1,\n", "line 2: camera_id is empty"),
        ("path,vehicle_id,camera_id\na.jpg\n", "line 2: vehicle_id is empty"),
        ("path\na.jpg\n", "column vehicle_id is missing"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        open_dataset(path, look_for_images=False)


def test_a_manifest_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes("path,vehicle_id\nä.jpg,1\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="is not UTF-8"):
        open_dataset(path)


def test_a_folder_knows_cameras_by_prefix_and_by_folder(tmp_path: Path) -> None:
    trees.folder(tmp_path)
    trees.copy(trees.demo_images(1)[0][0], tmp_path / "v0" / "plain.jpg")
    dataset = open_dataset(tmp_path)
    found = {image.path.relative_to(tmp_path).as_posix(): image.camera_id for image in dataset.train}
    assert found["v0/east_1.jpg"] == "east"
    assert found["v0/west/1.jpg"] == "west"
    assert found["v0/plain.jpg"] == ""
    assert dataset.notes == ("the camera of 1 of 7 images is unknown",)


def test_a_folder_with_a_split_has_its_parts(tmp_path: Path) -> None:
    for part in ("train", "query", "gallery"):
        trees.folder(tmp_path / part)
    dataset = open_dataset(tmp_path)
    assert [name for name, _ in dataset.lists()] == ["train", "query", "gallery"]
    trees.forget(tmp_path / "gallery")
    with pytest.raises(DatasetError, match="but not the other"):
        open_dataset(tmp_path)


def test_an_image_outside_a_vehicles_folder_is_refused(tmp_path: Path) -> None:
    trees.folder(tmp_path)
    trees.copy(trees.demo_images(1)[0][0], tmp_path / "lost.jpg")
    with pytest.raises(DatasetError, match=r"lost\.jpg: lies neither in"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("layout", "gone"),
    [
        ("veri776", ["image_query/", "name_query.txt", "name_test.txt"]),
        ("vehicleid", ["image/", "train_test_split/test_list_1600.txt"]),
        ("veriwild", ["train_test_split/test_5000_id.txt", "train_test_split/test_10000_id_query.txt"]),
    ],
)
def test_all_missing_files_are_named_at_once(tmp_path: Path, layout: str, gone: list[str]) -> None:
    MAKERS[layout](tmp_path)
    for name in gone:
        trees.forget(tmp_path / name)
    with pytest.raises(DatasetError, match="missing: ") as raised:
        open_dataset(tmp_path)
    assert all(name in str(raised.value) for name in gone)
    assert str(raised.value).count(", ") == len(gone) - 1


@pytest.mark.parametrize(
    ("layout", "file", "line", "message"),
    [
        (
            "veri776",
            "name_test.txt",
            "car.jpg",
            r"name_test\.txt, line 13: 'car\.jpg' is not named like",
        ),
        ("veri776", "keypoint_test.txt", "a.jpg x", "line 13: does not end in an orientation"),
        ("vehicleid", "train_test_split/train_list.txt", "12", "line 7: '12' is not an image and a"),
        ("vehicleid", "attribute/color_attr.txt", "12", "line 2: '12' is not two columns"),
        ("veriwild", "train_test_split/vehicle_info.txt", "00001/1;2", "line 16: has 2 columns"),
        ("veriwild", "train_test_split/test_3000_id.txt", "9/9", "line 5: 9/9 is not in"),
        ("veriwild", "train_test_split/test_3000_id.txt", "9", "line 5: '9' is not vehicle/image"),
    ],
)
def test_a_row_that_does_not_read_is_named(
    tmp_path: Path, layout: str, file: str, line: str, message: str
) -> None:
    MAKERS[layout](tmp_path)
    with (tmp_path / file).open("a", encoding="utf-8") as lines:
        lines.write(f"{line}\n")
    with pytest.raises(DatasetError, match=message):
        open_dataset(tmp_path)


def test_labels_that_are_no_xml_are_refused(tmp_path: Path) -> None:
    trees.veri776(tmp_path)
    (tmp_path / "train_label.xml").write_bytes(b'<?xml version="1.0" encoding="gb2312"?><Items>')
    with pytest.raises(DatasetError, match=r"train_label\.xml: is no XML that can be read"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("layout", ["veri776", "vehicleid", "veriwild"])
def test_listed_images_that_do_not_exist_are_named_with_their_rows(tmp_path: Path, layout: str) -> None:
    dataset = open_dataset(MAKERS[layout](tmp_path))
    gone = dataset.train[2:4]
    for image in gone:
        trees.forget(image.path)
    with pytest.raises(DatasetError, match="2 listed images do not exist") as raised:
        open_dataset(tmp_path)
    assert all(f"{image.path} ({image.origin})" in str(raised.value) for image in gone)
    assert len(open_dataset(tmp_path, look_for_images=False).train) == len(dataset.train)


def test_a_path_without_a_layout_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none of the known layouts.*veriwild"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="does not exist"):
        open_dataset(tmp_path / "none")


def drawn(dataset: Dataset) -> str:
    console = Console(width=80, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(statistics_table(dataset))
    return console.export_text()


@pytest.mark.parametrize("layout", MAKERS)
def test_statistics_count_each_list_and_fit_a_terminal(tmp_path: Path, layout: str) -> None:
    dataset = open_dataset(MAKERS[layout](tmp_path))
    rows = {row.name: row for row in statistics(dataset)}
    assert [row.images for row in rows.values()] == [len(images) for _, images in dataset.lists()]
    text = drawn(dataset)
    assert "…" not in text.replace(str(tmp_path), "")
    if layout == "veri776":
        train = rows["train"]
        assert (train.vehicles, train.cameras, train.images_per_vehicle) == (4, 2, 4.0)
        assert (train.cameras_per_vehicle, train.views, train.colours, train.types) == (2.0, 2, 1, 1)
        assert "tracks" in text
    if layout == "vehicleid":
        assert rows["train"].cameras == 0
        assert "cameras/" not in text
