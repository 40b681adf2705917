"""`lka-reid gallery stats`, `backup`, `restore`, `export` and `import`, in a folder and beside a service."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from index import Enrollment, GalleryFullError, LocalGallery, Quota
from tests.service.command_line import Command
from tests.service.commands.test_gallery import enrollment, named
from tests.service.fakes import open_gallery


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "gallery"
    with open_gallery(path) as gallery:
        gallery.enroll_many([enrollment(number) for number in range(3)])
    return path


def test_figures_are_told_beside_a_service(command: Command, folder: Path) -> None:
    with open_gallery(folder):
        outcome = command("gallery", "stats", "--data-dir", folder)
        as_json = command("gallery", "stats", "--json", "--data-dir", folder)
    assert outcome.code == 0
    assert "images 3" in " ".join(outcome.out.split())
    assert json.loads(as_json.out)["images"] == 3


def test_a_backup_beside_a_service_is_restored_elsewhere_and_overwrites_nothing(
    command: Command, folder: Path, tmp_path: Path
) -> None:
    with open_gallery(folder) as gallery:
        gallery.delete("image-1")
        made = command("gallery", "backup", tmp_path / "backup", "--data-dir", folder)
        gallery.delete("image-2")
    assert (made.code, "2 images" in made.out) == (0, True)
    again = command("gallery", "backup", tmp_path / "backup", "--data-dir", folder)
    assert (again.code, "there is something at" in again.err) == (2, True)
    refused = command("gallery", "restore", tmp_path / "backup", "--data-dir", folder)
    assert (refused.code, "holds a gallery" in refused.err) == (2, True)
    assert named(folder) == ["image-0"]
    restored = command("gallery", "restore", tmp_path / "backup", "--data-dir", tmp_path / "new")
    assert (restored.code, "2 images are restored" in restored.out) == (0, True)
    assert named(tmp_path / "new") == ["image-0", "image-2"]


def test_an_archive_is_imported_and_an_image_that_is_not_as_given_is_told(
    command: Command, folder: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "gallery.zip"
    with open_gallery(folder):
        made = command("gallery", "export", archive, "--data-dir", folder)
    assert (made.code, "3 images are in" in made.out) == (0, True)
    new = tmp_path / "new"
    with open_gallery(new) as gallery:
        gallery.enroll(enrollment(0))
    outcome = command("gallery", "import", archive, "--data-dir", new)
    assert outcome.code == 1
    assert "'image-0'" in outcome.err or "enrolled_at" in outcome.err
    assert "enrolled                 2" in outcome.out
    assert named(new) == ["image-0", "image-1", "image-2"]
    again = command("gallery", "import", archive, "--data-dir", new, "--json")
    assert json.loads(again.out)["counts"]["already_enrolled"] == 2
    clean = command("gallery", "import", archive, "--data-dir", tmp_path / "clean")
    assert (clean.code, "enrolled                 3" in clean.out) == (0, True)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("stats",), "these figures"),
        (("verify",), "this check"),
        (("backup", "b"), "the backup"),
        (("export", "e.zip"), "the archive"),
    ],
)
def test_collections_that_are_left_out_are_named(
    command: Command, folder: Path, tmp_path: Path, words: tuple[str, ...], what: str
) -> None:
    given = ("gallery", words[0], *(tmp_path / word for word in words[1:]), "--data-dir")
    with open_gallery(folder / "collections" / "north") as north:
        north.enroll_many([enrollment(1)])
    outcome = command(*given, folder)
    assert (outcome.code, f"Not in {what}: the other collections" in outcome.err) == (0, True)
    assert outcome.err.rstrip().endswith("Name each by --collection: north")


@pytest.mark.parametrize("by_folder", [False, True])
def test_a_collection_is_looked_after_by_its_name_or_its_folder(
    command: Command, folder: Path, by_folder: bool
) -> None:
    with open_gallery(folder / "collections" / "north") as north:
        north.enroll_many([enrollment(1)])
    north_folder = folder / "collections" / "north"
    words = ("--data-dir", north_folder) if by_folder else ("--data-dir", folder, "--collection", "north")
    assert json.loads(command("gallery", "stats", *words, "--json").out)["images"] == 1
    verified = command("gallery", "verify", *words)
    assert (verified.code, verified.out.startswith("1 image was read")) == (0, True)


def test_a_backup_is_restored_as_a_new_collection(command: Command, folder: Path, tmp_path: Path) -> None:
    words = ("--data-dir", folder)
    command("gallery", "backup", tmp_path / "b", *words)
    restored = command("gallery", "restore", tmp_path / "b", *words, "--collection", "south")
    assert restored.code == 0, restored.err
    with open_gallery(folder / "collections" / "south") as south:
        assert south.count() == 3


@pytest.mark.parametrize("name", ["nowhere", "../north", ""])
def test_a_collection_that_is_not_there_is_refused(command: Command, folder: Path, name: str) -> None:
    outcome = command("gallery", "stats", "--data-dir", folder, "--collection", name)
    assert (outcome.code, outcome.out) == (2, "")
    assert repr(name) in outcome.err


def test_the_clients_variable_chooses_no_folder(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LKA_REID_COLLECTION", "nowhere")
    assert command("gallery", "verify", "--data-dir", folder).code == 0


@pytest.mark.parametrize(
    "fault",
    [
        {"media_type": "text/html"},
        {"media_type": "image/svg+xml"},
        {"media_type": "image/png\r\nSet-Cookie: a=b"},
        {"image_id": "../b"},
        {"image_id": "a\x1b[2J"},
        {"vehicle_id": "x" * 257},
        {"camera_id": "a\nb"},
        {"tags": ("t",) * 33},
        {"file": b"<script>alert(1)</script>"},
        {"file": b"GIF89a" + bytes(94)},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_what_no_request_could_have_enrolled_is_not_imported(
    command: Command, tmp_path: Path, fault: dict[str, object]
) -> None:
    with open_gallery(tmp_path / "made") as gallery:
        changed = {"image" if name == "file" else name: value for name, value in fault.items()}
        gallery.enroll_many([replace(enrollment(0), **changed), enrollment(1)])  # type: ignore[arg-type]
    command("gallery", "export", tmp_path / "a.zip", "--data-dir", tmp_path / "made")
    outcome = command("gallery", "import", tmp_path / "a.zip", "--data-dir", tmp_path / "new")
    assert (outcome.code, named(tmp_path / "new")) == (1, ["image-1"])
    assert f"its {next(iter(fault))}" in " ".join(outcome.err.split())
    assert "\x1b[2J" not in outcome.err


@pytest.mark.parametrize("action", ["backup", "export"])
def test_what_is_made_of_a_gallery_does_not_lie_where_a_purge_would_not_find_it(
    command: Command, folder: Path, tmp_path: Path, action: str
) -> None:
    (tmp_path / "link").symlink_to(folder)
    before = sorted(folder.rglob("*"))
    for place in (folder, folder / "collections" / "north", tmp_path / "link"):
        refused = command("gallery", action, place / "made", "--data-dir", folder)
        assert (refused.code, "lies in the data directory" in " ".join(refused.err.split())) == (2, True)
    assert sorted(folder.rglob("*")) == before
    north = folder / "collections" / "north"
    with open_gallery(north) as gallery:
        gallery.enroll(enrollment(0))
    assert command("gallery", action, folder / "made", "--data-dir", north).code == 2
    assert command("gallery", action, tmp_path / "made", "--data-dir", north).code == 0


def test_an_import_that_a_quota_ends_tells_what_became_of_every_image(
    command: Command, folder: Path, tmp_path: Path
) -> None:
    command("gallery", "export", tmp_path / "gallery.zip", "--data-dir", folder)
    with open_gallery(tmp_path / "new") as gallery:
        gallery.quotas.set(Quota(images=2))
    outcome = command("gallery", "import", tmp_path / "gallery.zip", "--data-dir", tmp_path / "new")
    assert (outcome.code, named(tmp_path / "new")) == (1, ["image-0", "image-1"])
    assert "enrolled                 2" in outcome.out
    assert "failed                   1" in outcome.out
    assert "may hold 2 images" in " ".join(outcome.err.split())


def test_an_image_of_a_camera_that_is_not_legal_is_not_imported_and_the_remedy_is_told(
    command: Command, tmp_path: Path
) -> None:
    with open_gallery(tmp_path / "old") as gallery:
        gallery.enroll(enrollment(0))
        gallery.enroll(replace(enrollment(1), camera_id="a/../b"))
    command("gallery", "export", tmp_path / "gallery.zip", "--data-dir", tmp_path / "old")
    outcome = command("gallery", "import", tmp_path / "gallery.zip", "--data-dir", tmp_path / "new", "--json")
    assert (outcome.code, named(tmp_path / "new")) == (1, ["image-0"])
    assert "its camera_id 'a/../b' is not legal" in outcome.out
    assert "by `lka-reid gallery update` before you export it" in outcome.out


def test_an_import_that_ends_on_its_way_tells_how_far_it_came(
    command: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("gallery", "export", tmp_path / "gallery.zip", "--data-dir", folder)
    monkeypatch.setattr("index.upkeep.importing.AT_ONCE", 1)
    enroll, enrolled = LocalGallery.enroll_many, list[str]()

    def full(gallery: LocalGallery, enrollments: list[Enrollment]) -> object:
        if len(enrolled) == 2:
            raise GalleryFullError(tmp_path, 0, 1)
        enrolled.extend(each.image_id for each in enrollments)
        return enroll(gallery, enrollments)

    monkeypatch.setattr(LocalGallery, "enroll_many", full)
    outcome = command("gallery", "import", tmp_path / "gallery.zip", "--data-dir", tmp_path / "new")
    assert (outcome.code, named(tmp_path / "new")) == (2, enrolled)
    assert "enrolled                 2" in outcome.out
    assert "not tried                1" in outcome.out


def test_a_part_is_exported_by_conditions(command: Command, folder: Path, tmp_path: Path) -> None:
    with open_gallery(folder) as gallery:
        gallery.update("image-1", {"view": "rear"})
    words = ("gallery", "export", tmp_path / "part.zip", "--data-dir", folder)
    assert "1 image is in" in command(*words, "--only-view", "rear").out
    refused = command(*words, "--captured-from", "yesterday")
    assert (refused.code, "--captured-from" in refused.err) == (2, True)


def test_an_archive_of_another_model_is_refused_with_the_way_on(
    command: Command, folder: Path, tmp_path: Path
) -> None:
    command("gallery", "export", tmp_path / "gallery.zip", "--data-dir", folder)
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        connection.execute("UPDATE gallery SET fingerprint = 'another'")
        connection.commit()
    refused = command("gallery", "import", tmp_path / "gallery.zip", "--data-dir", folder)
    assert (refused.code, "lka-reid enroll records.csv" in refused.err) == (2, True)


@pytest.mark.parametrize(
    "words", [("stats",), ("backup", "target"), ("export", "target")], ids=lambda words: words[0]
)
def test_without_a_gallery_nothing_is_made(command: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    action, *target = words
    outcome = command("gallery", action, *(tmp_path / name for name in target), "--data-dir", tmp_path)
    assert (outcome.code, outcome.out, list(tmp_path.iterdir())) == (2, "", [])
    assert f"there is no gallery in {tmp_path}" in outcome.err


@pytest.mark.parametrize(("action", "why"), [("restore", "is no backup"), ("import", "No such file")])
def test_what_is_not_there_is_named(command: Command, tmp_path: Path, action: str, why: str) -> None:
    outcome = command("gallery", action, tmp_path / "none", "--data-dir", tmp_path / "gallery")
    assert (outcome.code, why in outcome.err, "none" in outcome.err) == (2, True, True)
    assert not (tmp_path / "gallery").exists()


def test_an_import_into_a_gallery_that_is_in_use_is_refused(
    command: Command, folder: Path, tmp_path: Path
) -> None:
    command("gallery", "export", tmp_path / "gallery.zip", "--data-dir", folder)
    gallery: LocalGallery
    with open_gallery(folder) as gallery:
        refused = command("gallery", "import", tmp_path / "gallery.zip", "--data-dir", folder)
        assert gallery.count() == 3
    assert (refused.code, "in use" in refused.err) == (2, True)
