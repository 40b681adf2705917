"""The protocol, step by step, on a real Redis: who answers, who takes over, which answer arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.inference.embedder import EmbeddedImage
from service.inference.forward import EmbeddingError
from service.inference.request import Expired, Overloaded, WorkerStoppedError
from service.queue import codec
from service.queue.client import QueueClient
from service.queue.connection import connect
from service.queue.errors import (
    DeadLetterError,
    ForeignBundleError,
    MissingGroupError,
    QueueUnavailableError,
    RedisUrlError,
    SplitBatchError,
)
from service.queue.keys import Keys
from service.queue.stream import DEAD_LETTERS_MS, RequestStream
from service.settings import Settings
from service.worker.registration import Registration
from tests.service.redis_server import RedisServer, redis_server

OURS, THEIRS = "a" * 64, "b" * 64
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as it:
        yield it


@pytest.fixture
def redis(server: RedisServer) -> RedisServer:
    server.client.flushall()
    return server


class Fellow:
    """A worker without an embedder."""

    def __init__(self, url: str, name: str, fingerprint: str) -> None:
        redis, blocking = self.clients = (connect(url, 5), connect(url, 60))
        keys = Keys("q")
        self.stream = RequestStream(redis, blocking, keys, name)
        self.registration = Registration(redis, keys, name, fingerprint, 30)


@asynccontextmanager
async def fellow(redis: RedisServer, name: str = "w", fingerprint: str = OURS) -> AsyncIterator[Fellow]:
    it = Fellow(redis.url, name, fingerprint)
    try:
        await it.registration.introduce()
        await it.stream.prepare()
        it.registration.open("fake")
        await it.registration.beat(0.0)
        yield it
    finally:
        for client in it.clients:
            await client.aclose()


@asynccontextmanager
async def service(
    redis: RedisServer, fingerprint: str = OURS, max_queue: int = 4, timeout_s: float = 5
) -> AsyncIterator[QueueClient]:
    settings = Settings(
        redis_url=SecretStr(redis.url),
        queue_name="q",
        max_queue=max_queue,
        max_batch=1,
        redis_timeout_s=timeout_s,
    )
    client = QueueClient(settings, fingerprint)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


def soon() -> float:
    return time.monotonic() + PATIENCE_S


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.01)


def refusal(request: bytes) -> bytes:
    return codec.encode_error(request, EmbeddingError("no"))


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
            await until(lambda: _dead_letters(client, 1))
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
            await until(lambda: _dead_letters(client, 1))
        [(_, letter)] = redis.client.xrange("{q}:dead")
        assert letter[b"image"] == b"young"

    asyncio.run(scene())


async def _dead_letters(client: QueueClient, count: int) -> bool:
    return client.state().dead_letters == count


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
            await until(lambda: _is_empty(redis))
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
            await until(lambda: _is_empty(redis))
            assert await worker.stream.touch([delivery.entry]) == set()
            assert not await worker.stream.answer(delivery, refusal(delivery.request))
            assert not redis.client.keys("{q}:answers*")

    asyncio.run(scene())


async def _is_empty(redis: RedisServer) -> bool:
    return not redis.client.xlen("{q}:requests")


def test_all_services_share_the_places_and_one_more_is_refused(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis), service(redis) as one, service(redis) as two:
            waiting = [asyncio.create_task(client.embed(b"x", soon(), "")) for client in (one, two, one, two)]
            await until(lambda: _depth(redis, 4))
            for client in (one, two):
                with pytest.raises(Overloaded, match="all 4 places"):
                    await client.embed(b"x", soon(), "")
            waiting[0].cancel()
            await until(lambda: _depth(redis, 3))
            for task in waiting:
                task.cancel()

    asyncio.run(scene())


async def _depth(redis: RedisServer, depth: int) -> bool:
    return bool(redis.client.xlen("{q}:requests") == depth)


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


def test_a_request_waits_for_the_worker_that_comes_after_one_that_was_killed(redis: RedisServer) -> None:
    async def scene() -> None:
        async with fellow(redis), service(redis) as client:
            await _leave(redis, client)
            assert client.state().fault is not None
            asking = asyncio.create_task(client.embed(b"x", soon(), ""))
            await until(lambda: _depth(redis, 1))
            async with fellow(redis, "next") as worker:
                [delivery] = await worker.stream.read(8, PATIENCE_S)
                await worker.stream.answer(delivery, refusal(delivery.request))
                with pytest.raises(EmbeddingError, match="no"):
                    await asking

    asyncio.run(scene())


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
            await until(lambda: _workers(client, 1))

    asyncio.run(scene())


async def _workers(client: QueueClient, count: int) -> bool:
    return client.state().workers == count


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


def test_nobody_there_is_reported_within_the_patience(tmp_path: Path) -> None:
    async def scene(redis: RedisServer) -> None:
        async with service(redis, timeout_s=0.3) as client:
            for _ in range(2):
                with pytest.raises(QueueUnavailableError, match="Redis does not answer"):
                    await client.embed(b"x", soon(), "")
            assert not client.state().queue_up
            redis.start()
            async with fellow(redis):
                await until(lambda: _workers(client, 1))
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
