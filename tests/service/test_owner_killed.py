"""Two replicas on a Milvus that is killed under load: both say so, answer again when it is back, and lose
nothing."""

from __future__ import annotations

import io
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.servers.fixtures import MilvusServer
from tests.service.replicas import replica, sharing

pytestmark = pytest.mark.milvus

LIMIT_S: Final = 30.0
"""Within which any request is answered, with 4 s for a call of Milvus; else its client gives up."""
MOST: Final = 5_000
UNREACHABLE: Final = (503, "urn:lka-reid:problem:gallery-unreachable")


def file_of(number: int) -> bytes:
    """An image file unlike that of any other number, also for the fakes."""
    colours = np.random.default_rng(number).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(colours.repeat(8, axis=0).repeat(8, axis=1)).save(stream, "PNG")
    return stream.getvalue()


def number_of(image_id: str) -> int:
    return int(image_id.removeprefix("i"))


def enroll_number(client: httpx.Client, image_id: str) -> httpx.Response:
    """Enroll the image of the number that an id names."""
    files = {"image": ("x", file_of(number_of(image_id)))}
    return client.post("/gallery", files=files, data={"image_id": image_id})


@dataclass
class Stream:
    """Enrollments one after another by several threads, and what became of each.

    Args:
        clients: of the replicas, which take turns.
    """

    clients: list[httpx.Client]
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    by: Counter[tuple[int, int]] = field(default_factory=Counter)
    """How many there were of a status by each replica."""

    @contextmanager
    def running(self) -> Iterator[None]:
        ended, numbers = threading.Event(), iter(range(MOST))

        def send(which: int) -> None:
            while not ended.is_set():
                image_id = f"i{next(numbers)}"
                sent = enroll_number(self.clients[which], image_id)
                said = sent.json()
                self.answers[image_id] = (sent.status_code, said.get("type", ""))
                self.by[which, sent.status_code] += 1
                if sent.status_code != 201:
                    assert problem_of(sent) == UNREACHABLE
                    time.sleep(0.1)

        with ThreadPoolExecutor(4) as pool:
            sending = [pool.submit(send, number % len(self.clients)) for number in range(4)]
            try:
                yield
            finally:
                ended.set()
                for one in sending:
                    one.result()

    def more(self, status: int, count: int = 5) -> None:
        """Wait until each replica has given so many more answers of a status."""
        before = self.by.copy()
        which = range(len(self.clients))
        wait_until(lambda: all(self.by[each, status] >= before[each, status] + count for each in which))

    def acknowledged(self) -> set[str]:
        return {image_id for image_id, (status, _) in self.answers.copy().items() if status == 201}


