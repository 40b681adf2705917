"""What belongs to an image (verdicts, a frame, its share of the quota, its age) goes with it."""

from __future__ import annotations

import numpy as np
import pytest

from index import (
    Frame,
    InvalidEnrollmentError,
    InvalidQuotaError,
    InvalidRetentionError,
    Quota,
    QuotaReachedError,
    Record,
    TooManyVerdictsError,
    UnknownCameraError,
    UnknownFrameError,
    UnknownImageError,
    UnknownVerdictError,
    Verdict,
    digest_of,
    verdicts,
)
from tests.index.alterations import alter
from tests.index.samples import DIM, OpenAny, enroll_of_ages, enrollment
from tests.index.verdict_samples import NAME, PROBE, WHEN, decision

FRAME = Frame(b"a frame", "image/jpeg")


def test_verdicts_are_kept_replaced_undone_and_listed_in_order(
    open_any: OpenAny, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = open_any()
    gallery.enroll_many([enrollment(name) for name in "abc"])
    given = gallery.verdicts.decide(decision("b"))
    assert (given.probe, given.image_id, given.kind) == (NAME, "b", "same")
    assert (given.decided_at, given.decided_by, given.camera_id) == (WHEN, "3f9a1c2e", "gate")
    assert gallery.verdicts.probe(NAME) == (PROBE, "image/png")
    gallery.verdicts.decide(decision("a", camera_id=None))
    gallery.verdicts.decide(decision("b", "different", camera_id=None))
    kept = [(one.image_id, one.kind) for one in gallery.verdicts.of(NAME)]
    assert kept == [("b", "different"), ("a", "same")]
    assert {one.camera_id for one in gallery.verdicts.of(NAME)} == {"gate"}
    gallery.verdicts.decide(decision("c", probe=b"another"))
    found: list[Verdict] = []
    after: int | None = None
    while True:
        page = gallery.verdicts.page(after, 2)
        found += page.verdicts
        if (after := page.next) is None:
            break
    assert [(one.probe, one.image_id) for one in found] == [
        (NAME, "b"),
        (NAME, "a"),
        (digest_of(b"another"), "c"),
    ]
    monkeypatch.setattr(verdicts, "MOST", 2)
    with pytest.raises(TooManyVerdictsError, match="has 2 verdicts"):
        gallery.verdicts.decide(decision("c"))
    with pytest.raises(UnknownImageError):
        gallery.verdicts.decide(decision("none"))
    for image_id in ("a", "b"):
        gallery.verdicts.undo(NAME, image_id)
    with pytest.raises(UnknownVerdictError):
        gallery.verdicts.undo(NAME, "a")
    with pytest.raises(UnknownVerdictError):
        gallery.verdicts.probe(NAME)


def test_verdicts_go_with_the_image_and_with_a_probe_that_is_one(open_any: OpenAny) -> None:
    gallery = open_any()
    gallery.enroll_many([enrollment(name) for name in "abc"])
    image, _ = gallery.image("c")
    for one in (decision("a"), decision("b"), decision("a", probe=image)):
        gallery.verdicts.decide(one)
    gallery.delete("b")
    assert [one.image_id for one in gallery.verdicts.of(NAME)] == ["a"]
    gallery.enroll(enrollment("b"))
    assert [one.image_id for one in gallery.verdicts.of(NAME)] == ["a"], "of another enrollment"
    gallery.delete("c")
    assert gallery.verdicts.of(digest_of(image)) == ()
    gallery.delete("a")
    assert gallery.verdicts.page().verdicts == ()


def test_a_frame_goes_with_the_first_of_its_images(open_any: OpenAny) -> None:
    gallery = open_any()
    gallery.enroll_many([enrollment(name) for name in "abc"])
    gallery.frames.keep(["a", "b"], FRAME)
    gallery.frames.keep(["a"], Frame(b"another", "image/png"))
    assert gallery.frames.of("a") == gallery.frames.of("b") == FRAME
    for image_id in ("c", "nobody", "\0"):
        with pytest.raises(UnknownFrameError):
            gallery.frames.of(image_id)
    for unknown in ("nobody", "\0"):
        with pytest.raises(UnknownImageError):
            gallery.frames.keep(["c", unknown], FRAME)
    gallery.delete("b")
    with pytest.raises(UnknownFrameError):
        gallery.frames.of("a")
    gallery.frames.keep(["a"], FRAME)
    gallery.close()
    assert open_any().frames.of("a") == FRAME


def test_a_quota_holds_in_images_and_leaves_nothing_of_what_it_refuses(open_any: OpenAny) -> None:
    gallery = open_any()
    gallery.enroll(enrollment("a"))
    before = gallery.quotas.usage()
    assert before.images == 1
    gallery.quotas.set(Quota(images=2))
    assert gallery.quotas.quota() == Quota(images=2)
    with pytest.raises(QuotaReachedError, match="2 images"):
        gallery.enroll_many([enrollment("b"), enrollment("c")])
    assert (gallery.count(), gallery.quotas.usage()) == (1, before)
    gallery.enroll(enrollment("b"))
    gallery.quotas.set(Quota(bytes=0))
    with pytest.raises(QuotaReachedError, match="0 bytes"):
        gallery.enroll(enrollment("c"))
    with pytest.raises(InvalidQuotaError):
        gallery.quotas.set(Quota(images=-1))
    gallery.quotas.set(Quota())
    gallery.delete("b")
    assert gallery.quotas.usage().images == 1


def test_images_that_are_too_old_go_and_a_dry_run_counts_the_same(open_any: OpenAny) -> None:
    gallery = open_any()
    enroll_of_ages(gallery)
    assert (gallery.retention.expired(), gallery.retention.expired(30)) == (0, 3)
    with pytest.raises(InvalidRetentionError):
        gallery.retention.set(0)
    gallery.retention.set(30)
    gallery.retention.apply()
    assert [record.image_id for record in gallery.page().records] == [
        "young",
        "young without a time",
        "from the future",
    ]
    gallery.retention.set(None)
    assert gallery.retention.state.days is None


def test_the_same_bytes_are_found_under_every_id_in_order(open_any: OpenAny) -> None:
    gallery = open_any()
    gallery.enroll_many([enrollment(name, image=b"the same") for name in "cab"])
    gallery.enroll(enrollment("d"))
    assert gallery.same_image(b"the same") == ["c", "a", "b"]
    assert gallery.same_image(b"the same", limit=2) == ["c", "a"]
    assert gallery.same_image(b"other") == []


def test_what_is_known_of_cameras_follows(open_any: OpenAny) -> None:
    gallery = open_any(normalisation="off")
    gallery.enroll_many([enrollment(name, camera_id=f"camera-{n % 2}") for n, name in enumerate("abcde")])
    gallery.update("a", {"camera_id": "camera-1"})
    gallery.delete("c")
    seen = {camera.camera_id: camera.enrolled for camera in gallery.cameras.overview().cameras}
    assert seen == {"camera-0": 1, "camera-1": 3}
    assert gallery.cameras.calibrate("gate", enrollment("x").descriptor, b"digest")
    assert not gallery.cameras.calibrate("gate", enrollment("x").descriptor, b"digest")
    assert gallery.cameras.state("gate").calibrated == 1
    assert gallery.cameras.calibrate("gate", enrollment("y").descriptor, b"another")
    assert gallery.cameras.state("gate").calibrated == 2
    with pytest.raises(InvalidEnrollmentError):
        gallery.cameras.calibrate("gate", np.ones(DIM, np.float32), b"third", anew=True)
    assert gallery.cameras.state("gate").calibrated == 2
    assert gallery.cameras.calibrate("gate", enrollment("x").descriptor, b"digest", anew=True)
    assert gallery.cameras.state("gate").calibrated == 1
    gallery.cameras.forget_calibration("gate")
    with pytest.raises(UnknownCameraError):
        gallery.cameras.state("gate")
    assert gallery.cameras.normalisation().is_raw


@pytest.mark.parametrize("seed", range(2))
def test_any_sequence_of_changes_agrees_with_a_model(seed: int, open_any: OpenAny) -> None:
    random = np.random.default_rng(seed)
    gallery = open_any(normalisation="off")
    model: dict[str, Record] = {}
    for step in range(40):
        name = f"image-{random.integers(8)}"
        camera = [None, "c0", "c1", ""][random.integers(4)]
        action = random.choice(["enroll", "enroll", "delete", "update", "filter", "reopen"])
        if action == "reopen":
            gallery.close()
            gallery = open_any(normalisation="off")
        elif action != "filter" or (camera is not None and random.random() < 0.5):
            alter(gallery, model, action, name, camera, step)
        assert {record.image_id: record for record in gallery.page().records} == model
    [found] = gallery.search(enrollment("x").descriptor[np.newaxis], k=100)
    expected = {one: float(enrollment(one).descriptor @ enrollment("x").descriptor) for one in model}
    assert {match.record.image_id: match.similarity for match in found} == pytest.approx(expected, abs=2e-3)
