"""A batch on the queue: one entry, one answer, one by one where a worker ended with it."""

from __future__ import annotations

import asyncio

import pytest

from service.inference.embedder import EmbeddedImage
from service.inference.forward import EmbeddingError
from service.queue import codec
from service.queue.errors import (
    SplitBatchError,
)
from tests.service.queue.fellows import (
    PATIENCE_S,
    fellow,
    service,
    soon,
)
from tests.service.redis_server import RedisServer


def test_a_batch_is_one_entry_and_one_answer(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis) as worker, service(redis) as client:
            asking = asyncio.create_task(client.embed_many([b"1", b"22"], soon(), "t"))
            [delivery] = await worker.stream.read(8, PATIENCE_S)
            assert redis.client.xlen("{q}:requests") == 1
            assert delivery.is_batch
            assert codec.unpack(delivery.image) == [b"1", b"22"]
            errors: list[EmbeddedImage | Exception] = [EmbeddingError("one"), EmbeddingError("two")]
            await worker.stream.answer(delivery, codec.encode_batch(delivery.request, errors))
            assert [str(outcome) for outcome in await asking] == ["one", "two"]
            single = asyncio.create_task(client.embed(b"x", soon(), ""))
            [alone] = await worker.stream.read(8, PATIENCE_S)
            assert not alone.is_batch
            single.cancel()
            assert await client.embed_many([], soon(), "") == []

    asyncio.run(scene())


def test_a_batch_that_a_worker_ended_with_is_sent_one_by_one(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis) as worker, service(redis) as client:
            asking = asyncio.create_task(client.embed_many([b"1", b"2"], soon(), "t"))
            [delivery] = await worker.stream.read(8, PATIENCE_S)
            error = SplitBatchError("a worker ended with it")
            await worker.stream.answer(delivery, codec.encode_error(delivery.request, error))
            singles = [one for _ in range(2) for one in await worker.stream.read(1, PATIENCE_S)]
            assert sorted((one.image, one.is_batch, one.trace) for one in singles) == [
                (b"1", False, "t"),
                (b"2", False, "t"),
            ]
            for one in singles:
                await worker.stream.answer(
                    one, codec.encode_error(one.request, EmbeddingError(one.image.decode()))
                )
            assert [str(outcome) for outcome in await asking] == ["1", "2"]

    asyncio.run(scene())


@pytest.mark.slow
def test_an_answer_for_another_number_of_images_is_an_error(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis) as worker, service(redis) as client:
            asking = asyncio.create_task(client.embed_many([b"1", b"2"], soon(), "t"))
            [delivery] = await worker.stream.read(8, PATIENCE_S)
            await worker.stream.answer(
                delivery, codec.encode_batch(delivery.request, [EmbeddingError("alone")])
            )
            with pytest.raises(EmbeddingError, match="each of a batch of 2"):
                await asking

    asyncio.run(scene())
