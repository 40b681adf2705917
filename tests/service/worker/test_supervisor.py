"""Worker processes are spread over GPUs, one after the other."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.settings import Settings
from service.worker.supervisor import Supervisor, device_of

# Tells its GPU, and stays until its stdin ends.
TELLING = (
    "import json, os, sys, pathlib; "
    "pathlib.Path(f'gpu-{os.getpid()}').write_text(json.dumps(os.environ['LKA_REID_DEVICE_ID'])); "
    "print(1, 'w', flush=True); sys.stdin.read()"
)


@pytest.mark.parametrize(
    ("first", "gpus", "expected"), [(0, 1, [0, 0, 0]), (0, 2, [0, 1, 0]), (2, 3, [2, 3, 4])]
)
def test_processes_take_the_gpus_one_after_the_other(first: int, gpus: int, expected: list[int]) -> None:
    settings = Settings(device_id=first, gpus=gpus)
    assert [device_of(settings, number) for number in range(3)] == expected


def test_each_process_is_told_its_gpu(tmp_path: Path) -> None:
    settings = Settings(
        redis_url=SecretStr("redis://127.0.0.1:1/0"), processes=3, gpus=2, device_id=4, metrics_port=0
    )
    supervisor = Supervisor(settings, [sys.executable, "-c", TELLING])
    members = supervisor._members
    try:
        for member in members:
            member.tend()
        until = time.monotonic() + 30
        while len(list(tmp_path.glob("gpu-*"))) < 3 or not all(member.port for member in members):
            assert time.monotonic() < until
            time.sleep(0.01)
        devices = sorted(json.loads(path.read_text()) for path in tmp_path.glob("gpu-*"))
        assert devices == ["4", "4", "5"]
    finally:
        for member in members:
            member.terminate()
            member.stop(5)
