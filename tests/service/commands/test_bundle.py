"""`lka-reid bundle`: one of format 1 can be served again, and one embeds mirror images, too, or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.bundle import Bundle
from tests.models.explainable import SmallBundle
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


def test_the_command_writes_a_bundle_without_what_was_measured_with_the_other(
    command: Command, small_bundle: SmallBundle, tmp_path: Path
) -> None:
    plain = small_bundle(tmp_path / "plain")
    done = command("bundle", "flip", "on", "--bundle", plain.path, "--out", tmp_path / "new", "--json")
    assert done.code == 0
    made = Bundle.load(tmp_path / "new")
    assert json.loads(done.out) == {
        "folder": str(tmp_path / "new"),
        "fingerprint": made.fingerprint,
        "flip": True,
    }
    manifest = made.manifest
    assert (manifest.accuracy, manifest.shift, manifest.threshold, manifest.normalised_threshold) == (
        None,
    ) * 4
    assert manifest.files == plain.manifest.files
    again = command("bundle", "flip", "on", "--bundle", made.path, "--out", tmp_path / "more")
    assert again.code == 2
    assert "flip is on already" in again.err
    assert not (tmp_path / "more").exists()
