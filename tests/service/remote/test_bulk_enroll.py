"""Many uploads: what becomes of each, and of the rest when it ends early."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from lka_reid_client.errors import AbandonedError, RefusedError, ServiceUnreachableError
from service.remote import sending
from service.remote.bulk_enroll import INTERRUPTED, check_all, upload_all
from service.remote.http import Enrolled, ServiceClient
from service.remote.outcome import Fate, Outcome
from service.remote.sources import Upload
from tests.service.fakes import image_file

Answer = Callable[[Path], Enrolled]
NEW = Enrolled(new=True)


class FakeClient(ServiceClient):
    """Answers by a function of the path, and takes no batches."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.abandoned = threading.Event()

    @property
    def is_abandoned(self) -> bool:
        return self.abandoned.is_set()

    def enroll_many(
        self,
        images: Sequence[bytes],  # noqa: ARG002
        fields: Sequence[Mapping[str, str | list[str]]],  # noqa: ARG002
    ) -> list[Enrolled | RefusedError] | None:
        return None

    def enroll(self, image: Path, fields: Mapping[str, str | list[str]]) -> Enrolled:  # noqa: ARG002
        return self.answer(image)

    def abandon(self) -> None:
        self.abandoned.set()


class BatchClient(FakeClient):
    """Answers batches by a function of the images' ids, and single images by another."""

    def __init__(self, batch: Callable[[str], Enrolled | RefusedError], answer: Answer) -> None:
        super().__init__(answer)
        self.batch = batch
        self.batches: list[int] = []
        self.error: Exception | None = None

    def enroll_many(
        self, images: Sequence[bytes], fields: Sequence[Mapping[str, str | list[str]]]
    ) -> list[Enrolled | RefusedError] | None:
        self.batches.append(len(images))
        if self.error is not None:
            raise self.error
        return [self.batch(str(each["image_id"])) for each in fields]


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(100):
        Path(f"{number:03}.jpg").write_bytes(b"x" * 100)


def uploads(count: int) -> list[Upload]:
    return [Upload(Path(f"{number:03}.jpg"), {"image_id": f"{number}"}) for number in range(count)]


def fates(outcome: Outcome) -> dict[str, int]:
    return {fate.value: count for fate, count in outcome.counts.items() if count}


def raising(error: Exception) -> Answer:
    def answer(_path: Path) -> Enrolled:
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "fate", "reason"),
    [
        (lambda _: NEW, Fate.enrolled, None),
        (lambda _: Enrolled(False, ()), Fate.already, None),
        (lambda _: Enrolled(False, ("image", "view")), Fate.other_image, "another image is enrolled as '0'"),
        (lambda _: Enrolled(False, ("view", "tags")), Fate.other_fields, "enrolled with another view, tags"),
        (lambda _: Enrolled(False, None), Fate.failed, "the service does not say"),
        (raising(FileNotFoundError(2, "No such file")), Fate.failed, "does not exist"),
        (raising(RefusedError(422, "no image")), Fate.failed, "no image"),
        (raising(AbandonedError()), Fate.not_tried, "interrupted"),
    ],
)
def test_every_answer_has_its_fate(answer: Answer, fate: Fate, reason: str | None) -> None:
    outcome = upload_all(FakeClient(answer), uploads(1), 1)
    assert fates(outcome) == {fate.value: 1}
    assert outcome.stopped is None
    if reason is None:
        assert outcome.not_enrolled == []
    else:
        [entry] = outcome.not_enrolled
        assert (entry.place, reason in entry.reason) == ("000.jpg", True)


def test_what_fails_keeps_no_other_and_each_is_reported_once() -> None:
    def answer(path: Path) -> Enrolled:
        if int(path.stem) % 3 == 0:
            raise RefusedError(413, "too large")
        return NEW

    counted: list[int] = []
    outcome = upload_all(FakeClient(answer), uploads(30), 4, counted.append)
    assert fates(outcome) == {"enrolled": 20, "failed": 10}
    assert sum(counted) == 30
    assert outcome.missing == 10


def no_single(_path: Path) -> Enrolled:
    raise AssertionError("sent by itself")


