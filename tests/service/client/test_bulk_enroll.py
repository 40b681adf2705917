"""Many uploads: what becomes of each, and of the rest when it ends early."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from service.client.bulk_enroll import INTERRUPTED, check_all, upload_all
from service.client.errors import AbandonedError, RefusedError, ServiceUnreachableError
from service.client.http import Enrolled, ServiceClient
from service.client.outcome import Fate, Outcome
from service.client.sources import Upload
from tests.service.fakes import image_file

Answer = Callable[[Path], Enrolled]
NEW = Enrolled(new=True)


class FakeClient(ServiceClient):
    """Answers by a function of the path."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.abandoned = threading.Event()

    def enroll(self, image: Path, fields: Mapping[str, str | list[str]]) -> Enrolled:  # noqa: ARG002
        return self.answer(image)

    def abandon(self) -> None:
        self.abandoned.set()


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
        return NEW

    client = FakeClient(answer)
    outcome = upload_all(client, uploads(100), 2)
    assert outcome.stopped == INTERRUPTED
    assert client.abandoned.is_set()
    counts = fates(outcome)
    assert counts["enrolled"] >= 4
    assert counts["enrolled"] + counts["not_tried"] == 100


def test_a_dry_run_reads_and_decodes_everything(tmp_path: Path) -> None:
    files = {"good.png": image_file(), "bad.png": b"no image", "cut.jpg": image_file(kind="JPEG")[:300]}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    listed = [Upload(tmp_path / name, {"image_id": name}) for name in [*files, "gone.png"]]
    outcome = check_all(listed, 2)
    assert fates(outcome) == {"enrolled": 1, "failed": 3}
    assert {Path(entry.place).name for entry in outcome.not_enrolled} == {"bad.png", "cut.jpg", "gone.png"}
