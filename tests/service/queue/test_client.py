"""What a service does with its requests on a real Redis: places, deadlines, workers that are gone."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from service.inference.forward import EmbeddingError
from service.inference.request import Expired, Overloaded, WorkerStoppedError
from service.queue.client import QueueClient
from service.queue.connection import connect
from service.queue.errors import (
    DeadLetterError,
    ForeignBundleError,
    QueueUnavailableError,
    RedisUrlError,
)
from tests.service.queue.fellows import (
    OURS,
    PATIENCE_S,
    THEIRS,
    depth,
    fellow,
    is_empty,
    refusal,
    service,
    soon,
    until,
    workers,
)
from tests.service.redis_server import RedisServer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("deliveries", "last_ended", "ended"), [(1, True, 1), (2, False, 1), (2, True, 2), (3, False, 2)]
)
def test_at_its_deadline_an_image_that_two_workers_ended_with_is_a_dead_letter(
    redis: RedisServer, deliveries: int, last_ended: bool, ended: int
) -> None:
    async def scene() -> None:
        async with fellow(redis) as worker, service(redis) as client:
            asking = asyncio.create_task(client.embed(b"poison", time.monotonic() + 0.5, "t"))
            [delivery] = await worker.stream.read(1, PATIENCE_S)
            for _ in range(deliveries - 1):
                assert await worker.stream.take_over(0, 3) is not None
            if last_ended:
                await worker.stream.leave_behind()
            if ended < 2:
                with pytest.raises(Expired):
                    await asking
                assert not redis.client.xrange("{q}:dead")
            else:
                with pytest.raises(DeadLetterError, match=f"^2 workers ended .* {delivery.entry}$"):
                    await asking
                [(_, letter)] = redis.client.xrange("{q}:dead")
                assert (letter[b"image"], letter[b"trace"]) == (b"poison", b"t")
                assert int(letter[b"deliveries"]) == deliveries
            await until(lambda: is_empty(redis))
            assert not await worker.stream.has_leftovers(0)

    asyncio.run(scene())


def test_who_goes_away_or_waits_too_long_takes_his_request_with_him(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis) as worker, service(redis) as client:
            leaving = asyncio.create_task(client.embed(b"x", soon(), ""))
            [delivery] = await worker.stream.read(8, PATIENCE_S)
            leaving.cancel()
            with pytest.raises(Expired):
                await client.embed(b"y", time.monotonic() + 0.2, "")
            await until(lambda: is_empty(redis))
            assert await worker.stream.touch([delivery.entry]) == set()
            assert not await worker.stream.answer(delivery, refusal(delivery.request))
            assert not redis.client.keys("{q}:answers*")

    asyncio.run(scene())


def test_all_services_share_the_places_and_one_more_is_refused(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis), service(redis) as one, service(redis) as two:
            waiting = [asyncio.create_task(client.embed(b"x", soon(), "")) for client in (one, two, one, two)]
            await until(lambda: depth(redis, 4))
            for client in (one, two):
                with pytest.raises(Overloaded, match="all 4 places"):
                    await client.embed(b"x", soon(), "")
            waiting[0].cancel()
            await until(lambda: depth(redis, 3))
            for task in waiting:
                task.cancel()

    asyncio.run(scene())


def test_without_a_worker_nothing_is_put_on_the_queue(redis: RedisServer) -> None:
    async def scene() -> None:
        async with service(redis) as client:
            with pytest.raises(WorkerStoppedError, match=OURS):
                await client.embed(b"x", soon(), "")
            assert client.state().queue_up
            assert client.state().workers == 0

    asyncio.run(scene())


async def _leave(redis: RedisServer, client: QueueClient) -> None:
    """Let the only worker be gone, as if it were killed, and the service have seen it."""
    redis.client.delete("{q}:worker:w")

    async def seen() -> bool:
        return client.state().workers == 0

    await until(seen)


@pytest.mark.slow
def test_a_request_waits_for_the_worker_that_comes_after_one_that_was_killed(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis), service(redis) as client:
            await _leave(redis, client)
            assert client.state().fault is not None
            asking = asyncio.create_task(client.embed(b"x", soon(), ""))
            await until(lambda: depth(redis, 1))
            async with fellow(redis, "next") as worker:
                [delivery] = await worker.stream.read(8, PATIENCE_S)
                await worker.stream.answer(delivery, refusal(delivery.request))
                with pytest.raises(EmbeddingError, match="no"):
                    await asking

    asyncio.run(scene())


@pytest.mark.slow
def test_no_worker_is_waited_for_that_has_been_gone_for_long(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.queue.client.RESTART_S", 0.0)

    async def scene() -> None:
        async with fellow(redis), service(redis) as client:
            await _leave(redis, client)
            with pytest.raises(WorkerStoppedError, match=OURS):
                await client.embed(b"x", soon(), "")

    asyncio.run(scene())


def test_the_first_comer_makes_the_queue_its_bundle_s(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis):
            with pytest.raises(ForeignBundleError, match=rf"{OURS}.*{THEIRS}"):
                async with fellow(redis, "other", THEIRS):
                    pass
            async with service(redis, THEIRS) as client:
                with pytest.raises(ForeignBundleError, match=rf"{OURS}.*{THEIRS}"):
                    await client.embed(b"x", soon(), "")
                assert OURS in str(client.state().fault)

    asyncio.run(scene())


@pytest.mark.slow
def test_nobody_there_is_reported_within_the_patience(tmp_path: Path) -> None:
    async def scene(redis: RedisServer) -> None:
        async with service(redis, timeout_s=0.3) as client:
            for _ in range(2):
                with pytest.raises(QueueUnavailableError, match="Redis does not answer"):
                    await client.embed(b"x", soon(), "")
            assert not client.state().queue_up
            redis.start()
            async with fellow(redis):
                await until(lambda: workers(client, 1))
                assert client.state().fault is None

    redis = RedisServer(tmp_path)
    try:
        asyncio.run(scene(redis))
    finally:
        redis.client.close()
        redis.kill()


def test_a_url_that_does_not_read_is_reported_without_its_password() -> None:
    with pytest.raises(RedisUrlError, match="LKA_REID_REDIS_URL") as caught:
        connect("rdis://me:secret@host", 1)
    assert "secret" not in str(caught.value)
