"""Whatever the OpenAPI document allows is answered as it says, and whatever it forbids is refused.

Schemathesis makes the requests: examples, each bound of each field, random ones, and sequences that use what
earlier answers gave. `schemathesis.toml` has the settings, all checks on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from service.access.keyfile import KeyFile
from tests.service.access.holders import make_key
from tests.service.command_line import serving_process
from tests.service.fakes import GREEN, RED, image_file, write_bundle

CONFIG = Path(__file__).with_name("schemathesis.toml")
ROOT = Path(__file__).parents[3]


def check(folder: Path, seed: int, *options: str) -> None:
    data = folder / "data"
    data.mkdir()
    key = make_key(KeyFile(data / "keys.json"), "admin")
    with serving_process(
        *("--data-dir", data, "--bundle", write_bundle(folder / "bundle"), "--log-level", "error")
    ) as service:
        with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {key}"}) as client:
            for image_id, colour in {"a": RED, "b": GREEN}.items():
                client.post(
                    "/gallery", files={"image": ("x", image_file(colour))}, data={"image_id": image_id}
                )
            document = folder / "openapi.json"
            document.write_bytes(client.get("/openapi.json").raise_for_status().content)
        ran = subprocess.run(
            [
                *(Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG, "run", document),
                *("--url", service.url, "--seed", f"{seed}", "--generation-database", "none"),
                # The stream has no end; `routes/test_alerts.py` reads it.
                *("--exclude-path", "/alerts/events"),
                *("--continue-on-failure", "--warnings", "off", "--no-color"),
                # Many forms with a wrong field have an empty one, which the hooks leave out.
                *("--suppress-health-check", "filter_too_much", *options),
            ],
            cwd=folder,  # where it leaves its cache
            env=os.environ | {"KEY": key, "COLUMNS": "110", "PYTHONPATH": f"{ROOT}"},
            capture_output=True,
            text=True,
            check=False,
        )
        service.process.terminate()
        _, log = service.process.communicate(timeout=60)
    summary = ran.stdout[-400:]
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}"
    assert "Tested: " in ran.stdout, summary
    for failure in ("Traceback", "request_failed", "Exception in ASGI"):
        assert failure not in log, log
    print(f"\n{summary}")


@pytest.mark.schemathesis
def test_the_service_does_what_its_description_says(tmp_path: Path) -> None:
    check(tmp_path, 0, "--max-examples", "5", "--max-time", "40")


@pytest.mark.soak
def test_the_service_goes_on_doing_what_its_description_says(
    tmp_path: Path, soak_s: float, pytestconfig: pytest.Config
) -> None:
    seed = int(pytestconfig.getoption("--seed"))
    check(tmp_path, seed, "--max-examples", "100000", "--max-time", f"{int(soak_s)}")
