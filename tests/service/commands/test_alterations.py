"""`lka-reid gallery delete`, `update` and `retention`, against a running service."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.service.command_line import Command
from tests.service.fakes import Running


def test_conditions_are_counted_then_deleted(
    service: Running, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.routes.alterations.DELETED_AT_ONCE", 2)
    monkeypatch.setattr("service.api.routes.alterations.SHARE", 0.0)
    for number in range(7):
        service.enroll(image_id=f"{number}", vehicle_id=f"v{number % 2}")
    words = ("gallery", "delete", "--url", service.url, "--only-vehicle-id", "v0")
    dry = command(*words, "--dry-run")
    assert (dry.code, dry.out.strip()) == (0, "4 images meet the conditions; none was deleted.")
    assert service.gallery.count() == 7
    done = command(*words, "--yes")
    assert (done.code, done.out.strip()) == (0, "4 images deleted.")
    assert [record.image_id for record in service.gallery.page().records] == ["1", "3", "5"]


@pytest.mark.slow
def test_images_are_deleted_by_their_ids_and_one_that_is_not_there_is_told(
    service: Running, command: Command
) -> None:
    for name in ("cam/a", "b"):
        service.enroll(image_id=name)
    words = ("gallery", "delete", "--url", service.url, "cam/a", "none")
    dry = command(*words, "--dry-run")
    assert (dry.code, "Not enrolled: none" in dry.out) == (1, True)
    assert "1 image would be deleted; none was." in dry.out
    assert service.gallery.count() == 2
    for more in (("--dry-run",), ("--yes",)):
        elsewhere = command(*words, *more, "--collection", "nowhere")
        assert (elsewhere.code, "there is no collection 'nowhere'" in elsewhere.err) == (2, True)
    outcome = command(*words, "--yes")
    assert (outcome.code, "Not enrolled: none" in outcome.out) == (1, True)
    assert "1 image deleted." in outcome.out
    assert [record.image_id for record in service.gallery.page().records] == ["b"]


@pytest.mark.parametrize("odd", ["a\n", "..", "a/image", " a"])
def test_no_image_is_deleted_or_changed_where_one_id_is_none(
    service: Running, command: Command, odd: str
) -> None:
    service.enroll(image_id="a")
    for words in (("delete", "a", odd, "--yes"), ("update", odd, "--view", "front")):
        outcome = command("gallery", *words, "--url", service.url)
        assert outcome.code == 2
        assert "is not a legal image id; it takes" in outcome.err
        assert repr(odd) in outcome.err
    assert [(one.image_id, one.view) for one in service.gallery.page().records] == [("a", None)]


@pytest.mark.parametrize("words", [(), ("a", "--only-view", "front")])
def test_what_is_to_be_deleted_has_to_be_said_in_one_way(
    service: Running, command: Command, words: tuple[str, ...]
) -> None:
    service.enroll(image_id="a", view="front")
    outcome = command("gallery", "delete", "--url", service.url, *words, "--yes")
    assert (outcome.code, "one of both" in outcome.err) == (2, True)
    assert service.gallery.count() == 1


@pytest.mark.slow
def test_what_is_known_of_an_image_is_changed(service: Running, command: Command) -> None:
    service.enroll(image_id="cam/a", view="front", tags=["x"])
    words = ("gallery", "update", "cam/a", "--url", service.url)
    outcome = command(*words, "--camera-id", "c", "--tag", "y", "--tag", "z", "--clear", "view", "--json")
    answer = json.loads(outcome.out)
    assert (answer["camera_id"], answer["tags"], answer["view"]) == ("c", ["y", "z"], None)
    shown = command(*words, "--tag", "y").out
    assert [line.split() for line in shown.splitlines() if line.startswith("tags")] == [["tags", "y"]]
    nothing = command(*words)
    assert (nothing.code, "nothing is to be changed" in nothing.err) == (2, True)
    wrong = command(*words, "--clear", "image_id")
    assert (wrong.code, "clear" in wrong.err) == (2, True)


@pytest.mark.slow
def test_retention_is_told_counted_and_set(service: Running, command: Command) -> None:
    service.enroll(image_id="old", captured_at=(datetime.now(UTC) - timedelta(days=90)).isoformat())
    words = ("gallery", "retention", "--url", service.url)
    assert "for ever" in command(*words).out
    dry = command(*words, "30", "--dry-run")
    assert "1 image is older than 30 days; nothing was set." in dry.out
    assert service.gallery.retention.state.days is None
    assert "for 30 days" in command(*words, "30", "--yes").out
    assert service.gallery.retention.state.days == 30
    assert "for ever" in command(*words, "--off").out
    both = command(*words, "30", "--off")
    assert (both.code, "one of both" in both.err) == (2, True)
