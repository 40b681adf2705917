"""What a user names, as uploads, and what is said of the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.remote.outcome import Fate
from service.remote.sources import Options, SourceError, Sources, Upload, find_uploads


def make(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"\xff\xd8\xff")


def manifest(text: str, path: str = "m/list.csv") -> Path:
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")
    return Path(path)


def failed(sources: Sources) -> dict[str, str]:
    return {entry.place: entry.reason for entry in sources.not_enrolled if entry.fate is Fate.failed}


def test_a_folder_stands_for_the_images_below_it() -> None:
    make("d/b.JPG", "d/a/x.png", "d/c.jfif", "d/a/.hidden.jpg")
    sources = find_uploads([Path("d")])
    assert sources.uploads == [
        Upload(Path("d/a/x.png"), {"image_id": "a/x.png"}),
        Upload(Path("d/b.JPG"), {"image_id": "b.JPG"}),
        Upload(Path("d/c.jfif"), {"image_id": "c.jfif"}),
    ]
    [left] = sources.not_enrolled
    assert (left.place, left.fate, left.reason) == ("d/a/.hidden.jpg", Fate.skipped, "hidden")


def test_a_manifest_gives_fields_and_names_the_columns_that_only_training_reads() -> None:
    make("m/i/1.jpg", "m/i/2.jpg")
    path = manifest(
        "path,vehicle_id,camera_id,captured_at,tags,vehicle_type,colour,image_id\n"
        "i/1.jpg,v1,c1,2024-01-01T00:00:00Z,night; rain;,bus,red,one\n"
        "./i//2.jpg,,c2,,,,blue,\n"
    )
    sources = find_uploads([path], Options(defaults={"vehicle_id": "unknown"}))
    assert sources.uploads == [
        Upload(
            Path("m/i/1.jpg"),
            {
                "image_id": "one",
                "vehicle_id": "v1",
                "camera_id": "c1",
                "captured_at": "2024-01-01T00:00:00Z",
                "vehicle_type": "bus",
                "tags": ["night", "rain"],
            },
        ),
        Upload(Path("m/i/2.jpg"), {"vehicle_id": "unknown", "image_id": "i/2.jpg", "camera_id": "c2"}),
    ]
    assert sources.unread_columns == {"m/list.csv": ("colour",)}


def test_a_file_is_enrolled_under_its_name_and_a_prefix_stands_before_every_id() -> None:
    make("d/car.jpg", "e/f/x.jpg", "m/1.jpg")
    path = manifest("path,image_id\n1.jpg,one\n")
    sources = find_uploads([Path("d/car.jpg"), Path("e"), path], Options(id_prefix="gate-4/"))
    assert [upload.image_id for upload in sources.uploads] == [
        "gate-4/car.jpg",
        "gate-4/f/x.jpg",
        "gate-4/one",
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("gone.jpg,x,,,", "does not exist"),
        (",x,,,", "path is empty"),
        (".,x,,,", "is a folder"),
        ("empty.jpg,x,,,", "is empty"),
        ("sub\\\\2.jpg,x,,,", "write / and not \\ between folders"),
        ("2.jpg,x,,17.05.2024,", "captured_at '17.05.2024' is not a time"),
        ("2.jpg,x,,2024-05-17T08:30:00,", "has no offset from UTC"),
        ("2.jpg,a//b,,,", "image_id 'a//b' is not a legal image id"),
        (f"2.jpg,x,{'c' * 257},,", "is not a legal camera id"),
        ('2.jpg,x,"gate\n3",,', r"camera_id is 'gate\n3', which is not a legal camera id"),
        ("2.jpg,x,a/../b,,", "camera_id is 'a/../b', which is not a legal camera id"),
        (f"2.jpg,x,,,{';'.join('abcdefg' * 5)}", "tags"),
        ("2.jpg,one,,,", "it and 'm/list.csv, line 2: 1.jpg' would both be enrolled as 'one'"),
        ("1.jpg,x,,,", "are the same file, with other fields"),
        ("sub/../1.jpg,x,,,", "are the same file, with other fields"),
        ("../x.jpg,x,,,", "outside the manifest's folder; add --outside"),
        ("link/x.jpg,x,,,", "outside the manifest's folder; add --outside"),
    ],
)
def test_a_row_that_the_service_would_refuse_is_refused_before_anything_is_sent(
    row: str, reason: str
) -> None:
    make("m/1.jpg", "m/2.jpg", "m/sub/2.jpg", "x.jpg")
    Path("m/empty.jpg").touch()
    Path("m/link").symlink_to("..")
    path = manifest(f"path,image_id,camera_id,captured_at,tags\n1.jpg,one,,,\n{row}\n")
    sources = find_uploads([path])
    assert [upload.image_id for upload in sources.uploads] == ["one"]
    [(place, said)] = failed(sources).items()
    assert place.startswith("m/list.csv, line 3")
    assert reason in said


def test_a_manifest_names_files_outside_its_folder_where_that_is_allowed() -> None:
    make("x.jpg", "m/1.jpg")
    Path("m/link").symlink_to("..")
    path = manifest("path,image_id\n../x.jpg,x\n")
    assert find_uploads([path], Options(outside=True)).uploads[0].path.samefile("x.jpg")
    # Without an id of its own it would have none that is legal.
    [reason] = failed(find_uploads([manifest("path\n../x.jpg\n")], Options(outside=True))).values()
    assert reason == "leaves the manifest's folder, so that its path is no image id; give it one"
    absolute = manifest(f"path\n{Path.cwd()}/m/1.jpg\n")
    assert find_uploads([absolute]).uploads[0].image_id == "1.jpg"


def test_the_same_row_twice_and_a_file_given_twice_are_taken_once() -> None:
    make("m/1.jpg", "d/sub/2.jpg")
    path = manifest("path,camera_id\n1.jpg,c\n1.jpg,c\n")
    sources = find_uploads([path, Path("d"), Path("d/sub"), Path("d/sub/2.jpg")])
    assert [upload.image_id for upload in sources.uploads] == ["1.jpg", "sub/2.jpg"]
    assert [(entry.fate, entry.reason) for entry in sources.not_enrolled] == [
        (Fate.skipped, "given twice")
    ] * 3


def test_names_that_make_no_image_id_are_reported() -> None:
    make(os.fsdecode(b"d/caf\xe9.jpg"), "d/new\nline.jpg", "d/x/image.jpg", "d/ok.jpg")
    Path("d/x/image.jpg").rename("d/x/image")
    sources = find_uploads([Path("d")])
    assert [upload.image_id for upload in sources.uploads] == ["ok.jpg"]
    said = failed(sources)
    assert said[r"d/caf\xe9.jpg"] == "its name is no UTF-8; rename it"
    assert said[r"d/new\nline.jpg"].startswith(r"image_id 'new\nline.jpg' is not a legal image id")
    assert said["d/x/image"].startswith("image_id 'x/image' is not a legal image id")


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["empty"], "nothing to enroll: no image was found$"),
        (["texts"], r"no image was found; left out: 2 no image \(.txt\), 1 hidden"),
        (["m.csv"], r"m\.csv, line 1: column path is missing; it names file \(path\?\), vehicle_id"),
        (["e.csv"], "e.csv: is empty"),
        (["l.csv"], "line 2: is not UTF-8: byte 0xE9 at 8, .*--encoding cp1252"),
        (["u.csv"], r"not known: column camera \(camera_id\?\), when; rename it, or .* --ignore-columns"),
        (["t.csv"], r"time \(captured_at\?\)"),
        (["s.xlsx"], "is a spreadsheet; save it as CSV"),
        (["a", "b"], "a/x.jpg and b/x.jpg would both be enrolled as 'x.jpg'.*--id-prefix gate-4/"),
        (["a", "c.csv"], r"a/x.jpg and c.csv, line 2: a/x.jpg are the same file, .* fields: name it once"),
    ],
)  # fmt: skip
def test_what_cannot_be_enrolled_from_is_reported(paths: list[str], message: str) -> None:
    make("a/x.jpg", "b/x.jpg", "s.xlsx")
    Path("empty").mkdir()
    for name in ("texts/a.txt", "texts/b.txt", "texts/.c"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("text", encoding="utf-8")
    for name, text in (
        ("m.csv", "file,vehicle_id\nx,y\n"),
        ("e.csv", ""),
        ("u.csv", "path,camera,when\na/x.jpg,c,x\n"),
        ("t.csv", "path,time\na/x.jpg,c\n"),
        ("c.csv", "path,camera_id\na/x.jpg,c\n"),
    ):
        Path(name).write_text(text, encoding="utf-8")
    Path("l.csv").write_bytes(b"path\ncaf\xe9.jpg\n")
    with pytest.raises(SourceError, match=message):
        find_uploads(map(Path, paths))


@pytest.mark.parametrize(
    "options", [Options(id_prefix="/"), Options(id_prefix="a\n"), Options(defaults={"camera_id": " x"})]
)
def test_options_that_make_every_image_wrong_are_refused_at_once(options: Options) -> None:
    make("d/x.jpg")
    with pytest.raises(SourceError, match="is not accepted"):
        find_uploads([Path("d")], options)
