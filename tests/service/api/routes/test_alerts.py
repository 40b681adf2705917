"""/alerts: streamed as they are raised, delivered until accepted or dead, and once also over a kill."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from service.access.keyfile import KeyFile
from service.api import alert_stream
from service.watching import delivery, listeners, webhook
from service.watching.signature import new_secret, sign
from tests.service.access.holders import make_key, showing
from tests.service.api.test_problems import check
from tests.service.fakes import RED, Running, image_file, running
from tests.service.watching.receiver import Message, Receiver, receiving, wait_for

SECRET = new_secret()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(delivery, "WAITS_S", (0.0, 0.0))
    monkeypatch.setattr(delivery, "LEAST_S", 0.0)
    for name in ("CONNECT_S", "TOTAL_S"):  # on a machine that does much else
        monkeypatch.setattr(webhook, name, 60.0)
    with receiving() as it:
        yield it


@pytest.fixture
def service(tmp_path: Path, receiver: Receiver) -> Iterator[Running]:  # noqa: ARG001 - first its settings
    with running(tmp_path, allow_private_webhooks=True) as it:
        yield it


def watch(service: Running, receiver: Receiver | None = None) -> int:
    fields = {"threshold": "0.99", "name": "red"}
    if receiver is not None:
        fields |= {"webhook": receiver.url, "secret": SECRET}
    made = service.client.post("/watches", files={"image": ("x", image_file(RED))}, data=fields)
    assert made.status_code == 201, made.text
    assert SECRET not in made.text
    return int(made.json()["id"])


def alerts(service: Running, path: str = "/alerts", **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.client.get(path, params=params).json()["alerts"]
    return found


def enroll(service: Running, *image_ids: str) -> None:
    for image_id in image_ids:
        assert service.enroll(image_file(RED), image_id=image_id).status_code == 201


def state(service: Running) -> str | None:
    found = alerts(service)
    return found[0]["delivery"]["state"] if found else None


def is_signed(message: Message) -> bool:
    named = message.headers
    signature = sign(SECRET, named["webhook-id"], int(named["webhook-timestamp"]), message.body)
    return named["webhook-signature"] == signature


def test_an_alert_is_delivered_signed_and_again_under_its_id_until_it_is_accepted(
    service: Running, receiver: Receiver
) -> None:
    receiver.answers = [500, 503]
    watch(service, receiver)
    enroll(service, "a")
    wait_for(lambda: state(service) == "delivered")
    assert len(receiver.messages) == 3
    assert all(map(is_signed, receiver.messages))
    assert {message.headers["webhook-id"] for message in receiver.messages} == {"alert-default-1"}
    [alert] = alerts(service)
    sent = json.loads(receiver.messages[-1].body)
    assert sent["type"] == "alert"
    assert sent["data"] == {name: value for name, value in alert.items() if name != "delivery"}
    assert alert["delivery"] == {"state": "delivered", "attempts": 3, "due_at": None, "problem": None}
    metrics = service.client.get("/metrics").text
    for line in (
        "lka_reid_alerts_raised_total 1.0",
        'lka_reid_webhook_deliveries_total{outcome="delivered"} 1.0',
        'lka_reid_webhook_deliveries_total{outcome="failed"} 2.0',
        "lka_reid_watches 1.0",
        "lka_reid_watch_lag_seconds 0.0",
        "lka_reid_webhook_dead_letters 0.0",
    ):
        assert line in metrics


def test_after_the_last_attempt_it_is_a_dead_letter_which_can_be_retried_or_dropped(
    service: Running, receiver: Receiver
) -> None:
    receiver.answers = [500, 502, 410, 404, 404, 404]
    watch(service, receiver)
    enroll(service, "a")
    wait_for(lambda: state(service) == "dead")
    [dead] = alerts(service, "/alerts/dead-letters")
    assert dead["delivery"] == {"state": "dead", "attempts": 3, "due_at": None, "problem": "it answered 410"}
    of_watch = {"watch_id": dead["watch_id"]}
    assert alerts(service, "/alerts/dead-letters", **of_watch) == [dead]
    assert alerts(service, "/alerts/dead-letters", watch_id=dead["watch_id"] + 1) == []
    check(service.client.get("/alerts/dead-letters?watch_id=0"), 422, "invalid-fields", "watch_id")
    again = service.client.post(f"/alerts/dead-letters/{dead['id']}/retry")
    assert again.json()["delivery"]["attempts"] == 0
    wait_for(lambda: state(service) == "dead")
    assert alerts(service)[0]["delivery"]["problem"] == "it answered 404"
    assert len(receiver.messages) == 6
    assert service.client.delete(f"/alerts/dead-letters/{dead['id']}").status_code == 204
    assert alerts(service, "/alerts/dead-letters") == []
    assert state(service) == "dropped"
    check(service.client.delete(f"/alerts/dead-letters/{dead['id']}"), 404, "unknown-dead-letter")
    check(service.client.post("/alerts/dead-letters/99/retry"), 404, "unknown-dead-letter")


def test_a_test_message_says_what_became_of_it(service: Running, receiver: Receiver) -> None:
    watch_id = watch(service, receiver)
    answer = service.client.post(f"/watches/{watch_id}/test", headers={"X-Request-ID": "r7"})
    assert answer.json() == {"delivered": True, "problem": None}
    [message] = receiver.messages
    assert is_signed(message)
    assert message.headers["webhook-id"] == "test-r7"
    sent = json.loads(message.body)
    assert (sent["type"], sent["data"]["watch_id"]) == ("test", watch_id)
    receiver.answers = [418]
    answer = service.client.post(f"/watches/{watch_id}/test")
    assert answer.json() == {"delivered": False, "problem": "it answered 418"}


@pytest.mark.slow
def test_what_waits_at_the_end_is_delivered_after_the_next_start(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "WAITS_S", (3600.0,))
    receiver.answers = [500]
    with running(tmp_path, allow_private_webhooks=True) as service:
        watch(service, receiver)
        enroll(service, "a")
        wait_for(
            lambda: service.gallery.watches.alerts.next_due() is not None and len(receiver.messages) == 1
        )
        wait_for(lambda: alerts(service)[0]["delivery"]["attempts"] == 1)
        service.gallery.watches.alerts.failed(1, "later", datetime.now(UTC))
    with running(tmp_path, allow_private_webhooks=True) as service:
        wait_for(lambda: state(service) == "delivered")
    assert [message.headers["webhook-id"] for message in receiver.messages] == ["alert-default-1"] * 2


def test_alerts_are_paged_by_cursors_that_are_no_numbers(service: Running) -> None:
    watch_id = watch(service)
    enroll(service, "a", "b", "c")
    wait_for(lambda: len(alerts(service)) == 3)
    first = service.client.get("/alerts", params={"limit": 2}).json()
    assert [alert["image_id"] for alert in first["alerts"]] == ["c", "b"]
    second = service.client.get("/alerts", params={"limit": 2, "after": first["next"]}).json()
    assert ([alert["image_id"] for alert in second["alerts"]], second["next"]) == (["a"], None)
    since = first["alerts"][0]["raised_at"]
    assert alerts(service, since=since)[0]["image_id"] == "c"
    assert alerts(service, since="2100-01-01T00:00:00Z") == []
    assert len(alerts(service, watch_id=watch_id)) == 3
    assert alerts(service, watch_id=watch_id + 1) == []
    last = "B" if first["next"][-1] != "B" else "C"
    for wrong in ("2", first["next"][:-1] + last, "A" * 16, "-" * 16, ""):
        check(service.client.get("/alerts", params={"after": wrong}), 422, "invalid-fields", "after")


@contextmanager
def listening(service: Running, **headers: str) -> Iterator[Iterator[str]]:
    """Lines of the stream, without empty ones, once it has begun."""
    with service.client.stream("GET", "/alerts/events", headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        lines = (line for line in response.iter_lines() if line)
        assert [next(lines), next(lines)] == [": alerts follow", "retry: 3000"]
        yield lines


def test_who_listens_is_told_and_goes_on_after_the_last_event(service: Running) -> None:
    watch(service)
    enroll(service, "before")
    wait_for(lambda: len(alerts(service)) == 1)
    with listening(service) as lines:
        enroll(service, "a")
        assert [next(lines), next(lines)] == ["id: 2", "event: alert"]
        data = json.loads(next(lines).removeprefix("data: "))
        assert (data["id"], data["image_id"], data["watch_name"]) == (2, "a", "red")
        assert "delivery" not in data
    enroll(service, "meanwhile")
    with listening(service, **{"Last-Event-ID": "1"}) as lines:
        ids = [line for _ in range(6) if (line := next(lines)).startswith("id: ")]
    assert ids == ["id: 2", "id: 3"]
    assert service.client.head("/alerts/events").headers["Content-Type"].startswith("text/event-stream")
    check(
        service.client.get("/alerts/events", headers={"Last-Event-ID": "x"}),
        422,
        "invalid-fields",
        "last-event-id",
    )


def test_a_silent_stream_says_that_it_lives_and_ends_after_a_while(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_stream, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(alert_stream, "LONGEST_S", 0.1)
    with listening(service) as lines:
        rest = list(lines)
    assert rest
    assert set(rest) == {":"}


def test_so_many_may_listen_and_a_place_is_free_again(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "MOST", 1)
    monkeypatch.setattr(alert_stream, "HEARTBEAT_S", 0.01)
    with listening(service):
        check(service.client.get("/alerts/events"), 503, "overloaded")
    found = service.app.state.lifecycle.resources.watching.listeners
    wait_for(lambda: len(found) == 0)
    with listening(service):
        assert len(found) == 1


def test_one_key_cannot_take_the_places_of_others(
    service: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "MOST_OF_ONE", 2)
    monkeypatch.setattr(alert_stream, "HEARTBEAT_S", 0.01)
    keys = KeyFile(tmp_path / "keys.json")
    ours, theirs = (showing(make_key(keys, "admin")) for _ in range(2))
    found = service.app.state.lifecycle.resources.watching.listeners
    with listening(service, **ours), listening(service, **ours):
        refused = check(service.client.get("/alerts/events", headers=ours), 503, "overloaded")
        assert "listens for alerts 2 times already" in refused["detail"]
        with listening(service, **theirs):
            assert len(found) == 3
    wait_for(lambda: len(found) == 0)
    with listening(service, **ours):
        assert len(found) == 1


def test_an_address_without_a_key_has_a_bound_too(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "MOST_OF_ONE", 1)
    with listening(service):
        refused = check(service.client.get("/alerts/events"), 503, "overloaded")
        assert "this caller" in refused["detail"]


def test_streams_end_at_a_shutdown_and_do_not_hold_it_up(tmp_path: Path) -> None:
    rest: list[str] = []
    begun = threading.Event()

    def listen(url: str) -> None:
        with httpx.stream("GET", f"{url}/alerts/events", timeout=20) as response:
            lines = response.iter_lines()
            next(lines)
            begun.set()
            rest.extend(lines)

    with running(tmp_path, drain_s=300) as service:
        thread = threading.Thread(target=listen, args=(service.url,), daemon=True)
        thread.start()
        assert begun.wait(20)
    # `running` gives the server 20 s to end, and each answer under way 300.
    thread.join(20)
    assert not thread.is_alive()
    assert not any(line.startswith("id: ") for line in rest)


def test_no_answer_and_no_log_has_the_secret(service: Running, receiver: Receiver) -> None:
    with structlog.testing.capture_logs() as logs:
        watch_id = watch(service, receiver)
        enroll(service, "a")
        wait_for(lambda: state(service) == "delivered")
        wait_for(lambda: any(log["event"] == "delivery" for log in logs))
    for path in ("/watches", f"/watches/{watch_id}", "/alerts", "/status", "/metrics"):
        assert SECRET not in service.client.get(path).text
    assert SECRET not in str(logs)
    assert "in-the-url" not in str(logs)
