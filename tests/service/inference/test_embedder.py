"""From an upload to features in this process: what hangs, crashes or is given up costs itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.decoding import ImageError, process
from models.decoding.pool import DecodePool
from service.inference.batcher import Batcher
from service.inference.embedder import LocalEmbedder
from service.inference.forward import ForwardPass
from service.inference.request import Expired
from tests.models.decoding.test_pool import alive
from tests.service.fakes import SHAPE, image_file, make_models

PROCESSES = 2


def soon() -> float:
    return time.monotonic() + 60


@contextmanager
def embedding() -> Iterator[tuple[LocalEmbedder, Batcher]]:
    """An embedder whose decoding processes do what a file says."""
    models = make_models()
    batcher = Batcher(ForwardPass(models.embedder.embed, SHAPE, 8))
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


def test_an_image_that_ends_its_process_is_refused_and_those_beside_it_are_not() -> None:
    async def both(embedder: LocalEmbedder) -> list[object]:
        sent = [embedder.embed(data, soon()) for data in (b"crash", image_file(), b"crash", image_file())]
        return list(await asyncio.gather(*sent, return_exceptions=True))

    with embedding() as (embedder, _):
        answers = asyncio.run(both(embedder))
    assert [isinstance(answer, ImageError) for answer in answers] == [True, False, True, False]
    assert not [answer for answer in answers[1::2] if isinstance(answer, BaseException)]


def test_without_a_decoding_process_the_embedder_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CHILD", "models.decoding.absent")
    with embedding() as (embedder, _):
        assert embedder.state().fault is None
        with pytest.raises(Expired):
            asyncio.run(embedder.embed(image_file(), time.monotonic() + 2))
        fault = embedder.state().fault
    assert fault is not None
    assert "ended before it was ready" in fault


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
