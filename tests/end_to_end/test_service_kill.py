"""A whole service, killed at random moments: nothing that it acknowledged is lost."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import ROOT
from tests.end_to_end.kills import kill_rounds
from tests.service.fakes import write_bundle


def kill(
    folder: Path, rounds: int, seconds: float, source: random.Random, *options: object, module: str
) -> None:
    kills, acknowledged = kill_rounds(folder, rounds, seconds, source, *options, module=module)
    print(f"\n{kills} kills; acknowledged in between: {dict(sorted(acknowledged.items()))}")
    assert acknowledged["enroll"] > 0
    # What the files hold is whole, too, and the chain of the audit log.
    for command in (("gallery", "verify"), ("audit", "verify")):
        verified = subprocess.run(
            [sys.executable, "-m", "service.cli", *command, "--data-dir", folder / "data"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.slow
def test_a_service_keeps_what_it_acknowledged_before_kill_9(tmp_path: Path, source: random.Random) -> None:
    options = ("--bundle", write_bundle(tmp_path / "bundle"))
    kill(tmp_path, 1, 0, source, *options, module="tests.service.fake_command")


@pytest.mark.soak
def test_a_service_keeps_what_it_acknowledged_before_kill_9_for_long(
    tmp_path: Path, source: random.Random, soak_s: float
) -> None:
    kill(tmp_path, 30, soak_s, source, module="service.cli")
