"""What happens when a part dies, stands still, is full, or is another one's: real processes, a real Redis."""

from __future__ import annotations

import asyncio
import collections
import io
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from models.bundle import Bundle
from tests.service.fakes import BLUE, GREEN, RED, image_file, write_bundle
from tests.service.queue.stack import PATIENCE_S, QUEUE, Process, stack, wait_for

pytestmark = pytest.mark.slow

LONG = 60.0


def plain(level: int) -> bytes:
    """An image file of one grey; 255 kills the worker's process, 5 costs it its device."""
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), (level, level, level)).save(stream, "PNG")
    return stream.getvalue()


def problem(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["type"].rpartition(":")[2]


def test_a_killed_worker_s_requests_are_answered_by_another_once_each(tmp_path: Path) -> None:
    images = {str(number): image_file((number * 20, 255 - number * 20, 128)) for number in range(12)}
    with stack(tmp_path, request_deadline_s=LONG, claim_after_s=1) as it:
        service, workers = it.started(2)
        with ThreadPoolExecutor(len(images)) as pool:
            with it.held():
                answers = [
                    pool.submit(service.enroll, image, image_id=image_id)
                    for image_id, image in images.items()
                ]
                wait_for(it.batches, "a batch")
                victim = next(worker for worker in workers if worker.pid == it.batches()[0][0])
                wait_for(lambda: it.pending() == len(images), "delivery of every image")
                victim.popen.kill()
            assert [answer.result().status_code for answer in answers] == [201] * len(images)
        survivor = next(worker for worker in workers if worker is not victim)
        assert survivor.metrics()["lka_reid_claimed_total"] >= 1
        assert service.metrics()["lka_reid_gallery_images"] == len(images)
        for image_id, image in images.items():
            assert service.query(image, top_k=1).json()["matches"][0]["image_id"] == image_id
        assert it.depth() == it.pending() == 0
        assert not it.redis.client.keys(f"{QUEUE}:answers:*")


def test_an_image_that_kills_its_workers_becomes_a_dead_letter_and_the_others_live(tmp_path: Path) -> None:
    poison = plain(255)
    with stack(tmp_path) as it:
        # As it is set by default, its deadline of 5 s included; the others may wait for workers to come back.
        service, pool_of_two = it.service(), it.worker("--processes", "2")
        patient = it.service(request_deadline_s=LONG, data_dir=tmp_path / "data-2")
        for process in (service, patient):
            wait_for(process.ready, "the services")
        wait_for(lambda: pool_of_two.metrics().get("lka_reid_worker_up") == 2, "both processes")
        with ThreadPoolExecutor(13) as pool:
            others = [pool.submit(patient.query, image_file(RED)) for _ in range(12)]
            refusal = pool.submit(service.query, poison).result()
            assert {other.result().status_code for other in others} == {200}
        assert problem(refusal) == (422, "image-breaks-worker")
        [(_, letter)] = it.redis.client.xrange(f"{QUEUE}:dead")
        assert letter[b"image"] == poison
        assert int(letter[b"deliveries"]) in (2, 3)
        assert letter[b"entry"].decode() in refusal.json()["detail"]
        assert letter[b"trace"].decode() == refusal.json()["request_id"]
        assert pool_of_two.popen.poll() is None
        assert patient.query(image_file(RED)).status_code == 200
        wait_for(lambda: pool_of_two.metrics().get("lka_reid_worker_up") == 2, "both processes")
        assert pool_of_two.metrics()["lka_reid_worker_restarts_total"] >= 2
        put_aside = service.metrics()["lka_reid_dead_lettered_total"]
        # By the service at the deadline, or by a worker before; a worker's count may have died with it.
        assert put_aside in (0, 1)
        pool_of_two.popen.terminate()
        assert pool_of_two.popen.wait(PATIENCE_S) == 0
        assert it.depth() == it.pending() == 0


def test_an_image_that_kills_its_workers_harms_no_other_of_its_batch(tmp_path: Path) -> None:
    files = [image_file(RED), plain(255), image_file(GREEN), b"no image"]
    with stack(tmp_path, request_deadline_s=LONG) as it:
        service, worker = it.service(), it.worker("--processes", "2")
        wait_for(service.ready, "the service")
        wait_for(lambda: worker.metrics().get("lka_reid_worker_up") == 2, "both processes")
        sent = [("images", ("x", file)) for file in files]
        answer = service.client.post("/gallery/batch", files=sent)
        assert answer.status_code == 200
        assert [item["status"] for item in answer.json()["items"]] == [201, 422, 201, 422]
        kinds = [item["problem"]["type"].rpartition(":")[2] for item in answer.json()["items"][1::2]]
        assert kinds == ["image-breaks-worker", "not-an-image"]
        assert it.depth() == it.pending() == 0
        wait_for(lambda: worker.metrics().get("lka_reid_worker_up") == 2, "both processes")
        wait_for(service.ready, "the service")
        embedded = service.client.post("/query/batch", files=sent[:1] * 20)
        assert embedded.json()["answered"] == 20


def test_a_single_worker_s_end_is_reported_by_its_parent(tmp_path: Path) -> None:
    # Nobody would miss its signs of life within the test.
    with stack(tmp_path, request_deadline_s=LONG, claim_after_s=600) as it:
        service, worker = it.service(), it.worker("--supervise")
        wait_for(service.ready, "the service")
        assert problem(service.query(plain(255))) == (422, "image-breaks-worker")
        [(_, letter)] = it.redis.client.xrange(f"{QUEUE}:dead")
        assert letter[b"deliveries"] == b"3"
        assert worker.said("left_behind")
        assert worker.metrics()["lka_reid_worker_restarts_total"] == 3
        assert service.query(image_file(RED)).status_code == 200


def test_a_restart_of_redis_costs_what_is_in_flight_and_nothing_more(tmp_path: Path) -> None:
    with stack(tmp_path, request_deadline_s=LONG) as it:
        service, [worker] = it.started()
        with ThreadPoolExecutor(2) as pool:
            with it.held():
                flying = [pool.submit(service.query, image_file(colour)) for colour in (RED, BLUE)]
                wait_for(lambda: it.pending() == 2, "both images in the worker")
                it.redis.kill()
                assert {problem(answer.result()) for answer in flying} == {(503, "queue-unavailable")}
            wait_for(lambda: not service.ready(), "unreadiness")
            response = service.query(image_file(RED))
            assert problem(response) == (503, "queue-unavailable")
            assert response.headers["Retry-After"]
            assert service.client.get("/health/live").status_code == 200
            assert service.metrics()["lka_reid_queue_up"] == 0
            it.redis.start()
            wait_for(service.ready, "readiness")
            assert service.query(image_file(GREEN)).status_code == 200
        assert service.popen.poll() is None
        assert worker.popen.poll() is None


def test_a_full_redis_is_503_at_once_and_what_was_accepted_is_answered(tmp_path: Path) -> None:
    with stack(tmp_path, request_deadline_s=LONG) as it, ThreadPoolExecutor(1) as pool:
        service, _ = it.started()
        with it.held():
            accepted = pool.submit(service.query, image_file(RED))
            wait_for(lambda: it.pending() == 1, "the image in the worker")
            it.redis.client.config_set("maxmemory", "1")
            response = service.query(image_file(BLUE))
            assert problem(response) == (503, "queue-unavailable")
            assert "Redis is full" in response.json()["detail"]
        assert accepted.result().status_code == 200
        time.sleep(5)  # longer than a worker's entry lasts without a sign of life
        assert service.metrics()["lka_reid_workers_up"] == 1
        it.redis.client.config_set("maxmemory", "0")
        assert service.query(image_file(BLUE)).status_code == 200


def test_a_redis_that_stands_still_is_503_and_no_request_hangs(tmp_path: Path) -> None:
    with stack(tmp_path, request_deadline_s=LONG, redis_timeout_s=1) as it, ThreadPoolExecutor(4) as pool:
        service, _ = it.started()
        with it.redis.paused():
            since = time.monotonic()
            # All of them are answered while it stands still.
            answers = list(pool.map(service.query, [image_file(RED)] * 8))
            assert {problem(answer) for answer in answers} == {(503, "queue-unavailable")}
            assert service.client.get("/health/ready").status_code == 503
            time.sleep(max(0.0, 3 - (time.monotonic() - since)))
        wait_for(service.ready, "readiness")
        assert service.query(image_file(RED)).status_code == 200


def test_another_bundle_is_refused_and_both_fingerprints_are_named(tmp_path: Path) -> None:
    with stack(tmp_path, request_deadline_s=LONG) as it:
        other = write_bundle(tmp_path / "other", "other")
        ours, theirs = (Bundle.load(path).fingerprint for path in (tmp_path / "bundle", other))
        service, [worker] = it.started()
        foreign = it.worker(bundle=other)
        assert foreign.popen.wait(PATIENCE_S) == 2
        assert ours in foreign.log.read_text()
        assert theirs in foreign.log.read_text()
        assert "Traceback" not in foreign.log.read_text()
        assert service.query(image_file(RED)).status_code == 200

        worker.popen.terminate()
        assert worker.popen.wait(PATIENCE_S) == 0
        wait_for(lambda: not service.ready(), "unreadiness")
        for response in (service.client.get("/health/ready"), service.query(image_file(RED))):
            assert problem(response) == (503, "not-ready")
            assert ours in response.json()["detail"]
            assert theirs in response.json()["detail"]

        stranger = it.service(bundle=other, data_dir=tmp_path / "data-2")
        wait_for(lambda: stranger.said("ready"), "the other service")
        for response in (stranger.client.get("/health/ready"), stranger.query(image_file(RED))):
            assert problem(response) == (503, "not-ready")
            assert ours in response.json()["detail"]
            assert theirs in response.json()["detail"]


async def flood(service: Process, requests: int) -> collections.Counter[int]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    noise = np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "BMP")
    async with httpx.AsyncClient(base_url=service.client.base_url, limits=limits, timeout=300) as client:

        async def query() -> int:
            response = await client.post("/query", files={"image": ("x", stream.getvalue())})
            assert response.status_code == 200 or response.headers["Retry-After"]
            return response.status_code

        return collections.Counter(await asyncio.gather(*(query() for _ in range(requests))))


