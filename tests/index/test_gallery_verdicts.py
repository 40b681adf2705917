"""Verdicts of people are durable, belong to the bytes of a probe, and go with the image."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from index import (
    GalleryDamagedError,
    LocalGallery,
    UnknownImageError,
    UnknownVerdictError,
    digest_of,
)
from index.database.connections import DATABASE
from index.upkeep.repair import rebuild
from index.upkeep.verification import verify
from tests.index.killed import killed_after
from tests.index.samples import Open, earlier_version, enrollment
from tests.index.verdict_samples import NAME, PROBE, WHEN, decision


@pytest.fixture
def gallery(open_gallery: Open) -> LocalGallery:
    opened = open_gallery()
    opened.enroll_many([enrollment(name) for name in "abc"])
    return opened


def kept(gallery: LocalGallery, probe: bytes = PROBE) -> dict[str, str]:
    return {verdict.image_id: verdict.kind for verdict in gallery.verdicts.of(digest_of(probe))}


def rows(folder: Path, table: str) -> int:
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


def test_a_verdict_is_kept_as_it_was_decided_and_outlives_a_restart(
    gallery: LocalGallery, open_gallery: Open
) -> None:
    given = gallery.verdicts.decide(decision("b"))
    assert (given.probe, given.image_id, given.kind) == (NAME, "b", "same")
    assert (given.decided_at, given.decided_by, given.camera_id) == (WHEN, "3f9a1c2e", "gate")
    gallery.close()
    again = open_gallery()
    assert again.verdicts.of(NAME) == (given,)
    assert again.verdicts.probe(NAME) == (PROBE, "image/png")
    assert again.verdicts.of(digest_of(b"other")) == again.verdicts.of("no digest") == ()


def test_a_verdict_survives_a_process_that_is_killed_when_it_is_acknowledged(
    folder: Path, open_gallery: Open
) -> None:
    open_gallery().close()

    def work() -> LocalGallery:
        gallery = LocalGallery.open(folder, fingerprint="model-a", descriptor_dim=8, strips_shape=(2, 3))
        gallery.enroll(enrollment("a"))
        gallery.verdicts.decide(decision("a", "different"))
        return gallery

    killed_after(work)
    assert kept(open_gallery()) == {"a": "different"}


def test_the_last_verdict_on_a_pair_counts_and_can_be_undone(gallery: LocalGallery, folder: Path) -> None:
    gallery.verdicts.decide(decision("a", "same"))
    gallery.verdicts.decide(decision("b", "different"))
    gallery.verdicts.decide(decision("a", "different", camera_id=None))
    assert kept(gallery) == {"a": "different", "b": "different"}
    assert {verdict.camera_id for verdict in gallery.verdicts.of(NAME)} == {"gate"}
    gallery.verdicts.undo(NAME, "a")
    assert kept(gallery) == {"b": "different"}
    assert rows(folder, "probe") == 1
    gallery.verdicts.undo(NAME, "b")
    assert rows(folder, "probe") == rows(folder, "verdict") == 0
    for image_id in ("a", "none", "\0"):
        with pytest.raises(UnknownVerdictError, match="no verdict"):
            gallery.verdicts.undo(NAME, image_id)
    with pytest.raises(UnknownVerdictError):
        gallery.verdicts.probe(NAME)


@pytest.mark.parametrize("image_id", ["none", "\0"])
def test_a_verdict_on_an_image_that_is_not_enrolled_is_refused(
    gallery: LocalGallery, folder: Path, image_id: str
) -> None:
    with pytest.raises(UnknownImageError):
        gallery.verdicts.decide(decision(image_id))
    assert rows(folder, "probe") == 0


def test_verdicts_go_with_the_image_and_the_probe_with_its_last(gallery: LocalGallery, folder: Path) -> None:
    gallery.verdicts.decide(decision("a"))
    gallery.verdicts.decide(decision("b", "different"))
    gallery.verdicts.decide(decision("b", probe=b"another"))
    gallery.delete("b")
    assert kept(gallery) == {"a": "same"}
    assert (rows(folder, "probe"), rows(folder, "verdict")) == (1, 1)
    gallery.enroll(enrollment("b"))
    assert kept(gallery) == {"a": "same"}, "of another enrollment under the same id"
    gallery.delete("a")
    assert (rows(folder, "probe"), rows(folder, "verdict")) == (0, 0)


def test_a_probe_that_is_an_enrolled_image_goes_with_that_image(gallery: LocalGallery, folder: Path) -> None:
    image, _ = gallery.image("c")
    gallery.verdicts.decide(decision("a", probe=image))
    gallery.delete("c")
    assert kept(gallery, image) == {}
    assert (rows(folder, "probe"), rows(folder, "verdict")) == (0, 0)


def test_a_gallery_of_earlier_software_gets_the_tables(folder: Path, open_gallery: Open) -> None:
    earlier_version(3, "closed", folder)
    with open_gallery() as gallery:
        gallery.verdicts.decide(decision("a"))
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        # The software before verdicts, of the present schema, wrote no such tables.
        for table in ("verdict", "probe"):
            connection.execute(f"DROP TABLE {table}")
        connection.commit()
    with open_gallery() as gallery:
        assert kept(gallery) == {}
        gallery.verdicts.decide(decision("a"))
        assert kept(gallery) == {"a": "same"}


def test_a_rebuilt_gallery_keeps_them(gallery: LocalGallery, folder: Path, open_gallery: Open) -> None:
    gallery.verdicts.decide(decision("a"))
    gallery.close()
    rebuild(folder)
    assert verify(folder).findings == []
    assert kept(open_gallery()) == {"a": "same"}


def test_a_probes_file_that_is_not_as_it_was_kept_is_not_given(gallery: LocalGallery, folder: Path) -> None:
    gallery.verdicts.decide(decision("a"))
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        connection.execute("UPDATE probe SET data = x'00'")
        connection.commit()
    with pytest.raises(GalleryDamagedError, match="probe"):
        gallery.verdicts.probe(NAME)
    assert kept(gallery) == {"a": "same"}
    gallery.close()
    assert [finding.text.partition(":")[0] for finding in verify(folder).findings] == [f"probe {NAME}"]
