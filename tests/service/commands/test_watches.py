"""`lka-reid watch`: from making a watch to what became of its deliveries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.terminal import out
from service.remote.watches import WatchClient
from service.watching import delivery
from service.watching.signature import key_of
from tests.service.command_line import Command
from tests.service.fakes import RED, Running, image_file, running
from tests.service.watching.receiver import Receiver, receiving, wait_for


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(delivery, "WAITS_S", ())
    with receiving() as it:
        yield it


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, allow_private_webhooks=True) as it:
        yield it


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "van.png"
    path.write_bytes(image_file(RED))
    return path


@pytest.mark.slow
def test_a_watch_is_made_listed_raises_alerts_and_is_removed(
    service: Running, command: Command, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = ("--url", service.url)
    assert command("watch", "list", *url).out.strip() == "Nothing is watched for"
    assert command("watch", "alerts", *url).out.strip() == "No alert was raised"
    made = command("watch", "add", image, "--name", "red van", "--threshold", 0.9, *url)
    assert made.out.strip() == "Watch 1 looks for the vehicle from now on."
    service.enroll(image_file(RED), image_id="cam3/1.jpg", camera_id="cam3")
    wait_for(lambda: service.gallery.watches.state().behind_since is None)
    [alert] = json.loads(command("watch", "alerts", "--json", *url).out)["alerts"]
    assert (alert["image_id"], alert["watch_name"]) == ("cam3/1.jpg", "red van")
    table = command("watch", "alerts", *url).out
    for shown in ("1 red van", "cam3/1.jpg", "1.000"):
        assert shown in table
    monkeypatch.setattr(out, "width", 50)
    narrow = command("watch", "alerts", *url).out.splitlines()
    assert max(map(len, narrow)) <= 50
    assert any("cam3/1.jpg" in line for line in narrow)
    [listed] = json.loads(command("watch", "list", "--json", *url).out)["watches"]
    assert (listed["name"], listed["alerts"]) == ("red van", 1)
    assert "red van" in command("watch", "list", *url).out
    assert command("watch", "remove", 1, *url).out.strip() == "Removed watch 1 and its alerts."
    gone = command("watch", "remove", 1, *url)
    assert gone.code == 2
    assert "there is no watch 1" in gone.err


@pytest.mark.slow
def test_a_secret_is_made_and_shown_once_and_dead_letters_are_retried_and_dropped(
    service: Running, command: Command, image: Path, receiver: Receiver
) -> None:
    url = ("--url", service.url)
    options = ("--webhook", receiver.url, "--threshold", 0.9, "--json")
    made = json.loads(command("watch", "add", image, *options, *url).out)
    assert len(key_of(made["secret"])) == 32
    assert made["secret"] not in command("watch", "list", "--json", *url).out
    receiver.answers = [500, 410, 404]
    refused = command("watch", "test", made["id"], *url)
    assert refused.code == 1
    assert "it answered 500" in refused.err
    service.enroll(image_file(RED), image_id="a")
    wait_for(lambda: service.gallery.watches.state().dead == 1)
    assert "it answered 410" in command("watch", "alerts", "--dead", *url).out
    assert command("watch", "retry", 1, *url).out.strip() == "Alert 1 is delivered again."
    wait_for(lambda: len(receiver.messages) == 3 and service.gallery.watches.state().dead == 1)
    assert command("watch", "drop", 1, *url).code == 0
    assert command("watch", "alerts", "--dead", *url).out.strip() == "No delivery was given up"
    assert command("watch", "test", made["id"], *url).out.strip() == "The test message was accepted."


@pytest.mark.slow
def test_dead_letters_of_one_watch_are_as_many_as_were_asked_for(
    service: Running, command: Command, image: Path, receiver: Receiver
) -> None:
    receiver.answers = [410] * 4
    for _ in range(2):
        options = ("--webhook", receiver.url, "--threshold", 0.9, "--url", service.url)
        assert command("watch", "add", image, *options).code == 0
    for image_id in ("a", "b"):
        service.enroll(image_file(RED), image_id=image_id)
    wait_for(lambda: service.gallery.watches.state().dead == 4)
    for watch_id in (1, 2):  # of both watches the newest is of one of them
        words = ("--dead", "--watch", watch_id, "--limit", 1, "--json", "--url", service.url)
        [newest] = json.loads(command("watch", "alerts", *words).out)["alerts"]
        assert (newest["watch_id"], newest["image_id"]) == (watch_id, "b")


def test_what_cannot_be_is_refused_before_anything_is_sent(command: Command, image: Path) -> None:
    nobody = ("--url", "http://127.0.0.1:9")
    for words in (("add",), ("add", image, "--image-id", "a")):
        assert "one of both" in command("watch", *words, *nobody).err
    assert "leave --dead" in command("watch", "alerts", "--follow", "--dead", *nobody).err
    absent = command("watch", "add", image.with_name("absent.png"), *nobody)
    assert absent.code == 2
    assert "absent.png: No such file" in absent.err


def test_alerts_are_followed_as_lines_of_json(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    event = {"id": 7, "watch_id": 1, "watch_name": "", "image_id": "a", "camera_id": None}
    event |= {"similarity": 0.75, "raised_at": "2026-01-02T03:04:05Z"}
    monkeypatch.setattr(WatchClient, "alert_events", lambda _self: iter([event]))
    [line] = command("watch", "alerts", "--follow", "--json").out.splitlines()
    assert json.loads(line) == event
    [line] = command("watch", "alerts", "--follow").out.splitlines()
    assert line == "2026-01-02 03:04:05  watch 1: a, similarity 0.750"
