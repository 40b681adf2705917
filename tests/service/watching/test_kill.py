"""A service that is killed owes no alert and raises none twice: of what was acknowledged, one each."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.service.command_line import serving_process
from tests.service.fakes import RED, image_file, write_bundle
from tests.service.watching.receiver import wait_for

KILLS = 1


def enroll_until_killed(url: str, life: int, acknowledged: list[str]) -> None:
    """Enroll one image after the other; ids of those that were acknowledged are appended."""
    with httpx.Client(base_url=url, timeout=20) as client:
        for number in range(10_000):
            image_id = f"{life}-{number}"
            try:
                answer = client.post(
                    "/gallery", files={"image": ("x", image_file(RED))}, data={"image_id": image_id}
                )
            except httpx.TransportError:
                return
            if answer.status_code == 201:
                acknowledged.append(image_id)


@pytest.mark.slow
def test_every_acknowledged_image_that_is_alike_raises_one_alert_over_a_kill(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    options = ("--data-dir", tmp_path / "data", "--bundle", bundle, "--log-level", "error")
    seeded = random.Random(0)
    acknowledged: list[str] = []
    for life in range(KILLS + 1):
        with serving_process(*options) as service, httpx.Client(base_url=service.url, timeout=20) as client:
            if life == 0:
                made = client.post(
                    "/watches", files={"image": ("x", image_file(RED))}, data={"threshold": "0.99"}
                )
                assert made.status_code == 201
            if life < KILLS:
                arguments = (service.url, life, acknowledged)
                thread = threading.Thread(target=enroll_until_killed, args=arguments, daemon=True)
                thread.start()
                enough = len(acknowledged) + seeded.randrange(3, 12)
                wait_for(lambda enough=enough: len(acknowledged) >= enough)  # type: ignore[misc]
                time.sleep(seeded.random() / 100)  # into some step of what goes on
                service.process.kill()
                thread.join(20)
                assert not thread.is_alive()
                continue
            wait_for(lambda: "\nlka_reid_watch_lag_seconds 0.0\n" in client.get("/metrics").text)
            alerts = client.get("/alerts", params={"limit": 1000}).json()["alerts"]
            raised = [alert["image_id"] for alert in alerts]
            enrolled = [record["image_id"] for record in client.get("/gallery?limit=1000").json()["records"]]
    assert len(acknowledged) >= 3 * KILLS
    assert set(acknowledged) <= set(enrolled)
    assert sorted(raised) == sorted(enrolled)
