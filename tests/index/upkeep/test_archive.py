"""An archive holds a gallery exactly, and one that somebody else made is believed nothing."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import (
    DamagedImageError,
    Filter,
    FingerprintMismatchError,
    GalleryBackupError,
    GalleryShapeError,
    LocalGallery,
)
from index.upkeep.archive import DESCRIPTORS, MANIFEST, RECORDS, STRIPS, export
from index.upkeep.archive_reader import ArchiveReader
from index.upkeep.backup import back_up
from index.upkeep.importing import Became, import_archive
from index.upkeep.verification import verify
from service.remote.sources import Options, find_uploads
from tests.index.samples import DIM, Open, enrollment
from tests.index.samples import STRIPS as SHAPE


@pytest.fixture
def archive(open_gallery: Open, folder: Path, tmp_path: Path) -> Path:
    """Of a gallery with all that an image can have, and all that it can lack."""
    gallery = open_gallery()
    gallery.enroll_many(
        [
            enrollment("a", vehicle_type="bus", tags=("with; one", " padded ", "größer")),
            enrollment(
                "b/ü", vehicle_id=None, camera_id=None, captured_at=None, view=None, tags=(), strips=None
            ),
            enrollment('c, "quoted"\nand broken', enrolled_at=datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC)),
            enrollment("d"),
        ]
    )
    export(folder, tmp_path / "gallery.zip")
    return tmp_path / "gallery.zip"


def _import(archive: Path, folder: Path) -> Counter[Became]:
    with ArchiveReader(archive) as reader:
        return Counter(became for _, became, _ in import_archive(reader, folder))


def _contents(gallery: LocalGallery) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for record in gallery.page().records:
        [match] = gallery.search(enrollment(record.image_id).descriptor[np.newaxis], k=1, strips=1)[0]
        strips = None if match.strips is None else match.strips.tobytes()
        found[record.image_id] = (record, gallery.image(record.image_id), match.similarity, strips)
    return found


def test_import_gives_what_was_exported_to_the_last_bit(
    archive: Path, open_gallery: Open, folder: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    assert _import(archive, new) == {Became.enrolled: 4}
    assert verify(new).findings == []
    with open_gallery(new) as imported, open_gallery(_copied(folder, tmp_path)) as before:
        assert _contents(imported) == _contents(before)


def _copied(folder: Path, tmp_path: Path) -> Path:
    """A copy of a gallery that is open elsewhere."""
    back_up(folder, tmp_path / "copy")
    (tmp_path / "copy" / "backup.json").unlink()
    return tmp_path / "copy"


def test_an_import_that_was_interrupted_goes_on_where_it_was_and_says_so(
    archive: Path, open_gallery: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.upkeep.importing.AT_ONCE", 2)
    new = tmp_path / "new"
    with ArchiveReader(archive) as reader:
        imported = import_archive(reader, new)
        assert [next(imported)[1] for _ in range(3)] == [Became.enrolled] * 3
        imported.close()  # type: ignore[attr-defined]
    with open_gallery(new) as gallery:
        assert gallery.count() == 4
        gallery.delete("d")
        gallery.update("a", {"view": "another"})
        gallery.delete("b/ü")
        gallery.enroll(enrollment("b/ü", image=b"another"))
    assert _import(archive, new) == {
        Became.enrolled: 1,
        Became.other_fields: 1,
        Became.other_image: 1,
        Became.already: 1,
    }


@pytest.mark.usefixtures("archive")
def test_a_filter_exports_what_it_lets_through(folder: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.zip"
    assert export(folder, part, Filter(vehicle_types=frozenset({"bus"}))) == 1
    assert _import(part, tmp_path / "new") == {Became.enrolled: 1}
    assert export(folder, tmp_path / "none.zip", Filter(vehicle_types=frozenset({"tram"}))) == 0
    assert _import(tmp_path / "none.zip", tmp_path / "none") == {}


def test_an_archive_that_is_unpacked_is_a_manifest_to_enroll(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "unpacked")
    sources = find_uploads([tmp_path / "unpacked" / RECORDS], Options(ignore_columns=True))
    found = {upload.image_id: upload for upload in sources.uploads}
    assert {"a", "b/ü", "d"} <= set(found)
    assert found["a"].path.read_bytes() == enrollment("a").image
    assert found["d"].fields["tags"] == ["bus", "größer"]


def test_another_models_gallery_is_not_mixed_with_it(
    archive: Path, open_gallery: Open, tmp_path: Path
) -> None:
    open_gallery(tmp_path / "other", fingerprint="model-b").close()
    with pytest.raises(FingerprintMismatchError):
        _import(archive, tmp_path / "other")
    open_gallery(tmp_path / "narrow", descriptor_dim=DIM // 2).close()
    with pytest.raises(GalleryShapeError):
        _import(archive, tmp_path / "narrow")


@pytest.mark.usefixtures("archive")
def test_a_damaged_image_is_named_and_no_archive_is_left(
    open_gallery: Open, folder: Path, tmp_path: Path
) -> None:
    gallery = open_gallery(tmp_path / "damaged")
    gallery.enroll(enrollment("a"))
    gallery._store._writer.execute("UPDATE image SET data = x'00'")
    with pytest.raises(DamagedImageError, match="'a' is damaged: its image"):
        export(tmp_path / "damaged", tmp_path / "damaged.zip")
    assert not (tmp_path / "damaged.zip").exists()
    with pytest.raises(GalleryBackupError, match="something at"):
        export(folder, tmp_path / "gallery.zip")


Change = Callable[[dict[str, bytes]], None]


def _changed(archive: Path, to: Path, change: Change, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(archive) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    with zipfile.ZipFile(to, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return to


def _manifest(**changes: Any) -> Change:
    def change(members: dict[str, bytes]) -> None:
        members[MANIFEST] = json.dumps(json.loads(members[MANIFEST]) | changes).encode()

    return change


def _without(name: str) -> Change:
    def change(members: dict[str, bytes]) -> None:
        del members[name]

    return change


def _with(name: str, data: bytes) -> Change:
    """Another member, of which the manifest knows: what then is wrong is the member itself."""

    def change(members: dict[str, bytes]) -> None:
        members[name] = data
        if name == MANIFEST:
            return
        content = json.loads(members[MANIFEST])
        if name in content["files"]:
            content["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        members[MANIFEST] = json.dumps(content).encode()

    return change


def _headed(header: str) -> bytes:
    """An array of this header and nothing else."""
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode()


def _array(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_without(MANIFEST), "has no manifest.json"),
        (_without(RECORDS), "has no records.csv"),
        (_without(DESCRIPTORS), "has no descriptors.npy"),
        (_with(MANIFEST, b"{" * 1000), "damaged manifest.json"),
        (_with(MANIFEST, b'{"format": "another"}'), "is no archive of a gallery"),
        (_manifest(version=2), "is of version 2 of the format"),
        (_manifest(images=3), r"in descriptors.npy, float16 \[3, 8\] expected"),
        (_manifest(images=2**70), "says what cannot be"),
        (_manifest(descriptor_dim=0), "says what cannot be"),
        (_manifest(strips_shape=[2**20, 2**20]), "says what cannot be"),
        (_manifest(files={}), "says what cannot be"),
        (_manifest(descriptor_dim=DIM * 2), r"in descriptors.npy, float16 \[4, 16\] expected"),
        (lambda members: members.update({RECORDS: b"x"}), "another records.csv than its manifest"),
        (_with(RECORDS, b"path,image_id\n"), "has other columns"),
        (_with(RECORDS, b"\xff\xfe"), "damaged records.csv|other columns"),
        (_with(DESCRIPTORS, b"no array"), "has a damaged descriptors.npy"),
        (_with(DESCRIPTORS, _array(np.zeros((4, DIM), np.float32))), "float32"),
        *(
            (_with(DESCRIPTORS, _headed(header)), "has a damaged descriptors.npy")
            for header in ("{'shape': (", "  a\n b\n", "-" * 900 + "1", "{[]: 1}", "'" * 3)
        ),
        (_with(DESCRIPTORS, _array(np.array([{"a": 1}] * 4))), "object"),
        (_with(DESCRIPTORS, _array(np.zeros((4, DIM), np.float16))[:-1]), "ends within descriptors.npy"),
        (_with(STRIPS, _array(np.zeros((2, *SHAPE), np.float16))), "fewer descriptors or strips"),
    ],
)
def test_an_archive_that_is_not_what_it_should_be_is_refused_by_name(
    change: Change, why: str, archive: Path, tmp_path: Path
) -> None:
    bad = _changed(archive, tmp_path / "bad.zip", change)
    with pytest.raises(GalleryBackupError, match=why) as caught:
        _import(bad, tmp_path / "new")
    assert str(bad) in str(caught.value)


def test_what_is_compressed_or_no_archive_is_refused_before_it_is_read(archive: Path, tmp_path: Path) -> None:
    bad = _changed(archive, tmp_path / "bad.zip", lambda _: None, zipfile.ZIP_DEFLATED)
    with pytest.raises(GalleryBackupError, match="compressed or encrypted"):
        _import(bad, tmp_path / "new")
    (tmp_path / "none.zip").write_bytes(b"no archive")
    with pytest.raises(GalleryBackupError, match="is no archive of a gallery"):
        _import(tmp_path / "none.zip", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_images_that_lie_within_each_other_are_refused_before_one_is_read(
    archive: Path, tmp_path: Path
) -> None:
    """A member whose data hold the next member whole, as in a small archive that would fill any disk."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("images/00000001", enrollment("a").image)
    header_and_data = inner.getvalue()[: inner.getvalue().index(b"PK\1\2")]
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(bad, "w") as file:
        for name in (MANIFEST, RECORDS, DESCRIPTORS, STRIPS):
            file.writestr(name, source.read(name))
        file.writestr("images/00000000", header_and_data)
        [outer] = [one for one in file.infolist() if one.filename == "images/00000000"]
        within = zipfile.ZipInfo("images/00000001")
        within.header_offset = outer.header_offset + 30 + len(outer.filename)
        within.file_size = within.compress_size = len(enrollment("a").image)
        within.CRC = zlib.crc32(enrollment("a").image)
        file.filelist.append(within)
        file.NameToInfo[within.filename] = within
    with pytest.raises(GalleryBackupError, match="members that overlap, 'images/00000001'"):
        _import(bad, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("path", "../../etc/passwd", "names no image of an archive"),
        ("path", "/etc/passwd", "names no image of an archive"),
        ("path", "images/99999999", "is missing"),
        ("path", "images/00000000", "another row's image already"),
        ("bytes", "7", "bytes, 7 expected"),
        ("sha256", "0" * 64, "differs from the SHA-256"),
        ("captured_at", "yesterday", "yesterday"),
        ("captured_at", "2024-01-01T00:00:00", "has no time zone"),
        ("enrolled_at", "", "isoformat"),
        ("tags_json", "3", "no list of text"),
        ("tags_json", "[" * 5000, "recursion|Expecting"),
        ("image_id", "", "image_id"),
        ("image_id", "b/ü", "already enrolled"),
        ("media_type", "", "media_type"),
    ],
)
def test_an_image_with_a_fault_is_told_and_the_others_are_imported(
    field: str, value: str, why: str, archive: Path, tmp_path: Path
) -> None:
    def change(members: dict[str, bytes]) -> None:
        rows = list(csv.DictReader(io.StringIO(members[RECORDS].decode())))
        rows[-1][field] = value
        made = io.StringIO()
        writer = csv.DictWriter(made, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        _with(RECORDS, made.getvalue().encode())(members)

    bad = _changed(archive, tmp_path / "bad.zip", change)
    with ArchiveReader(bad) as reader:
        imported = list(import_archive(reader, tmp_path / "new"))
    assert Counter(became for _, became, _ in imported) == {Became.enrolled: 3, Became.failed: 1}
    [fault] = [reason for _, became, reason in imported if became == Became.failed]
    assert re.search(why, fault, re.IGNORECASE), fault
