"""What a user names, as uploads."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.client.sources import SourceError, Upload, find_uploads


def touch(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def test_a_folder_stands_for_the_images_below_it() -> None:
    touch("d/b.JPG", "d/a/x.png", "d/notes.txt", "d/a/.hidden")
    assert find_uploads([Path("d")]) == [
        Upload(Path("d/a/x.png"), {"image_id": "a/x.png"}),
        Upload(Path("d/b.JPG"), {"image_id": "b.JPG"}),
    ]


def test_a_manifest_gives_fields_and_leaves_out_what_it_does_not_know() -> None:
    Path("m").mkdir()
    Path("m/list.csv").write_text(
        "path,vehicle_id,camera_id,captured_at,tags,vehicle_type,image_id\n"
        "i/1.jpg,v1,c1,2024-01-01T00:00:00Z,night; rain,bus,one\n"
        "i/2.jpg,,c2,,,car,\n"
    )
    assert find_uploads([Path("m/list.csv")], {"vehicle_id": "unknown"}) == [
        Upload(
            Path("m/i/1.jpg"),
            {
                "image_id": "one",
                "vehicle_id": "v1",
                "camera_id": "c1",
                "captured_at": "2024-01-01T00:00:00Z",
                "tags": ["night", "rain"],
            },
        ),
        Upload(Path("m/i/2.jpg"), {"vehicle_id": "unknown", "image_id": "i/2.jpg", "camera_id": "c2"}),
    ]


def test_a_file_is_enrolled_under_its_name() -> None:
    touch("d/car.jpg")
    assert find_uploads([Path("d/car.jpg")]) == [Upload(Path("d/car.jpg"), {"image_id": "car.jpg"})]


def test_what_cannot_be_enrolled_from_is_told() -> None:
    touch("a/x.jpg", "b/x.jpg")
    Path("empty").mkdir()
    Path("m.csv").write_text("file,vehicle_id\nx,y\n")
    for paths, message in (
        (["nowhere"], "nowhere does not exist"),
        (["empty"], "nothing to enroll"),
        (["m.csv"], "no column `path`; it has file, vehicle_id"),
        (["a", "b"], "a/x.jpg and b/x.jpg would both be enrolled as 'x.jpg'"),
    ):
        with pytest.raises(SourceError, match=message):
            find_uploads(map(Path, paths))