def test_a_flood_on_a_slow_worker_is_200_or_503_in_bounded_memory(tmp_path: Path) -> None:
    places = 40
    settings: dict[str, Any] = {"request_deadline_s": 300, "max_queue": places}
    # All of the flood comes from one address.
    settings |= {"max_connections": 2000, "max_connections_per_peer": 2000}
    with stack(tmp_path, None, **settings) as it:
        service, worker = it.service(), it.worker(delay_s=0.1)
        wait_for(service.ready, "the service")
        before = service.metrics()["process_resident_memory_bytes"]
        deepest = 0
        with ThreadPoolExecutor(1) as pool:
            # Not so many that this client, beside other tests, takes longer than 10 s to send a head.
            flooding = pool.submit(lambda: asyncio.run(flood(service, 400)))
            while not flooding.done():
                deepest = max(deepest, it.depth())
                time.sleep(0.01)
            statuses = flooding.result()
        assert set(statuses) == {200, 503}
        assert statuses[200] >= places
        assert 0 < deepest <= places
        assert service.metrics()["process_resident_memory_bytes"] - before < 200 * 1024**2
        assert service.metrics()["lka_reid_requests_in_flight"] == 0
        assert worker.metrics()["lka_reid_worker_held"] == 0
        assert it.depth() == 0
        assert service.query(image_file(RED)).status_code == 200


