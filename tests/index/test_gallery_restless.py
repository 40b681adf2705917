"""Whatever is done to a gallery, and whenever its process is killed, what was acknowledged is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DONE = {"enroll", "batch", "delete", "update", "where", "retain", "snapshot", "erase", "compact", "calibrate"}


def _restless(folder: Path, seed: int, kills: int, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.index.restless", folder, seed, kills, seconds]
    ended = subprocess.run(
        list(map(str, command)),
        cwd=Path(__file__).parents[2],
        # A fork must find no threads that only its parent has.
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


@pytest.mark.slow
def test_a_gallery_survives_kills_at_random(tmp_path: Path) -> None:
    assert _restless(tmp_path, seed=1, kills=12, seconds=0)["kills"] == 12


@pytest.mark.soak
def test_a_gallery_survives_kills_at_random_for_long(
    tmp_path: Path, soak_s: float, request: pytest.FixtureRequest
) -> None:
    seed = int(request.config.getoption("--seed") or 0)
    report = _restless(tmp_path, seed, kills=1000, seconds=soak_s)
    print(report)
    assert report["kills"] >= 1000
    # Each was met by a kill at least once.
    assert set(report["under_way"]) >= DONE | {"import", "save", "exchange"}
