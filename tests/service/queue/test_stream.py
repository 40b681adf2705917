"""The protocol, step by step, on a real Redis: who answers, who takes over, what becomes a dead letter."""

from __future__ import annotations

import asyncio

import pytest

from service.inference.forward import EmbeddingError
from service.queue import codec
from service.queue.errors import (
    MissingGroupError,
)
from service.queue.stream import DEAD_LETTERS_MS
from tests.service.queue.fellows import (
    OURS,
    PATIENCE_S,
    dead_letters,
    fellow,
    refusal,
    service,
    soon,
    until,
    workers,
)
from tests.service.redis_server import RedisServer


@pytest.mark.slow
def test_an_answer_comes_back_to_who_asked(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis) as worker, service(redis) as one, service(redis) as two:
            asking = [
                asyncio.create_task(client.embed(data, soon(), "trace"))
                for client, data in ((one, b"1"), (two, b"2"))
            ]
            deliveries = [delivery for _ in range(2) for delivery in await worker.stream.read(1, PATIENCE_S)]
            for delivery in deliveries:
                assert delivery.fingerprint == OURS
                assert delivery.trace == "trace"
                assert delivery.deliveries == 1
                assert worker.registration.now_ms() < delivery.deadline_ms
                error = EmbeddingError(delivery.image.decode())
                assert await worker.stream.answer(delivery, codec.encode_error(delivery.request, error))
            for task, data in zip(asking, ("1", "2"), strict=True):
                with pytest.raises(EmbeddingError, match=data):
                    await task

    asyncio.run(scene())


@pytest.mark.slow
def test_a_request_is_answered_once_however_many_workers_try(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis, "first") as first, fellow(redis, "second") as second:
            async with service(redis) as client:
                asking = asyncio.create_task(client.embed(b"x", soon(), ""))
                [delivery] = await first.stream.read(8, PATIENCE_S)
                leftover = await second.stream.take_over(0, 3)
                assert leftover is not None
                assert leftover.holder == "first"
                assert leftover.delivery.deliveries == 2
                assert await first.stream.touch([delivery.entry]) == set()
                assert await second.stream.touch([delivery.entry]) == {delivery.entry}
                assert await second.stream.answer(leftover.delivery, refusal(delivery.request))
                assert not await first.stream.answer(delivery, refusal(delivery.request))
                with pytest.raises(EmbeddingError):
                    await asking
            assert not redis.client.xlen("{q}:requests")
            assert not await second.stream.has_leftovers(0)

    asyncio.run(scene())


def test_a_worker_that_gives_signs_of_life_is_not_robbed(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis, "slow") as slow, fellow(redis, "eager") as eager, service(redis) as client:
            asking = asyncio.create_task(client.embed(b"x", soon(), ""))
            [delivery] = await slow.stream.read(8, PATIENCE_S)
            await asyncio.sleep(0.3)
            assert await eager.stream.has_leftovers(0.2)
            await slow.stream.touch([delivery.entry])
            assert await eager.stream.take_over(5, 3) is None
            asking.cancel()

    asyncio.run(scene())


@pytest.mark.slow
def test_after_its_last_delivery_a_request_is_buried_and_not_taken_over(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis, "w") as worker, service(redis) as client:
            asking = asyncio.create_task(client.embed(b"poison", soon(), "t"))
            await worker.stream.read(8, PATIENCE_S)
            second, spent = await worker.stream.take_over(0, 2), await worker.stream.take_over(0, 2)
            assert second is not None
            assert spent is not None
            assert (second.is_spent, spent.is_spent) == (False, True)
            assert spent.delivery.deliveries == 2
            assert await worker.stream.bury(spent, refusal(spent.delivery.request))
            assert not await worker.stream.bury(spent, refusal(spent.delivery.request))
            with pytest.raises(EmbeddingError):
                await asking
            [(_, letter)] = redis.client.xrange("{q}:dead")
            assert letter[b"image"] == b"poison"
            await until(lambda: dead_letters(client, 1))
            # It goes by itself, also where no service looks.
            assert 0 < redis.client.pttl("{q}:dead") <= DEAD_LETTERS_MS

    asyncio.run(scene())


def test_a_dead_letter_goes_when_its_time_is_over_though_younger_ones_stay(redis: RedisServer) -> None:
    async def scene() -> None:
        seconds, _ = redis.client.time()
        now = 1000 * seconds
        redis.client.xadd("{q}:dead", {"image": "old"}, id=f"{now - DEAD_LETTERS_MS - 60_000}-0")
        redis.client.xadd("{q}:dead", {"image": "young"}, id=f"{now - DEAD_LETTERS_MS + 60_000}-0")
        async with service(redis) as client:
            await until(lambda: dead_letters(client, 1))
        [(_, letter)] = redis.client.xrange("{q}:dead")
        assert letter[b"image"] == b"young"

    asyncio.run(scene())