def wait_until(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 90
    while not what():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def listed(client: httpx.Client) -> list[str]:
    """All image ids that a replica has, page by page."""
    ids: list[str] = []
    after: dict[str, Any] = {}
    while True:
        page = client.get("/gallery", params={"limit": 100, **after}).json()
        ids += [record["image_id"] for record in page["records"]]
        if page["next"] is None:
            return ids
        after = {"after": page["next"]}


def query_batch(client: httpx.Client, numbers: Iterable[int]) -> httpx.Response:
    files = [("images", ("x", file_of(number))) for number in numbers]
    return client.post("/query/batch", files=files, data={"top_k": "1"})


def first_matches(client: httpx.Client, image_ids: list[str]) -> list[str]:
    """The best match of each of these images."""
    found: list[str] = []
    for first in range(0, len(image_ids), 200):
        answer = query_batch(client, [number_of(one) for one in image_ids[first : first + 200]])
        assert answer.status_code == 200, answer.text
        items = answer.json()["items"]
        assert {item["status"] for item in items} == {200}, items[:3]
        found += [item["answer"]["matches"][0]["image_id"] for item in items]
    return found


def problem_of(response: httpx.Response) -> tuple[int, str]:
    """The status and the type of a refusal, which is to name Milvus and show no trace."""
    said = response.json()
    assert "Milvus" in said["detail"], said
    assert "Traceback" not in response.text
    assert "RpcError" not in response.text
    return response.status_code, said["type"]


def not_ready(client: httpx.Client) -> bool:
    """Whether readiness refuses, saying that Milvus is why."""
    ready = client.get("/health/ready")
    if ready.status_code == 200:
        return False
    assert problem_of(ready) == (503, "urn:lka-reid:problem:not-ready")
    return True


def query_until_refused(client: httpx.Client, answered: threading.Event) -> None:
    """Send one batch of queries after another; each is answered, or refused, as a whole."""
    while (answer := query_batch(client, range(32))).status_code == 200:
        assert {item["status"] for item in answer.json()["items"]} == {200}
        answered.set()
    assert problem_of(answer) == UNREACHABLE


def counted(client: httpx.Client) -> int:
    """How many images the quota counts."""
    return int(client.get("/collections/default").json()["images"])


def test_replicas_outlive_their_milvus_and_lose_no_acknowledgement(
    own_milvus: MilvusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LKA_REID_MILVUS_TIMEOUT_S", "4")
    with ExitStack() as stack:
        shared = stack.enter_context(sharing(own_milvus.start(), "owned", tmp_path, monkeypatch))
        replicas = [stack.enter_context(replica(shared, name)) for name in "ab"]
        both = [client for client, _ in replicas]
        for client in both:
            client.timeout = httpx.Timeout(LIMIT_S)
        limited = both[0].put("/collections/default/quota", files={"max_images": (None, str(MOST))})
        assert limited.status_code == 200, limited.text

        stream = Stream(both)
        with stream.running(), ThreadPoolExecutor(2) as pool:
            stream.more(201)
            # Whenever Milvus is killed, each replica has enrollments and a batch of queries under way.
            answered = [threading.Event() for _ in both]
            querying = [pool.submit(query_until_refused, *one) for one in zip(both, answered, strict=True)]
            wait_until(lambda: all(one.is_set() for one in answered))
            own_milvus.kill()
            for one in querying:
                one.result()

            stream.more(503)
            for client in both:
                assert not_ready(client)
                assert "lka_reid_gallery_up 0.0" in client.get("/metrics").text
                assert client.get("/health/live").status_code == 200
                for refused in (
                    client.post("/query", files={"image": ("x", file_of(0))}),
                    query_batch(client, range(2)),
                    client.get("/gallery"),
                    client.get("/gallery/i0/image"),
                    client.delete("/gallery/i0"),
                ):
                    assert problem_of(refused) == UNREACHABLE

            # On the same data again: both come back by themselves.
            own_milvus.start()
            for client in both:
                wait_until(lambda client=client: not not_ready(client))  # type: ignore[misc]
            stream.more(201)
        assert [process.process.poll() for _, process in replicas] == [None, None]
        assert set(stream.answers.values()) == {(201, ""), UNREACHABLE}

        # What was acknowledged is there. What was refused is there whole and once, or not at all.
        there = listed(both[0])
        acknowledged = stream.acknowledged()
        assert acknowledged <= set(there)
        # What was in doubt is counted within seconds.
        wait_until(lambda: counted(both[0]) == len(there))
        check_all(both, there)

        # Whoever was refused sends it again: it is enrolled now, or was.
        again = {image_id for image_id in stream.answers if image_id not in acknowledged}
        again = set(sorted(again)[:10]) | (again & set(there))
        for place, image_id in enumerate(sorted(again)):
            answer = enroll_number(both[place % 2], image_id)
            assert answer.status_code == (409 if image_id in there else 201), answer.text
            assert answer.json().get("differs", []) == []
        after = listed(both[0])
        assert set(after) == set(there) | again
        check_all(both, after)


def check_all(both: list[httpx.Client], there: list[str]) -> None:
    """Both replicas have these images, each once and whole, and count them."""
    assert len(there) == len(set(there))
    for client in both:
        assert listed(client) == there
        assert first_matches(client, there) == there
        assert counted(client) == len(there)
        assert client.get("/health/ready").json()["gallery_size"] == len(there)
        for image_id in there:
            assert client.get(f"/gallery/{image_id}/image").content == file_of(number_of(image_id))
