"""A whole service that is killed while clients change its gallery, and held against what it acknowledged."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

from tests.end_to_end.conftest import serving, start
from tests.service.fakes import image_file

WRITERS = 4
LONGEST_S = 2.0
"""s that a service works at most before it is killed."""
START_S = 8.0
"""s after its start, at most, that one is killed which nobody waits for."""

State = dict[str, tuple[str | None, bytes]]
"""Of each image_id its vehicle and its file."""


class Writer:
    """A client that changes images of its own, one request at a time.

    Args:
        name: what its image ids begin with.

    Attributes:
        state: what was acknowledged.
        asked: what a request makes of it that had no answer yet.
        done: requests that were acknowledged, by what they do.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._source = random.Random(name)
        self.state: State = {}
        self.asked: State | None = None
        self.done: Counter[str] = Counter()

    def work(self, url: str) -> None:
        """Change and query until the service is gone."""
        with httpx.Client(base_url=url, timeout=60) as client:
            while True:
                try:
                    self._change(client)
                except httpx.TransportError:
                    return

    def _change(self, client: httpx.Client) -> None:
        kinds = ["enroll", "batch", "query", *(["update", "delete"] if self.state else [])]
        kind = self._source.choice(kinds)
        fresh = {f"{self._name}/{self._source.getrandbits(60)}": self._image() for _ in range(4)}
        image_id, image = next(iter(fresh.items()))
        chosen = self._source.choice([*self.state]) if self.state else ""
        vehicle = f"v{self._source.getrandbits(20)}"
        before = self.state
        match kind:
            case "enroll":
                self.asked = before | {image_id: (vehicle, image)}
                fields = {"image_id": image_id, "vehicle_id": vehicle}
                answer = client.post("/gallery", data=fields, files={"image": image})
            case "batch":
                self.asked = before | {name: (None, file) for name, file in fresh.items()}
                items = ",".join(f'{{"image_id": "{name}"}}' for name in fresh)
                files = [("images", ("x", file)) for file in fresh.values()]
                answer = client.post("/gallery/batch", data={"items": f"[{items}]"}, files=files)
            case "update":
                self.asked = before | {chosen: (vehicle, before[chosen][1])}
                answer = client.patch(f"/gallery/{chosen}", files={"vehicle_id": (None, vehicle)})
            case "delete":
                self.asked = {name: held for name, held in before.items() if name != chosen}
                answer = client.delete(f"/gallery/{chosen}")
            case _:
                self.asked = before
                answer = client.post("/query", files={"image": image})
        expected = {"enroll": 201, "delete": 204}.get(kind, 200)
        assert answer.status_code == expected, (kind, answer.status_code, answer.text)
        if kind == "batch":
            assert {item["status"] for item in answer.json()["items"]} == {201}
        self.state, self.asked = self.asked, None
        self.done[kind] += 1

    def _image(self) -> bytes:
        colour = self._source.randrange(256), self._source.randrange(256), self._source.randrange(256)
        return image_file(colour)

    def hold_against(self, found: State) -> None:
        """See that what it asked for is there, or wholly not where it was not acknowledged."""
        own = {name: held for name, held in found.items() if name.startswith(f"{self._name}/")}
        allowed = [self.state] if self.asked is None else [self.state, self.asked]
        if own not in allowed:
            missing, more = self.state.keys() - own.keys(), own.keys() - self.state.keys()
            raise AssertionError(f"{self._name}: {missing} are missing, {more} are there too")
        self.state, self.asked = own, None


def holdings(client: httpx.Client) -> State:
    """All that a gallery holds."""
    found: State = {}
    after: dict[str, str] | None = {}
    while after is not None:
        page = client.get("/gallery", params={"limit": "1000", **after}).raise_for_status().json()
        after = None if page["next"] is None else {"after": page["next"]}
        for record in page["records"]:
            name = record["image_id"]
            found[name] = record["vehicle_id"], client.get(f"/gallery/{name}/image").content
    return found


def kill_rounds(
    folder: Path, rounds: int, seconds: float, source: random.Random, *options: object, module: str
) -> tuple[int, Counter[str]]:
    """Kill a service by SIGKILL so many times and for so long, at random moments of its work or its start.

    Returns:
        How often it was killed, and what was acknowledged in between.
    """
    writers = [Writer(f"{source.getrandbits(30)}") for _ in range(WRITERS)]
    until, done, at_start = time.monotonic() + seconds, 0, 0
    while done < rounds or time.monotonic() < until:
        if source.random() < 0.2:
            process, _ = start(folder / "data", *options, module=module)
            time.sleep(source.uniform(0, START_S))
            process.kill()
            process.wait()
            at_start += 1
        with (
            serving(folder / "data", *options, module=module) as service,
            ThreadPoolExecutor(WRITERS) as pool,
        ):
            found = holdings(service.client)
            for writer in writers:
                writer.hold_against(found)
            assert len(found) == sum(len(writer.state) for writer in writers)
            url = str(service.client.base_url)
            working = [pool.submit(writer.work, url) for writer in writers]
            time.sleep(source.uniform(0, LONGEST_S))
            service.kill()
            for each in working:
                each.result()
        done += 1
    with serving(folder / "data", *options, module=module) as service:
        found = holdings(service.client)
        for writer in writers:
            writer.hold_against(found)
        # Each is found by its own file.
        for name, (_, image) in [*found.items()][:3]:
            answer = service.client.post("/query", files={"image": image}, data={"rerank": "false"}).json()
            assert np.isclose(answer["matches"][0]["similarity"], 1, atol=1e-3), name
    acknowledged = sum((writer.done for writer in writers), Counter())
    return done + at_start, acknowledged
