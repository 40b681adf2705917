"""The server: its address, its signals, and what it says when it cannot start."""

from __future__ import annotations

import io
import json
import shlex
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from service import resources
from service.inference.fatal_errors import LOST
from service.server import listen
from service.startup import CommandError
from tests.service.command_line import ROOT, command_runner, free_port, serving_process
from tests.service.fakes import image_file, load_fakes, open_gallery, write_bundle


def test_connections_do_not_wait_for_acknowledgements() -> None:
    with listen("127.0.0.1", 0) as sock:
        assert sock.proto == socket.IPPROTO_TCP


def test_a_taken_port_is_reported() -> None:
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"port {port} on 127.0.0.1 is taken; .* --port"):
            listen("127.0.0.1", port)


def test_an_address_of_nobody_is_reported() -> None:
    with pytest.raises(CommandError, match="--host"):
        listen("no.such.host.invalid", 8000)
    with pytest.raises(CommandError, match="--host"):
        listen("192.0.2.1", 8000)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_in_order(tmp_path: Path, number: signal.Signals) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    with serving_process(
        "--data-dir", tmp_path / "data", "--bundle", bundle, "--log-format", "json"
    ) as service:
        response = httpx.post(
            service.url + "/gallery", files={"image": ("x", image_file())}, data={"image_id": "a"}
        )
        assert response.status_code == 201
        service.process.send_signal(number)
        _, log = service.process.communicate(timeout=20)
    assert service.process.returncode == 0
    assert '"event": "stopped"' in log
    assert "Traceback" not in log


def nearly_black() -> bytes:
    """An image that costs the embedder of `tests.service.queue.fake_command` its device."""
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), (5, 5, 5)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.slow
def test_a_lost_device_ends_the_service_once_those_who_wait_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = tmp_path / "control"
    control.mkdir()
    monkeypatch.setenv("CONTROL", str(control))
    hold, passes = control / "hold", control / "batches"
    with (
        serving_process(
            *("--data-dir", tmp_path / "data", "--bundle", write_bundle(tmp_path / "bundle")),
            *("--log-format", "json"),
            module="tests.service.queue.fake_command",
        ) as service,
        ThreadPoolExecutor(6) as pool,
    ):

        def query(image: bytes) -> httpx.Response:
            return httpx.post(service.url + "/query", files={"image": ("x", image)}, timeout=60)

        def await_depth(depth: int) -> None:
            while f"lka_reid_queue_depth {depth}.0" not in httpx.get(service.url + "/metrics").text:
                time.sleep(0.01)

        hold.touch()
        first = pool.submit(query, image_file())
        while not passes.exists():
            time.sleep(0.01)
        waiting = [pool.submit(query, image) for image in (nearly_black(), image_file(), image_file())]
        await_depth(4)
        hold.unlink()
        assert first.result().status_code == 200
        for answer in waiting:
            assert answer.result().status_code == 503
            assert answer.result().json()["type"] == "urn:lka-reid:problem:not-ready"
            assert answer.result().headers["Retry-After"]
            assert "CUDA" not in answer.result().text
        _, log = service.process.communicate(timeout=60)
    assert service.process.returncode == LOST
    [lost] = [json.loads(line) for line in log.splitlines() if '"event": "embedder_lost"' in line]
    assert lost["level"] == "critical"
    assert "illegal memory access" in lost["reason"]
    assert '"event": "ending"' in log
    assert '"event": "stopped"' in log


def serve_in_vain(*arguments: object) -> str:
    """What `lka-reid serve` says on stderr before it ends with status 2."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.service.fake_command", "serve", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    [error] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    return error


@pytest.mark.slow
def test_a_gallery_of_another_bundle_is_refused_with_the_remedy(tmp_path: Path) -> None:
    open_gallery(tmp_path / "data", fingerprint="e" * 64).close()
    bundle = write_bundle(tmp_path / "bundle")
    error = serve_in_vain("--port", free_port(), "--data-dir", tmp_path / "data", "--bundle", bundle)
    assert f"lka-reid gallery re-embed --data-dir {tmp_path / 'data'}" in error


@pytest.mark.slow
def test_the_remedy_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resources, "load_models", load_fakes)
    data, bundle = tmp_path / "my data", write_bundle(tmp_path / "b 2", "other")
    open_gallery(data, fingerprint="e" * 64).close()
    where = ("--port", free_port(), "--data-dir", data, "--bundle", bundle)
    program, *words = shlex.split(serve_in_vain(*where).split("`")[1])
    assert program == "lka-reid"
    pasted = command_runner(monkeypatch, capsys)(*words)
    assert (pasted.code, pasted.out.startswith("0 images embedded by other")) == (0, True), pasted
    with serving_process("--data-dir", data, "--bundle", bundle) as service:
        assert httpx.get(service.url + "/health/ready").status_code == 200


@pytest.mark.slow
def test_a_gallery_in_use_is_refused_with_its_holder(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    with open_gallery(tmp_path / "data"):
        error = serve_in_vain("--port", free_port(), "--data-dir", tmp_path / "data", "--bundle", bundle)
    assert "in use by process" in error


@pytest.mark.slow
def test_a_missing_bundle_and_a_bad_data_directory_are_named(tmp_path: Path) -> None:
    error = serve_in_vain("--port", free_port(), "--data-dir", tmp_path, "--bundle", tmp_path / "none")
    assert str(tmp_path / "none") in error
    (tmp_path / "file").touch()
    bundle = write_bundle(tmp_path / "bundle")
    error = serve_in_vain("--port", free_port(), "--data-dir", tmp_path / "file" / "x", "--bundle", bundle)
    assert str(tmp_path / "file") in error