def test_a_rolling_restart_loses_no_request(tmp_path: Path) -> None:
    with stack(tmp_path, request_deadline_s=LONG) as it, ThreadPoolExecutor(4) as pool:
        service, [worker] = it.started()
        over = False

        def ask() -> collections.Counter[int]:
            statuses: collections.Counter[int] = collections.Counter()
            while not over:
                statuses[service.query(image_file(RED)).status_code] += 1
            return statuses

        asking = [pool.submit(ask) for _ in range(4)]
        try:
            for _ in range(2):
                successor = it.worker()
                wait_for(partial(successor.said, "worker_ready"), "the new worker")
                worker.popen.terminate()
                assert worker.popen.wait(PATIENCE_S) == 0
                worker = successor
        finally:
            over = True
        statuses = sum((answer.result() for answer in asking), collections.Counter[int]())
        assert set(statuses) == {200}
        consumers = it.redis.client.xinfo_consumers(f"{QUEUE}:requests", "workers")
        assert len(consumers) == 1


def test_a_lost_device_ends_its_worker_so_that_it_is_started_again(tmp_path: Path) -> None:
    with stack(tmp_path, request_deadline_s=2) as it:
        service, [worker] = it.started()
        response = service.query(plain(5))
        assert response.status_code in (503, 504)
        assert worker.popen.wait(PATIENCE_S) == 70
        assert worker.said("embedder_lost")
        wait_for(lambda: not service.ready(), "unreadiness")


def test_who_hangs_up_or_waits_too_long_frees_his_place(tmp_path: Path) -> None:
    with stack(tmp_path, request_deadline_s=LONG) as it:
        service, _ = it.started()
        hasty = it.service(request_deadline_s=1.5, data_dir=tmp_path / "data-2")
        wait_for(hasty.ready, "the other service")
        with it.held():
            with pytest.raises(httpx.ReadTimeout):
                service.client.post("/query", files={"image": ("x", image_file(RED))}, timeout=1)
            assert problem(hasty.query(image_file(BLUE))) == (504, "deadline-exceeded")
            wait_for(lambda: it.depth() == 0, "free places")
            assert it.pending() == 0
        assert service.query(image_file(GREEN)).status_code == 200