def test_images_go_in_batches_and_each_has_its_fate() -> None:
    def batch(image_id: str) -> Enrolled | RefusedError:
        if image_id == "7":
            return RefusedError(422, "no image")
        return Enrolled(False, ()) if image_id == "8" else NEW

    counted: list[int] = []
    client = BatchClient(batch, no_single)
    Path("050.jpg").unlink()
    outcome = upload_all(client, uploads(80), 2, counted.append)
    assert sorted(client.batches) == [16, 31, 32]
    assert sorted(counted) == [16, 32, 32]
    assert fates(outcome) == {"enrolled": 77, "already_enrolled": 1, "failed": 2}
    assert {entry.place: entry.reason for entry in outcome.not_enrolled} == {
        "007.jpg": "no image",
        "050.jpg": "does not exist",
    }


def test_what_a_batch_is_asked_to_send_later_is_sent_again_by_itself() -> None:
    sent: list[str] = []

    def answer(path: Path) -> Enrolled:
        sent.append(path.name)
        return NEW

    client = BatchClient(lambda image_id: RefusedError(504, "late") if image_id > "2" else NEW, answer)
    assert fates(upload_all(client, uploads(5), 1)) == {"enrolled": 5}
    assert sent == ["003.jpg", "004.jpg"]


def test_a_batch_that_is_refused_as_a_request_is_sent_one_by_one() -> None:
    client = BatchClient(lambda _: NEW, lambda _: NEW)
    client.error = RefusedError(413, "a request's body may have 1 byte at most")
    assert fates(upload_all(client, uploads(40), 1)) == {"enrolled": 40}


@pytest.mark.parametrize("error", [ServiceUnreachableError("gone"), RefusedError(507, "disk full")])
def test_what_every_batch_would_meet_ends_it(error: Exception) -> None:
    client = BatchClient(lambda _: NEW, no_single)
    client.error = error
    outcome = upload_all(client, uploads(100), 1)
    assert len(client.batches) == 1
    assert fates(outcome) == {"failed": 32, "not_tried": 68}
    assert outcome.stopped == str(error)


def test_large_images_go_in_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "GROUP_BYTES", 250)
    client = BatchClient(lambda _: NEW, lambda _: NEW)
    assert fates(upload_all(client, uploads(7), 1)) == {"enrolled": 7}
    assert client.batches == [2, 2, 2]


@pytest.mark.parametrize(
    "error",
    [ServiceUnreachableError("gone"), RefusedError(401, "show a key"), RefusedError(507, "disk full")],
)
def test_what_every_image_would_meet_ends_it_and_the_rest_is_not_tried(error: Exception) -> None:
    sent: list[Path] = []

    def answer(path: Path) -> Enrolled:
        sent.append(path)
        if path.stem >= "005":
            raise error
        return NEW

    client = FakeClient(answer)
    outcome = upload_all(client, uploads(100), 1)
    assert len(sent) == 6
    assert fates(outcome) == {"enrolled": 5, "failed": 1, "not_tried": 94}
    assert outcome.stopped == str(error)
    assert client.abandoned.is_set()


def test_an_interruption_finishes_what_is_under_way_and_counts_the_rest() -> None:
    def answer(path: Path) -> Enrolled:
        if path.stem == "003":
            os.kill(os.getpid(), signal.SIGINT)
            client.abandoned.wait(20)
        return NEW

    client = FakeClient(answer)
    outcome = upload_all(client, uploads(100), 1)
    assert outcome.stopped == INTERRUPTED
    assert client.abandoned.is_set()
    counts = fates(outcome)
    assert counts == {"enrolled": 4, "not_tried": 96}


def test_a_dry_run_reads_and_decodes_everything(tmp_path: Path) -> None:
    files = {"good.png": image_file(), "bad.png": b"no image", "cut.jpg": image_file(kind="JPEG")[:300]}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    listed = [Upload(tmp_path / name, {"image_id": name}) for name in [*files, "gone.png"]]
    outcome = check_all(listed, 2)
    assert fates(outcome) == {"enrolled": 1, "failed": 3}
    assert {Path(entry.place).name for entry in outcome.not_enrolled} == {"bad.png", "cut.jpg", "gone.png"}
