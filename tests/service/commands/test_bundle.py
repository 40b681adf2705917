"""`lka-reid bundle migrate`: a bundle of format 1 can be served again, and its galleries are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.bundle import Bundle
from tests.models.format_1 import write_format_1
from tests.service.command_line import Command, command_runner


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return command_runner(monkeypatch, capsys)


def test_a_bundle_of_format_1_is_brought_over(command: Command) -> None:
    folder = write_format_1(Path("old"), accuracy={"results": {"mine": 1}})
    refused = command("worker", "--redis-url", "redis://127.0.0.1:1", "--bundle", folder)
    assert refused.code == 2
    assert "`lka-reid bundle migrate old`" in refused.err

    done = command("bundle", "migrate", folder)
    bundle = Bundle.load(folder)
    (old,) = bundle.supersedes
    assert done.code == 0
    assert done.out == f"old: fingerprint {bundle.fingerprint[:12]}, supersedes {old[:12]}\n"
    assert done.err.startswith("accuracy has no known shape and was left out")

    again = command("bundle", "migrate", folder)
    assert again.code == 2
    assert again.err == "Error: old/manifest.json: is not of format 1; there is nothing to migrate\n"
