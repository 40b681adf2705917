"""From an upload to features in this process: what hangs, crashes or is given up costs itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.decoding import ImageError, job, process
from models.decoding.pool import DecodePool
from service.inference.batcher import Batcher
from service.inference.embedder import EmbeddedImage, LocalEmbedder
from service.inference.forward import ForwardPass
from service.inference.request import Expired
from tests.models.decoding.test_pool import alive
from tests.service.fakes import SHAPE, image_file, make_models

PROCESSES = 2


def soon() -> float:
    return time.monotonic() + 60


@contextmanager
def embedding(**options: Any) -> Iterator[tuple[LocalEmbedder, Batcher]]:
    """An embedder whose decoding processes do what a file says."""
    models = make_models()
    batcher = Batcher(ForwardPass(models.embedder.embed, SHAPE, 8), **options)
    batcher.start()
    pool = DecodePool(PROCESSES)
    try:
        yield LocalEmbedder(batcher, models.bundle.manifest.input, pool, "fake"), batcher
    finally:
        batcher.close()
        pool.close()


@pytest.fixture(autouse=True)
def _obedient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CHILD", "tests.models.decoding.obedient_child")


def test_an_image_is_decoded_and_embedded() -> None:
    with embedding() as (embedder, batcher):
        found = asyncio.run(embedder.embed(image_file(), soon()))
        assert found.features.descriptor.shape == (12,)
        assert min(found.decode_s, found.queue_s, found.embed_s) >= 0
        assert batcher.depth == 0


def test_an_image_that_is_not_decoded_by_its_deadline_has_expired_and_its_place_is_free() -> None:
    with embedding() as (embedder, batcher):
        with pytest.raises(Expired):
            asyncio.run(embedder.embed(b"wait", time.monotonic() + 0.2))
        with pytest.raises(Expired):
            asyncio.run(embedder.embed(image_file(), time.monotonic() - 1))
        assert batcher.depth == 0


@pytest.mark.slow
def test_an_image_that_ends_its_process_is_refused_and_those_beside_it_are_not() -> None:
    async def both(embedder: LocalEmbedder) -> list[object]:
        sent = [embedder.embed(data, soon()) for data in (b"crash", image_file(), b"crash", image_file())]
        return list(await asyncio.gather(*sent, return_exceptions=True))

    with embedding() as (embedder, _):
        answers = asyncio.run(both(embedder))
    assert [isinstance(answer, ImageError) for answer in answers] == [True, False, True, False]
    assert not [answer for answer in answers[1::2] if isinstance(answer, BaseException)]


@pytest.mark.slow
def test_without_a_decoding_process_the_embedder_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CHILD", "models.decoding.absent")
    with embedding() as (embedder, _):
        assert embedder.state().fault is None
        with pytest.raises(Expired):
            asyncio.run(embedder.embed(image_file(), time.monotonic() + 2))
        fault = embedder.state().fault
    assert fault is not None
    assert "ended before it was ready" in fault


@pytest.mark.slow
def test_never_more_images_are_decoded_than_processes_whoever_hangs_up(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    at_once: list[int] = []

    def decoding() -> int:
        pids = note.read_text().split() if note.exists() else []
        return sum(alive(int(pid)) for pid in pids)

    async def crowd(embedder: LocalEmbedder) -> None:
        for _ in range(3):
            data = b"note " + str(note).encode()
            clients = [asyncio.create_task(embedder.embed(data, soon())) for _ in range(8)]
            while decoding() < PROCESSES:
                await asyncio.sleep(0.01)
            for client in clients:
                client.cancel()
            for _ in range(20):
                at_once.append(decoding())
                await asyncio.sleep(0.01)
            await asyncio.gather(*clients, return_exceptions=True)
        # As soon as the processes have ended, others are in their place.
        assert (await embedder.embed(image_file(), soon())).features is not None

    with embedding() as (embedder, batcher):
        asyncio.run(crowd(embedder))
        assert batcher.depth == 0
    assert max(at_once) == PROCESSES


@pytest.mark.slow
@pytest.mark.parametrize("hostile", [b"crash", b"wait"])
def test_an_image_that_ends_the_process_of_a_batch_costs_itself_alone(
    hostile: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "TOGETHER_S", 0.2)
    files = [image_file((value, 10, 10)) for value in range(20)]
    files[5] = hostile
    files[11] = b"no image"
    with embedding() as (embedder, batcher):
        # One that waits does so until the deadline; the others have to be through by then.
        deadline = time.monotonic() + (60 if hostile == b"crash" else 20)
        together = asyncio.run(embedder.embed_many(files, deadline))
        assert batcher.depth == 0
        for number in (0, 4, 6, 12, 19):
            one, alone = together[number], asyncio.run(embedder.embed(files[number], soon()))
            assert isinstance(one, EmbeddedImage)
            np.testing.assert_array_equal(one.features.descriptor, alone.features.descriptor)
    failed = {number: type(one) for number, one in enumerate(together) if isinstance(one, Exception)}
    assert failed == {5: ImageError if hostile == b"crash" else Expired, 11: ImageError}


def test_a_batch_takes_the_room_that_there_is() -> None:
    files = [image_file((value, 10, 10)) for value in range(12)]

    async def beside(embedder: LocalEmbedder, batcher: Batcher) -> list[object]:
        with ExitStack() as places:
            for _ in range(batcher.max_queue - 1):
                places.enter_context(batcher.place(soon()))
            return list(await embedder.embed_many(files, soon()))

    with embedding(max_queue=10, max_wait_s=0) as (embedder, batcher):
        found = asyncio.run(beside(embedder, batcher))
        assert batcher.depth == 0
    assert [type(one) for one in found] == [EmbeddedImage] * 12
