from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.conftest import ROOT, START_SECONDS, free_port

pytestmark = pytest.mark.slow


def test_the_demo_prints_a_ranked_answer_keeps_serving_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "demo.log"
    command = [
        sys.executable,
        "-m",
        "service.cli",
        "demo",
        "--port",
        str(port),
        "--data-dir",
        str(tmp_path / "demo"),
    ]
    with log.open("wb") as file:
        demo = subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT)
    try:
        until = time.monotonic() + START_SECONDS
        while "Ctrl-C" not in log.read_text(encoding="utf-8"):
            assert demo.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < until, log.read_text(encoding="utf-8")
            time.sleep(0.2)
        answer = httpx.get(f"http://127.0.0.1:{port}/gallery", params={"limit": 1})
        assert answer.status_code == 200
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
    finally:
        demo.kill()
    said = log.read_text(encoding="utf-8")
    assert said.index(f"The console is at http://127.0.0.1:{port}/") < said.index("81 images enrolled")
    for wanted in ("81 images enrolled", "Ranked answer", "/docs", "curl -F image=@"):
        assert wanted in said
