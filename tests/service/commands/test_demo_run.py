"""The demo: from nothing to a ranked answer, twice, and to a clean end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.commands import demo_run
from service.commands.demo_run import DemoImages, show
from service.remote.http import ServiceClient
from service.server import listen
from service.startup import CommandError
from tests.service.command_line import ROOT, free_port
from tests.service.fakes import BLUE, GREEN, RED, Running, image_file, write_bundle


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    (folder / "images").mkdir(parents=True)
    rows = ["path,vehicle_id,camera_id,role"]
    for name, colour in {"red": RED, "green": GREEN, "blue": BLUE}.items():
        for role in ("gallery", "probe"):
            path = f"images/{name}-{role}.png"
            (folder / path).write_bytes(image_file(colour))
            rows.append(f"{path},{name},cam-{role},{role}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder / "manifest.csv"


def test_it_shows_the_right_vehicle_first_and_how_to_go_on(
    service: Running, manifest: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with ServiceClient(service.url) as client:
        show(client, DemoImages.load(manifest))
        first = capsys.readouterr().out
        show(client, DemoImages.load(manifest))
        second = capsys.readouterr().out
    assert "3 images enrolled, 0 were there already" in first
    assert "0 images enrolled, 3 were there already" in second
    for printed in (first, second):
        [best] = [line for line in printed.splitlines() if "✓" in line and "red" in line]
        assert best.split()[0] == "1"
        assert f"{service.url}/docs" in printed
        assert f"curl -F image=@demo/images/green-probe.png -F top_k=5 {service.url}/query" in printed


def test_missing_images_are_reported(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"manifest\.csv"):
        DemoImages.load(tmp_path / "manifest.csv")
    (tmp_path / "manifest.csv").write_text("path,vehicle_id,camera_id,role\nx,v,c,gallery\n")
    with pytest.raises(CommandError, match="role probe"):
        DemoImages.load(tmp_path / "manifest.csv")


def test_a_taken_port_is_reported_before_anything_is_started(manifest: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(CommandError, match="is taken"):
            demo_run.run(taken.getsockname()[1], tmp_path / "data", manifest, bundle)


@pytest.mark.slow
def test_a_service_that_does_not_start_is_quoted(manifest: Path, tmp_path: Path) -> None:
    # The bundle's files hold no model: the real runtime cannot load them.
    bundle = write_bundle(tmp_path / "bundle")
    with pytest.raises(CommandError, match=r"did not start: .*embedder\.onnx"):
        demo_run.run(free_port(), tmp_path / "data", manifest, bundle)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_leaves_nothing_behind(
    manifest: Path, tmp_path: Path, number: signal.Signals
) -> None:
    bundle, port = write_bundle(tmp_path / "bundle"), free_port()
    code = f"""
import sys
from pathlib import Path
from service.commands import demo_run
demo_run.SERVE = (sys.executable, "-m", "tests.service.fake_command", "serve")
demo_run.run({port}, Path({str(tmp_path / "data")!r}), Path({str(manifest)!r}), Path({str(bundle)!r}))
"""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    printed = ""
    assert process.stdout
    while "keeps running" not in printed and (line := process.stdout.readline()):
        printed += line
    with ServiceClient(f"http://127.0.0.1:{port}") as client:
        assert client.ready()["gallery_size"] == 3
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    listen("127.0.0.1", port).close()
