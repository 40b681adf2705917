"""Re-embedding: everything but the features is kept, and until the end nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from index import (
    Decision,
    Enrollment,
    FingerprintMismatchError,
    Frame,
    GalleryLockedError,
    LocalGallery,
    NewWatch,
    NotErasedError,
    Quota,
    UnknownFrameError,
    digest_of,
)
from index.upkeep.replacement import STAGING
from models.bundle import Bundle
from models.decoding import decode
from models.preprocessing import Pixels, prepare
from service.commands.reembedding import ReembeddingError, re_embed, re_embed_ahead
from service.inference.forward import ForwardPass
from tests.service.fakes import (
    BLUE,
    DIM,
    FINGERPRINT,
    GREEN,
    RED,
    SHAPE,
    STRIPS,
    FakeEmbedder,
    image_file,
    make_models,
    open_gallery,
)

OLD = "e" * 64
WHEN = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def bundle() -> Bundle:
    return make_models().bundle


def fill(folder: Path, images: dict[str, bytes]) -> None:
    """A gallery that another model with other shapes has embedded."""
    with LocalGallery.open(folder, fingerprint=OLD, descriptor_dim=2, strips_shape=None) as gallery:
        for name, data in images.items():
            gallery.enroll(
                Enrollment(
                    image_id=name,
                    vehicle_id="v" + name,
                    camera_id="c",
                    captured_at=WHEN,
                    view="front",
                    tags=("x",),
                    descriptor=np.array([1, 0], np.float32),
                    strips=None,
                    image=data,
                    media_type="image/png",
                    enrolled_at=WHEN,
                )
            )


def forward(embedder: FakeEmbedder | None = None) -> ForwardPass:
    return ForwardPass((embedder or FakeEmbedder()).embed, SHAPE, 2)


def test_records_keep_all_but_their_fingerprint_and_can_be_searched(tmp_path: Path, bundle: Bundle) -> None:
    images = {"a/1": image_file(RED), "a/2": image_file(GREEN), "a/3": image_file(BLUE)}
    fill(tmp_path, images)
    progress: list[tuple[int, int]] = []
    result = re_embed(
        tmp_path, bundle, forward(), batch=2, on_progress=lambda done, total: progress.append((done, total))
    )
    assert (result.embedded, result.left_out) == (3, [])
    assert progress == [(2, 3), (3, 3)]
    assert not (tmp_path / STAGING).exists()
    with open_gallery(tmp_path) as gallery:
        assert [record.image_id for record in gallery.page().records] == list(images)
        record = gallery.get("a/2")
        assert (record.vehicle_id, record.camera_id, record.view, record.tags) == (
            "va/2",
            "c",
            "front",
            ("x",),
        )
        assert (record.captured_at, record.enrolled_at, record.fingerprint) == (WHEN, WHEN, FINGERPRINT)
        assert gallery.image("a/2") == (images["a/2"], "image/png")
        probe = np.eye(1, DIM, dtype=np.float32)
        [matches] = gallery.search(probe, 10, strips=10)
        assert len(matches) == 3
        assert all(match.strips is not None and match.strips.shape == STRIPS for match in matches)


def still_old(folder: Path, count: int) -> bool:
    with pytest.raises(FingerprintMismatchError):
        open_gallery(folder)
    with LocalGallery.open(folder, fingerprint=OLD, descriptor_dim=2, strips_shape=None) as gallery:
        return gallery.count() == count


def test_an_image_that_cannot_be_embedded_stops_it_and_nothing_changes(
    tmp_path: Path, bundle: Bundle
) -> None:
    fill(tmp_path, {"good": image_file(), "bad": b"no image"})
    with pytest.raises(ReembeddingError, match=r"'bad' cannot be embedded .*nothing was changed"):
        re_embed(tmp_path, bundle, forward())
    assert still_old(tmp_path, 2)


def test_such_images_are_left_out_where_that_is_wanted(tmp_path: Path, bundle: Bundle) -> None:
    def poison(images: Pixels) -> None:
        if images.max() > 250:
            raise RuntimeError("poison")

    embedder = FakeEmbedder()
    embedder.on_embed = poison
    fill(
        tmp_path,
        {"good": image_file((100, 100, 100)), "bad": b"no image", "poison": image_file((255, 255, 255))},
    )
    result = re_embed(tmp_path, bundle, forward(embedder), leave_out_failed=True)
    assert result.embedded == 1
    assert [image_id for image_id, _ in result.left_out] == ["bad", "poison"]
    with open_gallery(tmp_path) as gallery:
        assert [record.image_id for record in gallery.page().records] == ["good"]


def test_verdicts_are_kept_but_for_images_that_were_left_out(tmp_path: Path, bundle: Bundle) -> None:
    fill(tmp_path, {"a": image_file(RED), "b": b"no image"})
    with LocalGallery.open(tmp_path, fingerprint=OLD, descriptor_dim=2, strips_shape=None) as gallery:
        for image_id in "ab":
            gallery.verdicts.decide(
                Decision(b"probe", "image/png", image_id, "different", "gate", WHEN, "3f9a1c2e")
            )
    re_embed(tmp_path, bundle, forward(), batch=2, leave_out_failed=True)
    with open_gallery(tmp_path) as gallery:
        [verdict] = gallery.verdicts.of(digest_of(b"probe"))
        assert (verdict.image_id, verdict.kind, verdict.camera_id) == ("a", "different", "gate")
        assert (verdict.decided_at, verdict.decided_by) == (WHEN, "3f9a1c2e")
        assert gallery.verdicts.probe(verdict.probe) == (b"probe", "image/png")


def test_frames_are_kept_but_for_images_that_were_left_out(tmp_path: Path, bundle: Bundle) -> None:
    fill(tmp_path, {"a": image_file(RED), "b": b"no image", "c": image_file(RED)})
    frame, other = Frame(b"a frame", "image/png"), Frame(b"another", "image/png")
    with LocalGallery.open(tmp_path, fingerprint=OLD, descriptor_dim=2, strips_shape=None) as gallery:
        gallery.frames.keep(["a", "c"], frame)
        gallery.frames.keep(["b"], other)
    re_embed(tmp_path, bundle, forward(), batch=2, leave_out_failed=True)
    with open_gallery(tmp_path) as gallery:
        assert gallery.frames.of("a") == gallery.frames.of("c") == frame
        with pytest.raises(UnknownFrameError):
            gallery.frames.of("b")


def test_after_an_interruption_the_old_gallery_stands_and_it_can_be_run_again(
    tmp_path: Path, bundle: Bundle
) -> None:
    fill(tmp_path, {str(number): image_file() for number in range(4)})

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        re_embed(tmp_path, bundle, forward(), batch=2, on_progress=interrupt)
    assert (tmp_path / STAGING).exists()
    assert still_old(tmp_path, 4)
    assert re_embed(tmp_path, bundle, forward()).embedded == 4


def test_a_gallery_in_use_is_left_alone(tmp_path: Path, bundle: Bundle) -> None:
    fill(tmp_path, {"a": image_file()})
    with (
        LocalGallery.open(tmp_path, fingerprint=OLD, descriptor_dim=2, strips_shape=None),
        pytest.raises(GalleryLockedError),
    ):
        re_embed(tmp_path, bundle, forward())


def test_an_empty_gallery_changes_hands_too(tmp_path: Path, bundle: Bundle) -> None:
    fill(tmp_path, {})
    assert re_embed(tmp_path, bundle, forward()).embedded == 0
    with open_gallery(tmp_path) as gallery:
        assert gallery.count() == 0


def test_an_interrupted_run_is_gone_on_with_and_follows_what_changed_meanwhile(
    tmp_path: Path, bundle: Bundle
) -> None:
    colours = {"a": RED, "b": GREEN, "c": BLUE, "d": (90, 80, 70)}
    fill(tmp_path, {name: image_file(colour) for name, colour in colours.items()})

    def interrupt(done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        re_embed(tmp_path, bundle, forward(), batch=1, on_progress=interrupt)
    assert still_old(tmp_path, 4)
    with LocalGallery.open(tmp_path, fingerprint=OLD, descriptor_dim=2, strips_shape=None) as gallery:
        gallery.update("b", {"view": "rear"})
        gallery.delete("c")
        gallery.retention.set(36_500)
        gallery.quotas.set(Quota(images=9, bytes=None))
        gallery.cameras.calibrate("gate", np.array([0, 1], np.float32), b"x")
    embedder = FakeEmbedder()
    result = re_embed(tmp_path, bundle, forward(embedder), batch=1)
    assert (result.embedded, result.resumed, result.calibrated) == (3, 2, ["gate"])
    assert embedder.batches == [1]
    with open_gallery(tmp_path) as gallery:
        assert [record.image_id for record in gallery.page().records] == ["a", "b", "d"]
        assert gallery.get("b").view == "rear"
        assert gallery.retention.state.days == 36_500
        assert gallery.quotas.quota() == Quota(images=9, bytes=None)


def test_what_an_interrupted_run_has_of_a_deleted_image_is_erased(tmp_path: Path, bundle: Bundle) -> None:
    secret = image_file(RED)
    fill(tmp_path, {"a": secret, "b": image_file(GREEN)})

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        re_embed(tmp_path, bundle, forward(), batch=2, on_progress=interrupt)
    with LocalGallery.open(tmp_path, fingerprint=OLD, descriptor_dim=2, strips_shape=None) as gallery:
        gallery.erase()
        assert (tmp_path / STAGING).exists()
        gallery.delete("a")
        gallery.erase()
    assert not any(secret in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_a_gallery_is_embedded_ahead_while_it_is_in_use_and_exchanged_later(
    tmp_path: Path, bundle: Bundle
) -> None:
    fill(tmp_path, {"a": image_file(RED), "b": image_file(GREEN), "c": image_file(BLUE)})
    with LocalGallery.open(tmp_path, fingerprint=OLD, descriptor_dim=2, strips_shape=None) as gallery:
        embedder = FakeEmbedder()
        ahead = re_embed_ahead(tmp_path, bundle, forward(embedder), batch=2)
        assert (ahead.embedded, ahead.resumed, embedder.batches) == (3, 0, [2, 1])
        # Queries go on, and so do changes.
        assert len(gallery.search(np.array([[1, 0]], np.float32), k=9)[0]) == 3
        gallery.delete("a")
        gallery.update("b", {"camera_id": "another"})
    fill(tmp_path, {"d": image_file((1, 2, 3))})
    embedder = FakeEmbedder()
    result = re_embed(tmp_path, bundle, forward(embedder), batch=2)
    assert (result.embedded, result.resumed, embedder.batches) == (3, 2, [1])
    with open_gallery(tmp_path) as gallery:
        assert [record.image_id for record in gallery.page().records] == ["b", "c", "d"]
        assert gallery.get("b").camera_id == "another"


def test_what_goes_while_it_is_embedded_ahead_is_waited_for_and_erased(
    tmp_path: Path, bundle: Bundle
) -> None:
    fill(tmp_path, {"a": image_file(RED), "b": image_file(GREEN)})
    with LocalGallery.open(tmp_path, fingerprint=OLD, descriptor_dim=2, strips_shape=None) as gallery:

        def delete(done: int, _total: int) -> None:
            if done == 1:
                gallery.delete("a")
                with pytest.raises(NotErasedError, match="is being worked on"):
                    gallery.erase()

        re_embed_ahead(tmp_path, bundle, forward(), batch=1, on_progress=delete)
        gallery.erase()
        assert gallery.unerased_seconds() == 0
    secret = image_file(RED)
    assert not any(secret in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert re_embed(tmp_path, bundle, forward()).resumed == 1


def test_watches_are_kept_by_the_new_models_descriptors(tmp_path: Path, bundle: Bundle) -> None:
    fill(tmp_path, {"a": image_file(RED), "b": b"no image"})
    with LocalGallery.open(tmp_path, fingerprint=OLD, descriptor_dim=2, strips_shape=None) as gallery:
        for name, data in (("file", image_file(BLUE)), ("no file", b"no image")):
            descriptor = np.array([1, 0], np.float32)
            watch = NewWatch(name=name, data=data, media_type="image/png", descriptor=descriptor)
            signed = replace(watch, webhook="https://hooks.example", secret=name, created_at=WHEN)
            gallery.watches.add(signed)
        for image_id in "ab":
            gallery.watches.add(NewWatch(image_id=image_id, cameras=frozenset("c"), created_at=WHEN))
    re_embed(tmp_path, bundle, forward(), leave_out_failed=True)
    with open_gallery(tmp_path) as gallery:
        assert [(kept.name, kept.image_id, kept.cameras) for kept in gallery.watches.all()] == [
            ("file", None, frozenset()),
            ("", "a", frozenset("c")),
        ]
        of_file, of_image = gallery.watches.watched()
        assert gallery.watches.webhook(of_file.id) == ("https://hooks.example", "file")
        descriptors = [of_file.descriptor, of_image.descriptor]
        expected = [
            forward()([prepare(decode(image_file(colour)), bundle.manifest.input)])[0].descriptor
            for colour in (BLUE, RED)
        ]
        assert np.allclose(descriptors, expected, atol=1e-3)
        assert gallery.watches.unchecked(10) is None
