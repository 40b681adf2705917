"""What a check finds: each fault is put into a good tree, and found with its path and row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.service.command_line import Command
from tests.training.datasets import trees
from training.datasets.check import check
from training.datasets.findings import Finding, Severity, findings_table, has_errors
from training.datasets.image import DatasetError
from training.datasets.layouts import open_dataset


def found(path: Path) -> list[Finding]:
    return check(open_dataset(path, look_for_images=False))


def kinds(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.severity.value, finding.kind) for finding in findings]


@pytest.mark.parametrize(
    "make", [trees.veri776, trees.vehicleid, trees.veriwild, trees.manifest, trees.folder]
)
def test_a_good_tree_gives_no_finding(tmp_path: Path, make: type) -> None:
    assert found(make(tmp_path)) == []


def test_the_number_of_images_read_is_reported(tmp_path: Path) -> None:
    dataset = open_dataset(trees.veri776(tmp_path))
    counted: list[int] = []
    check(dataset, counted.append)
    assert counted[-1] == len(dataset.images()) == 34


def test_missing_and_damaged_images_are_errors_with_path_and_row(tmp_path: Path) -> None:
    dataset = open_dataset(trees.veri776(tmp_path))
    gone, cut, text = (image.path for image in dataset.train[:3])
    trees.forget(gone)
    cut.write_bytes(cut.read_bytes()[:500])
    text.write_text("no image", encoding="utf-8")
    findings = found(tmp_path)
    assert kinds(findings) == [("error", "missing image"), *[("error", "unreadable image")] * 2]
    assert [(f.path, f.row) for f in findings] == [
        (str(path), f"name_train.txt, line {line}") for line, path in enumerate((gone, cut, text), start=1)
    ]
    assert has_errors(findings)


def test_a_copy_under_two_vehicles_is_an_error(tmp_path: Path) -> None:
    trees.vehicleid(tmp_path)
    first, other = tmp_path / "image" / "0000001.jpg", tmp_path / "image" / "0000003.jpg"
    trees.copy(first, other)
    [finding] = found(tmp_path)
    assert (finding.kind, finding.path, finding.row) == (
        "copy under two vehicles",
        str(other),
        "train_list.txt, line 3",
    )
    assert f"{first} (train_list.txt, line 1), but vehicle 2 and not 1" in finding.message


def test_a_copy_from_two_cameras_is_an_error_and_a_mere_copy_a_warning(tmp_path: Path) -> None:
    trees.folder(tmp_path)
    trees.copy(tmp_path / "v0" / "east_1.jpg", tmp_path / "v0" / "west" / "1.jpg")
    trees.copy(tmp_path / "v1" / "east_1.jpg", tmp_path / "v1" / "east_2.jpg")
    assert sorted(kinds(found(tmp_path))) == [
        ("error", "copy from two cameras"),
        ("warning", "copy"),
    ]


def test_a_row_twice_is_a_warning_and_an_error_under_another_vehicle(tmp_path: Path) -> None:
    path = trees.manifest(tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, lines[1], lines[2].replace("v0", "v3")]) + "\n", encoding="utf-8")
    findings = found(tmp_path)
    assert kinds(findings) == [("warning", "image listed twice"), ("error", "image of two vehicles")]
    assert [finding.row for finding in findings] == ["manifest.csv, line 10", "manifest.csv, line 11"]


def test_a_vehicle_in_training_and_test_is_an_error_once(tmp_path: Path) -> None:
    trees.vehicleid(tmp_path)
    split = tmp_path / "train_test_split"
    with (split / "train_list.txt").open("a", encoding="utf-8") as lines:
        lines.write((split / "test_list_800.txt").read_text(encoding="utf-8").splitlines()[0] + "\n")
    assert kinds(found(tmp_path)) == [("error", "vehicle in training and test")]


def test_a_query_vehicle_without_gallery_match_is_a_warning(tmp_path: Path) -> None:
    trees.veri776(tmp_path)
    names = (tmp_path / "name_test.txt").read_text(encoding="utf-8").splitlines()
    kept = [name for name in names if not name.startswith("0005_c002")]
    trees.write_lines(tmp_path / "name_test.txt", kept)
    [finding] = found(tmp_path)
    assert (finding.severity, finding.kind) == (Severity.warning, "query without match")
    assert finding.row == "name_query.txt, line 1"
    assert "vehicle 0005, 1 query" in finding.message


def test_a_drawn_gallery_needs_two_images_of_a_vehicle(tmp_path: Path) -> None:
    trees.vehicleid(tmp_path)
    path = tmp_path / "train_test_split" / "test_list_800.txt"
    trees.write_lines(path, path.read_text(encoding="utf-8").splitlines()[1:])
    assert kinds(found(tmp_path)) == [("warning", "query without match")]


def test_a_task_that_nothing_can_be_measured_on_is_an_error(tmp_path: Path) -> None:
    path = trees.manifest(tmp_path, role=True)
    path.write_text(path.read_text(encoding="utf-8").replace("cam2,", "cam1,"), encoding="utf-8")
    assert kinds(found(tmp_path)) == [("error", "no query has a match")]


def test_one_vehicle_alone_measures_nothing(tmp_path: Path) -> None:
    for number, (first, second) in enumerate(trees.demo_images(2)):
        trees.copy(first, tmp_path / "Bilder" / f"{number}.jpg")
        trees.copy(second, tmp_path / "Bilder" / f"{number}b.jpg")
    [finding] = found(tmp_path)
    assert (finding.severity, finding.kind) == (Severity.error, "one vehicle")
    assert "all 4 images of it are of vehicle Bilder" in finding.message


def test_a_path_as_windows_writes_it_is_named_as_such(tmp_path: Path) -> None:
    path = trees.manifest(tmp_path)
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([header, *(f".\\{row}" for row in rows)]), encoding="utf-8")
    findings = found(path)
    assert {finding.kind for finding in findings} == {"missing image"}
    assert all(finding.message.endswith("write / and not \\ between folders") for finding in findings)
    with pytest.raises(DatasetError, match="write / and not"):
        open_dataset(path)


def test_a_camera_that_one_vehicle_uses_is_a_warning(tmp_path: Path) -> None:
    trees.folder(tmp_path)
    (tmp_path / "v0" / "east_1.jpg").rename(tmp_path / "v0" / "north_1.jpg")
    [finding] = found(tmp_path)
    assert (finding.kind, finding.message) == ("camera of one vehicle", "camera north saw vehicle v0 alone")
    assert finding.row == "v0/north_1.jpg"


def test_many_findings_of_a_kind_are_shown_in_part_and_counted() -> None:
    findings = [Finding(Severity.warning, "k", "m", f"/data/{n}.jpg", "") for n in range(25)]
    table = findings_table(findings, Path("/data"))
    assert table.row_count == 11
    cells = list(table.columns[1].cells)
    assert cells[-1] == "k: 15 more (--json lists all)"
    assert next(iter(table.columns[2].cells)) == "0.jpg"
    rows = ("a/0.jpg", "list.csv, line 2")
    listed = [Finding(Severity.warning, row, "m", "/data/a/0.jpg", row) for row in rows]
    shown = list(findings_table(listed, Path("/data")).columns[2].cells)
    assert shown == ["a/0.jpg", "a/0.jpg\nlist.csv, line 2"], "what is its own row stands once"


def test_the_command_shows_statistics_and_ends_with_0_without_errors(
    tmp_path: Path, command: Command
) -> None:
    outcome = command("data", "check", trees.veri776(tmp_path))
    assert outcome.code == 0
    assert "images/" in outcome.out
    assert "Nothing is wrong with it." in outcome.out
    assert "34/34" in outcome.err


def test_the_command_ends_with_1_on_errors_and_2_without_a_data_set(tmp_path: Path, command: Command) -> None:
    trees.veri776(tmp_path)
    trees.forget(tmp_path / "image_train" / "0001_c001_00000100_0.jpg")
    outcome = command("data", "check", tmp_path, "--json")
    answer = json.loads(outcome.out)
    assert outcome.code == 1
    assert [finding["kind"] for finding in answer["findings"]] == ["missing image"]
    assert [row["name"] for row in answer["lists"]] == ["train", "query", "gallery"]
    trees.forget(tmp_path / "name_test.txt")
    outcome = command("data", "check", tmp_path, "--layout", "veri776")
    assert (outcome.code, outcome.out) == (2, "")
    assert "missing: name_test.txt" in outcome.err


@pytest.mark.slow
def test_the_command_tells_what_a_training_would_refuse(tmp_path: Path, command: Command) -> None:
    path = trees.manifest(tmp_path, vehicles=5)
    fitting = ["--set", "data.validation_vehicles=2", "--set", "batch.vehicles=3"]
    assert command("data", "check", path, *fitting).code == 0
    outcome = command("data", "check", path, *fitting[:3], "batch.vehicles=4", "--json")
    [finding] = json.loads(outcome.out)["findings"]
    assert (outcome.code, finding["kind"]) == (1, "too few vehicles")
    path.write_text(path.read_text(encoding="utf-8").replace("cam2,", "cam1,"), encoding="utf-8")
    assert command("data", "check", path, *fitting).code == 1, "one camera, and something is measured"
    assert command("data", "check", path, *fitting, "--set", "data.measured=false").code == 0
    for change, message in (
        ("data.validation_vehicles=5", "set data.validation_vehicles to 3 or fewer"),
        ("batch.vehicels=3", "batch.vehicels"),
    ):
        outcome = command("data", "check", path, "--set", change)
        assert outcome.code == 2
        assert message in outcome.err
