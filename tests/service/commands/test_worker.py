"""`lka-reid worker`: what it says when it cannot start as it is set."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.observability import logs
from service.server import listen
from tests.service.command_line import command_runner, free_port
from tests.service.fakes import write_bundle


@pytest.fixture(autouse=True)
def _logs_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_arguments: None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "a worker needs LKA_REID_REDIS_URL; without it the service embeds by itself"),
        (["--redis-url", "rdis://me:secret@host"], "LKA_REID_REDIS_URL is no URL of a Redis"),
        (["--redis-url", "redis://host?token=secret"], "LKA_REID_REDIS_URL is no URL of a Redis"),
        (["--redis-url", "redis://host", "--bundle", "nowhere"], "nowhere/manifest.json: no such file"),
        (["--processes", "0"], "--processes 0 is not accepted; it takes a whole number, 1 .. 64"),
    ],
)
def test_a_mistake_is_one_clear_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LKA_REID_BUNDLE", str(write_bundle(tmp_path / "bundle")))
    monkeypatch.setenv("LKA_REID_METRICS_PORT", str(free_port()))
    outcome = command_runner(monkeypatch, capsys)("worker", *arguments)
    assert outcome.code == 2
    assert outcome.err.startswith(f"Error: {message}")
    assert "secret" not in outcome.err
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize("processes", [1, 2])
def test_a_taken_port_of_the_metrics_is_reported(
    processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        outcome = command_runner(monkeypatch, capsys)(
            *("worker", "--redis-url", "redis://127.0.0.1", "--bundle", bundle),
            *("--metrics-port", port, "--processes", processes),
        )
    assert outcome.code == 2
    assert f"cannot expose metrics on 127.0.0.1, port {port}" in outcome.err
    assert "LKA_REID_METRICS_PORT" in outcome.err