def test_what_a_worker_left_behind_is_taken_over_at_once(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis, "gone") as gone, fellow(redis, "here") as here, service(redis) as client:
            asking = [asyncio.create_task(client.embed(b"x", soon(), "")) for _ in range(2)]
            held = [delivery for _ in asking for delivery in await gone.stream.read(1, PATIENCE_S)]
            assert not await here.stream.has_leftovers(PATIENCE_S)
            # Whoever has seen it end says so in its name.
            assert await gone.stream.leave_behind() == 2
            leftovers = [await here.stream.take_over(PATIENCE_S, 3) for _ in asking]
            assert [it.delivery.deliveries for it in leftovers if it is not None] == [2, 2]
            assert {it.delivery.entry for it in leftovers if it is not None} == {it.entry for it in held}
            assert await here.stream.take_over(PATIENCE_S, 3) is None
            assert await gone.stream.leave_behind() == 0
            for task in asking:
                task.cancel()

    asyncio.run(scene())


def test_one_that_ends_its_workers_keeps_no_other_waiting(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis) as worker, service(redis) as client:
            asking = []
            for data in (b"poison", b"second", b"third"):
                asking.append(asyncio.create_task(client.embed(data, soon(), "")))
                await worker.stream.read(1, PATIENCE_S)
            taken = []
            for _ in range(5):
                leftover = await worker.stream.take_over(0, 3)
                assert leftover is not None
                taken.append((leftover.delivery.image, leftover.delivery.deliveries, leftover.is_spent))
                if leftover.delivery.image != b"poison":
                    await worker.stream.answer(leftover.delivery, refusal(leftover.delivery.request))
            # What has had its last delivery is answered before anything else is risked.
            late = asyncio.create_task(client.embed(b"late", soon(), ""))
            await worker.stream.read(1, PATIENCE_S)
            spent = await worker.stream.take_over(0, 3)
            assert spent is not None
            assert (spent.delivery.image, spent.is_spent) == (b"poison", True)
            for task in (*asking, late):
                task.cancel()
            await asyncio.gather(*asking, late, return_exceptions=True)
        assert taken == [
            (b"poison", 2, False),
            (b"second", 2, False),
            (b"third", 2, False),
            (b"poison", 3, False),
            (b"poison", 3, True),
        ]

    asyncio.run(scene())


def test_a_lost_stream_is_reported_and_made_anew(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis) as worker:
            redis.client.flushall()
            with pytest.raises(MissingGroupError):
                await worker.stream.read(1, 0.01)
            with pytest.raises(MissingGroupError):
                await worker.stream.has_leftovers(0)
            await worker.stream.prepare()
            await worker.stream.prepare()
            assert await worker.stream.read(1, 0.01) == []

    asyncio.run(scene())


@pytest.mark.slow
def test_a_worker_that_left_is_not_listed_any_more(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis, "gone") as gone, fellow(redis, "here"), service(redis) as client:
            assert client.state().workers == 2
            asking = asyncio.create_task(client.embed(b"x", soon(), ""))
            [delivery] = await gone.stream.read(1, PATIENCE_S)
            await gone.stream.answer(delivery, refusal(delivery.request))
            with pytest.raises(EmbeddingError):
                await asking
            assert len(redis.client.xinfo_consumers("{q}:requests", "workers")) == 1
            await gone.stream.leave()
            assert not redis.client.xinfo_consumers("{q}:requests", "workers")
            await until(lambda: workers(client, 1))

    asyncio.run(scene())


def test_a_dead_worker_is_forgotten_once_nothing_hangs_on_it(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis, "dead") as dead, fellow(redis, "here") as here, service(redis) as client:
            asking = asyncio.create_task(client.embed(b"x", soon(), ""))
            await dead.stream.read(1, PATIENCE_S)
            redis.client.delete("{q}:worker:dead")
            await here.stream.forget_the_gone()
            leftover = await here.stream.take_over(0, 3)
            assert leftover is not None
            await here.stream.forget_the_gone()
            names = [row["name"] for row in redis.client.xinfo_consumers("{q}:requests", "workers")]
            assert names == [b"here"]
            asking.cancel()

    asyncio.run(scene())
