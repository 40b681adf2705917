"""Requests that are nearly right: none is a fault of the service, and the gallery holds what it should."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.service.api.mutation import send_all
from tests.service.command_line import serving_process
from tests.service.fakes import GREEN, RED, image_file, write_bundle

MUTATED = 100_000


def holdings(client: httpx.Client) -> dict[str, tuple[dict[str, Any], bytes]]:
    """Records and images by id."""
    found: dict[str, tuple[dict[str, Any], bytes]] = {}
    after: dict[str, str] = {}
    while True:
        page = client.get("/gallery", params={"limit": "1000", **after}).json()
        for record in page["records"]:
            image = client.get(f"/gallery/{quote(record['image_id'])}/image")
            assert image.status_code == 200, (record, image.text)
            found[record["image_id"]] = (record, image.content)
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


def mutate(folder: Path, number: int, source: random.Random, go_on: Callable[[], bool]) -> None:
    where = ("--data-dir", folder / "data", "--bundle", write_bundle(folder / "bundle"))
    with (
        serving_process(*where, "--log-level", "error") as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):
        for image_id, colour in {"kept/a": RED, "kept/b": GREEN}.items():
            client.post("/gallery", files={"image": ("x", image_file(colour))}, data={"image_id": image_id})
        before = holdings(client)
        outcome = asyncio.run(send_all(service.url, number, source, go_on))
        after = holdings(client)
        rejected = client.get("/metrics").text
        service.process.terminate()
        _, log = service.process.communicate(timeout=60)
    print(f"\n{outcome.statuses.total():,} mutated requests: {dict(sorted(outcome.statuses.items()))}")
    assert not outcome.odd, outcome.odd[:3]
    assert {key: after.get(key) for key in before} == before
    # Some changes leave a good enrollment under another id. What was acknowledged is there.
    assert outcome.enrolled <= after.keys()
    assert 'reason="internal-error"' not in rejected
    for failure in ("Traceback", "request_failed", "Exception in ASGI"):
        assert failure not in log, log
    assert {200, 400, 422} <= outcome.statuses.keys()


@pytest.mark.slow
def test_mutated_requests_are_no_fault_of_the_service(tmp_path: Path, source: random.Random) -> None:
    mutate(tmp_path, 500, source, lambda: True)


@pytest.mark.soak
def test_mutated_requests_are_no_fault_of_the_service_for_long(
    tmp_path: Path, source: random.Random, soak_s: float
) -> None:
    until = time.monotonic() + soak_s
    mutate(tmp_path, MUTATED, source, lambda: time.monotonic() < until)
